"""The engine outside and inside a task's send window."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from delivery.models import HeldBy, Message, SenderAddress
from delivery.services import holding, tasks
from delivery.services.times import Times
from delivery.simulator.server import Simulator
from tests.engine.world import deliver, fates, group_of, started
from tests.factories.sending import new_task


def window(hours: int) -> Times:
    """A window of two hours that opens in so many hours, by a clock in UTC; -1: it is open now."""
    opens = timezone.now() + dt.timedelta(hours=hours)
    return Times(opens=opens.time(), closes=(opens + dt.timedelta(hours=2)).time())


def test_the_engine_tries_nothing_outside_the_window_and_everything_inside(
    outside: Simulator, sender: SenderAddress
) -> None:
    inside = started(["success+a@simulator.test"], sender, times=window(-1))
    shut = tasks.create_task(
        new_task(group=group_of(["success+b@simulator.test"]), sender_address=sender, times=window(3))
    )
    tasks.expand(shut.pk, now=timezone.now())
    # As if it had been released too early.
    holding.release_all(HeldBy.WINDOW)
    deliver()
    assert fates(inside) == {"success+a@simulator.test": ("delivered", "")}
    assert Message.objects.filter(task=shut).values_list("status", "held_by", "attempts").get() == (
        "held",
        HeldBy.WINDOW.value,
        0,
    )
