"""An operator pauses and recovers while an engine is at work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from django.utils import timezone

from delivery.models import Flow, LimitGroup, Message, ReceivingDomain, SenderAddress, Status
from delivery.services import pauses
from delivery.simulator.server import Simulator
from tests.engine.test_crash import until
from tests.engine.world import deliver, engine_at_work, started, taken

PEOPLE = 120


def delivered_count() -> int:
    return Message.objects.filter(status=Status.DELIVERED).count()


@pytest.mark.parametrize("connections", [None, 1])
def test_a_running_engine_stops_within_seconds_and_goes_on_when_it_is_recovered(
    outside: Simulator, sender: SenderAddress, tmp_path: Path, connections: int | None
) -> None:
    started(["first@a.sink.test"], sender)
    deliver()
    # Its real group is known now. Slow enough to be caught at it, by limits as the console sets them.
    group = ReceivingDomain.objects.get(name="a.sink.test").limit_group_id
    LimitGroup.objects.filter(pk=group).update(rate=25, connections=connections)
    started([f"reader{n}@a.sink.test" for n in range(PEOPLE - 1)], sender)
    with engine_at_work(tmp_path):
        until(lambda: delivered_count() > 5)
        pauses.pause(group, by="ann", now=timezone.now())
        time.sleep(2.5)
        at_rest = len(outside.accepted())
        assert at_rest < PEOPLE
        time.sleep(1.5)
        assert len(outside.accepted()) == at_rest, "nothing is sent while it is paused"
        pauses.recover(group, now=timezone.now())
        LimitGroup.objects.update(rate=None)
        until(lambda: len(outside.accepted()) > at_rest, 3)
        until(lambda: delivered_count() == PEOPLE)
    assert max(taken(outside).values()) == 1
    assert sum(Flow.objects.values_list("tried", flat=True)) == PEOPLE
    assert sum(Flow.objects.values_list("joined", flat=True)) == PEOPLE
    assert sum(Flow.objects.values_list("delivered", flat=True)) == PEOPLE
