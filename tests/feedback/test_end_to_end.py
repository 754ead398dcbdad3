"""Everything comes back: over all of the simulator's addresses, statuses, lists and events are what its own record says
that it did, and a second batch to the same people is stopped for exactly those that had to be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from delivery.engine import retry
from delivery.models import SenderAddress
from delivery.services import tasks
from delivery.simulator.server import Simulator, running_simulator
from tests.engine.conftest import sender  # noqa: F401  (a fixture)
from tests.engine.world import deliver, started
from tests.factories.sending import new_task
from tests.feedback import comparison
from tests.installation import until
from tracking.feedback import process
from tracking.feedback.listener import Listener
from tracking.models import FeedbackMail

RUN = "e2e"


@pytest.fixture
def outside(listener: Listener, live_server: Any, settings: Any, tmp_path: Path) -> Iterator[Simulator]:
    """The simulator, which brings back to our listener and to our page."""
    settings.SIMULATOR, settings.SIMULATOR_DIR = True, tmp_path / "simulator"
    settings.JOURNAL_DIR = tmp_path / "journal"
    settings.EHLO_NAME = "sender.test"
    settings.PUBLIC_URL = live_server.url
    with running_simulator(settings.SIMULATOR_DIR, feedback_port=listener.port, feedback_delay=0.2) as simulator:
        settings.DNS_SERVERS = [f"127.0.0.1:{simulator.dns_port}"]
        settings.MX_PORT = simulator.smtp_port
        yield simulator


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries within fractions of a second, and a retry window that a busy machine can keep."""
    monkeypatch.setattr(retry, "SIMULATOR_RETRIES", tuple(dt.timedelta(seconds=s) for s in (0.1, 0.2, 0.5)))
    monkeypatch.setattr(retry, "SIMULATOR_WINDOW", dt.timedelta(seconds=6))


@pytest.mark.usefixtures("hasty")
def test_what_comes_back_ends_where_the_simulator_says(outside: Simulator, sender: SenderAddress) -> None:  # noqa: F811
    people = comparison.addresses(195, RUN)
    task = started(people, sender)
    deliver()
    until(lambda: len(outside.returned()) == comparison.outside(outside.directory, RUN).promised, "all came back")

    def all_done() -> bool:
        process.process()
        return not FeedbackMail.objects.filter(state=FeedbackMail.State.WAITING).exists()

    until(all_done, "all is acted on")
    seen = comparison.outside(outside.directory, RUN)
    assert {one.shape for one in seen.given.values()} == {
        *("rfc3464", "qmail", "exchange", "arf", "redacted", "links", "rfc3834", "outlook", "oneclick", "mailto")
    }
    differences = comparison.differences(task, people, seen)
    assert not differences, "\n".join(differences)
    again = tasks.create_task(new_task(group=task.group, sender_address=sender, template=task.template))
    tasks.expand(again.pk, now=timezone.now())
    assert comparison.stopped_wrongly(again, people, seen) == []
