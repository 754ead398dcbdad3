"""An engine whose servers make it wait is seen to live, ends when it is told to, and forgets nothing it has in hand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from console.models import Heartbeat
from delivery.engine import run
from delivery.models import LimitGroup, Message, SenderAddress, TemplateVersion, Waiting, Worker
from delivery.services import tasks
from delivery.simulator.server import Simulator
from tests.engine.world import deliver, fates, started, taken
from tests.factories.sending import template
from tests.installation import until


@pytest.fixture
def tarpit(outside: Simulator) -> Iterator[socket.socket]:
    """Instead of the simulator's mail server one that takes calls and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        settings.MX_PORT = server.getsockname()[1]
        yield server


def last_beat() -> Any:
    return Heartbeat.objects.filter(part="deliver").values_list("beat_at", flat=True).first()


def test_an_engine_without_room_still_gives_signs_of_life_and_ends_in_order(
    tarpit: socket.socket,
    outside: Simulator,
    sender: SenderAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "IN_FLIGHT", run.CLAIM_AT_ONCE // 3 + 5)
    monkeypatch.setattr(run, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(run, "STOP_SECONDS", 4.0)
    everyone = [f"reader{n}@a.sink.test" for n in range(30)]
    task = started(everyone, sender)
    stop_file = tmp_path / "stop"
    engine = threading.Thread(target=lambda: run.deliver(seconds=120, stop_file=stop_file, idle_seconds=60))
    engine.start()
    try:
        until(lambda: not Waiting.objects.exclude(state=Waiting.State.CLAIMED).exists(), "all claimed")
        for _time in range(3):
            before = last_beat()
            until(lambda before=before: last_beat() > before, "a sign of life")
        assert Worker.objects.count() == 1
    finally:
        stop_file.touch()
        engine.join()
    assert not Worker.objects.exists()
    # Nothing had begun, whether it waited for a connection or for its greeting: all was given back.
    assert not Waiting.objects.filter(state=Waiting.State.CLAIMED).exists()
    settings.MX_PORT = outside.smtp_port
    deliver()
    assert fates(task) == dict.fromkeys(everyone, ("delivered", ""))
    assert taken(outside) == dict.fromkeys(everyone, 1)


def test_what_waits_in_the_rates_line_is_given_back_at_the_end(
    outside: Simulator, sender: SenderAddress, tmp_path: Path
) -> None:
    started(["first@a.sink.test"], sender)
    deliver()
    LimitGroup.objects.update(rate=0.2, connections=5)
    everyone = [f"reader{n}@a.sink.test" for n in range(4)]
    task = started(everyone, sender)
    stop_file = tmp_path / "stop"
    engine = threading.Thread(target=lambda: run.deliver(seconds=120, stop_file=stop_file, idle_seconds=60))
    engine.start()
    try:
        until(lambda: outside.post.sessions, "a connection, whose mail waits for its turn")
    finally:
        stop_file.touch()
        engine.join()
    assert set(Waiting.objects.values_list("state", flat=True)) == {Waiting.State.READY.value}
    LimitGroup.objects.update(rate=None)
    deliver()
    assert fates(task) == dict.fromkeys(everyone, ("delivered", ""))
    assert taken(outside) == dict.fromkeys([*everyone, "first@a.sink.test"], 1)


def test_a_template_that_is_broken_stops_its_own_mail_only(outside: Simulator, sender: SenderAddress) -> None:
    broken = started(["success+broken@simulator.test"], sender, template=template("<p>Broken {{name}}</p>"))
    sound = started(["success+sound@simulator.test"], sender)
    # As no page would save it.
    TemplateVersion.objects.filter(pk=broken.version_id).update(html="<script>{{name}}</script><{{name}}>")
    deliver()
    assert fates(sound) == {"success+sound@simulator.test": ("delivered", "")}
    [(status, reason)] = fates(broken).values()
    assert (status, reason) == ("invalid", "other")
    assert "could not be composed" in Message.objects.get(task=broken).last_reply
    assert tasks.counts_of([broken.pk])[broken.pk] == {"invalid": 1}
