"""A receiver on loopback, which the settings allow, and a message to tell of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from delivery.callbacks import outbox, sending
from delivery.models import Callback, SenderAddress
from delivery.services import callbacks
from tests.callbacks.receiver import Handler, Receiver, receiving, takes


@pytest.fixture(autouse=True)
def fresh_look() -> Iterator[None]:
    outbox.forget()
    yield
    outbox.forget()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that answers is waited for, however busy this machine is: whoever did not answer in time would be
    let rest, and the other events with it."""
    monkeypatch.setattr(sending, "TRY_SECONDS", 30.0)


@pytest.fixture
def server(settings: Any) -> Iterator[Callable[..., Receiver]]:
    """Starts receivers; the settings let callbacks go to them."""
    settings.CALLBACK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    with ExitStack() as stack:

        def start(behave: Callable[[Handler], None] = takes) -> Receiver:
            receiver = stack.enter_context(receiving(behave))
            settings.CALLBACK_PORTS = [*settings.CALLBACK_PORTS, receiver.server_port]
            return receiver

        yield start


@pytest.fixture
def told_to(db: None) -> Callable[..., Callback]:
    """A callback address: the account's, unless a sender address is given."""

    def make(url: str, address: SenderAddress | None = None, *happenings: str) -> Callback:
        from delivery.models import Happening

        callback, secret = callbacks.add(url=url, address=address, happenings=happenings or Happening.values)
        callback.plain = secret  # type: ignore[attr-defined]  # for the tests alone
        return callback

    return make


def happen(*told: Any) -> int:
    """Write these down, as what they belong to does."""
    from django.db import transaction

    with transaction.atomic():
        return outbox.tell(told)
