"""PostgreSQL is away for longer than mail may be in hand: what servers had answered meanwhile is not sent again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from delivery.engine import claim, waking
from delivery.engine.journal import Journal
from delivery.models import SenderAddress
from delivery.simulator.server import Simulator
from tests.console.test_database_away import away
from tests.engine.test_crash import until
from tests.engine.world import claim_all, delivered, engine_at_work, fates, started, taken

PEOPLE = [f"reader{n}@a.sink.test" for n in range(80)]


def test_what_was_answered_while_the_database_was_away_is_not_sent_again(
    outside: Simulator, sender: SenderAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"CLAIM_SECONDS": 1.2, "MARGIN_SECONDS": 0.3, "GRACE_SECONDS": 0.1}.items():
        monkeypatch.setattr(claim, name, seconds)
    outside.options.latency = 0.02
    task = started(PEOPLE, sender)
    with engine_at_work(tmp_path):
        until(lambda: len(outside.accepted()) > 20)
        with away():
            time.sleep(2)
        until(lambda: set(fates(task).values()) == {("delivered", "")})
    assert taken(outside) == dict.fromkeys(PEOPLE, 1)


def test_a_claim_that_ran_out_is_not_taken_over_while_a_journal_here_has_its_answer(
    outside: Simulator, sender: SenderAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "CLAIM_SECONDS", -10)
    monkeypatch.setattr(claim, "GRACE_SECONDS", 0)
    started(PEOPLE[:2], sender)
    answered, silent = claim_all()
    settled = delivered(answered)
    journal = Journal(settings.JOURNAL_DIR, 1)
    try:
        journal.append(settled)
        assert waking.wake(timezone.now()) == 1
        assert [one.message_id for one in claim_all()] == [silent.message_id]
        journal.done([settled])
        assert waking.wake(timezone.now()) == 2
    finally:
        journal.close()
