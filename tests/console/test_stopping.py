"""Stopping is one chain: whoever stands above waits longer than what stands below."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from console import leash, stopping
from delivery.engine import run

UNITS = sorted((settings.BASE_DIR / "docs/systemd").glob("*.service"))


def test_servers_have_twenty_seconds_to_answer_for_what_is_on_the_wire() -> None:
    assert run.STOP_SECONDS - run.SETTLING_SECONDS >= 20


def test_who_waits_for_another_waits_longer() -> None:
    assert run.STOP_SECONDS < stopping.PART_SECONDS < settings.STOP_SECONDS
    assert run.LOOKUP_SECONDS + run.SETTLING_SECONDS < run.STOP_SECONDS
    assert leash.PATIENCE_SECONDS > stopping.PART_SECONDS


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_waits_longer_than_serve_needs(unit: Path) -> None:
    found = re.search(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) > settings.STOP_SECONDS + 5
