"""All sending is stopped while mail in hand waits for a slow server's connections."""

from __future__ import annotations

import time
from pathlib import Path

from django.utils import timezone

from console.models import Account
from delivery.models import HeldBy, LimitGroup, Message, SenderAddress, Status
from delivery.simulator.server import Simulator
from tests.engine.test_crash import until
from tests.engine.world import deliver, engine_at_work, started

CONNECTIONS = 3
PEOPLE = 40


def test_no_mail_begins_once_engines_have_seen_that_all_sending_is_stopped(
    outside: Simulator, sender: SenderAddress, tmp_path: Path
) -> None:
    started(["first@a.sink.test"], sender)
    deliver()
    LimitGroup.objects.update(connections=CONNECTIONS)
    outside.options.latency = 0.4
    task = started([f"reader{n}@a.sink.test" for n in range(PEOPLE)], sender)
    with engine_at_work(tmp_path):
        until(lambda: len(outside.accepted()) > CONNECTIONS)
        Account.current().stop_sending(by="ann", now=timezone.now())
        time.sleep(3)
        begun = len(outside.accepted()) + CONNECTIONS
        until(lambda: not Message.objects.filter(task=task, status=Status.SENDING).exists())
        assert len(outside.accepted()) <= begun
    assert set(Message.objects.filter(task=task, status=Status.HELD).values_list("held_by", flat=True)) == {
        HeldBy.ACCOUNT
    }
