"""Exports into a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exports import pace, progress
from tests.exports import worker


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches over an export has a connection of its own, and sees no row of a transaction: such a test goes
    without."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None:
        return
    if not marker.kwargs.get("transaction"):
        monkeypatch.setattr(progress, "TELL_SECONDS", 3600.0)
    # How busy the machine is does not matter here.
    monkeypatch.setattr(pace, "MOST_REST", 0.0)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.EXPORTS_WORK_DIR = tmp_path / "making"
    settings.STORAGES = {**settings.STORAGES, "exports": worker.storage(tmp_path)}
    return tmp_path
