"""A whole world for the engine: PostgreSQL, the simulator, and a sender whose domain is really verified against it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from delivery.engine import retry
from delivery.models import SenderAddress
from delivery.services import domains, warmup
from delivery.simulator.server import Simulator, running_simulator


@pytest.fixture
def outside(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[Simulator]:
    """The simulator as the outside world, with every mail kept whole."""
    settings.SIMULATOR, settings.SIMULATOR_DIR = True, tmp_path / "simulator"
    settings.JOURNAL_DIR = tmp_path / "journal"
    settings.EHLO_NAME = "sender.test"
    with running_simulator(settings.SIMULATOR_DIR, keep=True) as simulator:
        settings.DNS_SERVERS = [f"127.0.0.1:{simulator.dns_port}"]
        settings.MX_PORT = simulator.smtp_port
        yield simulator


@pytest.fixture
def sender(outside: Simulator) -> SenderAddress:
    """hello@news.posthorn.test, verified against what the simulator's DNS says."""
    domain = domains.add_domain("news.posthorn.test")
    domains.publish_in_simulator(domain)
    domains.verify(domain, now=timezone.now())
    domain.refresh_from_db()
    assert domain.verified
    # Old enough to send what a test wants.
    domain.level = warmup.LEVELS
    domain.save(update_fields=["level"])
    return SenderAddress.objects.create(domain=domain, prefix="hello", sender_name="Linen & Co.")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries within fractions of a second, and a retry window of two seconds."""
    monkeypatch.setattr(retry, "SIMULATOR_RETRIES", tuple(dt.timedelta(seconds=s) for s in (0.1, 0.2, 0.5)))
    monkeypatch.setattr(retry, "SIMULATOR_WINDOW", dt.timedelta(seconds=2))
