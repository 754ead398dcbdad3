"""The mailbox simulator's page, with mails sent to some of its addresses."""

from __future__ import annotations

from delivery.models import Status
from delivery.services.simulator import TRY
from tests.factories.delivery import AddressFactory
from tests.factories.sending import message
from tests.samples import rows


@rows("simulator")
def tries(n: int) -> None:
    AddressFactory()
    for number in range(n):
        message(f"success+{TRY}{number}@simulator.test")
        message(f"bouncelater+{TRY}{number}@simulator.test", status=Status.SOFT_BOUNCE, reason="not_exist")
        message(f"full+{TRY}{number}@simulator.test", status=Status.SENDING, attempts=1)
