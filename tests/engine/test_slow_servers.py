"""A server may think about a mail for longer than an engine may keep it in hand, or lives."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.db import connection

from delivery.engine import claim, run
from delivery.models import Attempt, LimitGroup, Message, SenderAddress
from tests.engine.smtp_server import Server, serving
from tests.engine.world import deliver, fates, started

THINKS = 4.0
RECIPIENT = "ann@a.sink.test"


async def think(server: Server, phase: str) -> None:
    """About the final dot; then take the mail."""
    await asyncio.sleep(THINKS)
    server.accepted.append(("", "", b""))
    await server.say("250 2.0.0 queued")


@pytest.fixture
def one_connection(sender: SenderAddress) -> None:
    """Our server keeps the state of one."""
    started([RECIPIENT], sender)
    deliver()
    LimitGroup.objects.update(connections=1)


@pytest.mark.usefixtures("one_connection")
def test_a_server_that_takes_longer_than_a_claim_lasts_gets_the_mail_once(
    sender: SenderAddress, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"CLAIM_SECONDS": 2, "MARGIN_SECONDS": 0.5, "GRACE_SECONDS": 0.5}.items():
        monkeypatch.setattr(claim, name, seconds)
    monkeypatch.setattr(run, "BEAT_SECONDS", 0.2)

    def engine() -> None:
        try:
            run.deliver(seconds=30, idle_seconds=1)
        finally:
            connection.close()

    with serving(Server({"dot": think})) as server:
        settings.MX_PORT = server.port
        task = started([RECIPIENT], sender)
        engines = [threading.Thread(target=engine) for _engine in range(2)]
        for thread in engines:
            thread.start()
        for thread in engines:
            thread.join()
    assert fates(task) == {RECIPIENT: ("delivered", "")}
    assert len(server.accepted) == 1
    assert Attempt.objects.filter(message_id=Message.objects.get(task=task).pk).count() == 1


@pytest.mark.usefixtures("one_connection")
def test_an_engine_whose_time_is_up_waits_for_the_answer_that_it_has_coming(
    sender: SenderAddress, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than the server takes.
    monkeypatch.setattr(run, "STOP_SECONDS", run.SETTLING_SECONDS + 0.5)
    with serving(Server({"dot": think})) as server:
        settings.MX_PORT = server.port
        task = started([RECIPIENT], sender)
        for _engine in range(5):
            run.deliver(seconds=THINKS / 2)
            if server.accepted:
                break
    assert len(server.accepted) == 1
    assert fates(task) == {RECIPIENT: ("delivered", "")}
