"""Cancelling acts at once, whatever the export is at."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from exports import making, progress, writers
from exports.models import Export, State
from tests.exports.files import ask, files, nothing_to_read, sheets, table, waiting_copies
from tests.factories.sending import message
from tests.installation import until

pytestmark = pytest.mark.django_db


def working(export: Export) -> threading.Thread:
    """A worker that has begun with it."""
    worker = threading.Thread(target=lambda: (making.make(export), connection.close()))
    worker.start()
    return worker


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_is_cancelled_before_its_first_row_and_the_other_comes_to_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TELL_SECONDS", 0.1)
    message("ann@example.org")
    formats = ("csv", "xlsx", "csv", "xlsx")
    *cancelled, first, second = exports = [making.claim(ask("messages", format)) for format in formats]
    with nothing_to_read():
        workers = [working(export) for export in exports]
        until(lambda: waiting_copies() == 4, "all wait for their first row")
        for export in cancelled:
            assert making.cancel(export)
        for worker in workers[:2]:
            worker.join(30)
        assert waiting_copies() == 2
    for worker in workers[2:]:
        worker.join(30)
    for export in exports:
        export.refresh_from_db()
    assert [(export.state, export.problem) for export in cancelled] == [(State.CANCELLED, "")] * 2
    assert (first.state, second.state) == (State.DONE, State.DONE)
    assert sorted(files(folder)) == sorted([first.file, second.file])
    assert len(table(first)) == len(sheets(second)["Sheet 1"]) - 1 == 1


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_one_stops_between_two_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message("ann@example.org")
    message("bob@example.org")
    monkeypatch.setattr(writers, "TELL_ROWS", 1)
    monkeypatch.setattr(progress, "TELL_SECONDS", 0.05)
    export = making.claim(ask("messages"))
    asked, real = threading.Event(), making.Progress.tell

    def wait(self: Any, rows: int) -> None:
        asked.set()
        until(lambda: self.stopped, "the watcher has seen it")
        real(self, rows)

    monkeypatch.setattr(making.Progress, "tell", wait)
    worker = working(export)
    assert asked.wait(30)
    assert making.cancel(export)
    worker.join(30)
    assert Export.objects.get().state == State.CANCELLED
    assert files(folder) == []


@pytest.mark.parametrize("at", ["the first row", "packing"])
def test_a_workbook_that_is_given_up_leaves_nothing_in_the_systems_folder_either(
    at: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = folder / "tmp"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    monkeypatch.setattr(writers, "TELL_ROWS", 1 if at == "the first row" else 100)
    for name in ("ann", "bob"):
        message(f"{name}@example.org")
    export = making.claim(ask("messages", "xlsx"))
    told: list[int] = []

    def cancelled(self: Any, rows: int) -> None:
        told.append(rows)
        raise making.Stopped

    monkeypatch.setattr(making.Progress, "tell", cancelled)
    making.make(export)
    assert told[0] == (1 if at == "the first row" else 2)
    assert files(folder) == []
