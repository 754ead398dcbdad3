"""What changes while mail in hand waits for a server that takes its time is seen before its MAIL, and its body."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from delivery.engine import run, second_look
from delivery.models import LimitGroup, SenderAddress, Task, Waiting
from delivery.services import tasks
from delivery.simulator.server import Simulator
from suppression import address, services
from tests.engine.smtp_server import Server, serving
from tests.engine.test_crash import until
from tests.engine.world import deliver, engine_at_work, fates, started

PEOPLE = ["ann@a.sink.test", "bob@a.sink.test"]


@pytest.fixture
def looks(outside: Simulator, sender: SenderAddress, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each look at what is in hand, which comes soon; mail goes over one connection."""
    started(["first@a.sink.test"], sender)
    deliver()
    LimitGroup.objects.update(connections=1)
    monkeypatch.setattr(second_look, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(run, "FRESH_SECONDS", 0.1)
    ended: list[int] = []
    look_again = second_look.look_again

    def counted(in_hand: Any, *store: Any, **now: Any) -> None:
        look_again(in_hand, *store, **now)
        ended.append(len(in_hand))

    monkeypatch.setattr(second_look, "look_again", counted)
    return ended


@pytest.mark.parametrize("phase", ["greeting", "data"])
def test_who_says_no_while_a_server_takes_its_time_is_not_mailed(
    looks: list[int], sender: SenderAddress, settings: Any, tmp_path: Path, phase: str
) -> None:
    def say_no(task: Task) -> None:
        for text in PEOPLE:
            services.unsubscribe(address.parse(text).key, api_user_id=task.api_user_id, now=timezone.now())

    task, server = changed_meanwhile(say_no, phase, looks, sender, settings, tmp_path)
    assert fates(task) == dict.fromkeys(PEOPLE, ("invalid", "unsubscribe"))
    assert not server.accepted


def test_a_task_that_is_stopped_while_a_server_takes_its_time_begins_no_more_mail(
    looks: list[int], sender: SenderAddress, settings: Any, tmp_path: Path
) -> None:
    def stop(task: Task) -> None:
        tasks.stop(task, by="ann", now=timezone.now())

    task, server = changed_meanwhile(stop, "greeting", looks, sender, settings, tmp_path)
    assert set(Waiting.objects.filter(task_id=task.pk).values_list("state", flat=True)) == {Waiting.State.READY}
    assert not server.accepted


def changed_meanwhile(
    change: Callable[[Task], None],
    phase: str,
    looks: list[int],
    sender: SenderAddress,
    settings: Any,
    directory: Path,
) -> tuple[Task, Server]:
    """A task, changed while its mail is in hand and the server has yet to answer in this phase. What becomes of it then
    is for another engine to see."""
    asked, goes_on = threading.Event(), threading.Event()

    async def take_time(server: Server, phase: str) -> None:
        asked.set()
        while not goes_on.is_set():
            await asyncio.sleep(0.01)
        await server.say("354 at last" if phase == "data" else "220 at last")
        if phase == "data":
            await server.body("sender", "recipient")

    with serving(Server({phase: take_time})) as server:
        settings.MX_PORT = server.port
        task = started(PEOPLE, sender)
        with engine_at_work(directory):
            assert asked.wait(30)
            change(task)
            seen = len(looks) + 2
            until(lambda: len(looks) >= seen)
            goes_on.set()
            until(lambda: not Waiting.objects.filter(task_id=task.pk, state=Waiting.State.CLAIMED).exists())
        run.deliver(seconds=60, idle_seconds=0.3)
    return task, server
