"""Engines are asked for while mail is due, as many as are missing, and no more."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from console import heartbeat
from delivery.engine import shares
from delivery.models import Waiting
from delivery.services import supply
from tests.engine.world import claim_all, started
from tests.factories.delivery import AddressFactory

HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def two_workers(db: None, settings: Any) -> None:
    settings.DELIVER_WORKERS = 2


def due() -> None:
    started(["ann@example.org"], AddressFactory())
    OrmQ.objects.all().delete()


def test_nothing_due_asks_for_nothing() -> None:
    assert supply.top_up() == 0


def test_mail_that_is_due_asks_for_an_engine_a_worker_and_only_once() -> None:
    due()
    assert supply.top_up() == 2
    assert supply.top_up() == 0
    assert OrmQ.objects.filter(key="deliver").count() == 2


def test_engines_at_work_count_and_those_of_other_machines_do_not() -> None:
    due()
    shares.beat(1, f"{heartbeat.supervisor()}/1")
    shares.beat(2, "another-machine:7/1")
    assert supply.top_up() == 1


@pytest.mark.parametrize(
    ("changed", "is_due"),
    [
        ({"state": Waiting.State.LATER, "due": -HOUR}, True),
        ({"state": Waiting.State.LATER, "due": HOUR}, False),
        ({"state": Waiting.State.HELD}, False),
        ({"state": Waiting.State.CLAIMED, "claim_deadline": HOUR}, False),
        ({"state": Waiting.State.CLAIMED, "claim_deadline": -HOUR}, True),
    ],
)
def test_what_is_put_off_held_or_claimed_is_due_only_when_its_time_has_come(
    changed: dict[str, Any], is_due: bool
) -> None:
    due()
    claim_all()
    now = timezone.now()
    Waiting.objects.update(
        **{name: now + value if isinstance(value, dt.timedelta) else value for name, value in changed.items()}
    )
    assert supply.mail_is_due() is is_due
