"""A disk that is full in the middle of an export: said in words, and no half file."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exports import progress, writers
from exports.models import Export, State
from tests.exports import worker
from tests.exports.files import ask, files, made, many
from tests.factories.sending import message
from tests.installation import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run([*worker.SMALL_DISK, disk, "true"], capture_output=True, check=False).returncode:
        pytest.skip("Nothing may be mounted here.")
    yield disk


@pytest.mark.django_db(transaction=True)
def test_a_disk_that_fills_up_half_way_is_named_and_left_as_it_was(small_disk: Path) -> None:
    many(5_000)
    for format in ("csv", "xlsx"):
        ask("messages", format)
    said, _nothing = worker.begin(small_disk, inside=[*worker.SMALL_DISK, str(small_disk)]).communicate(timeout=60)
    assert json.loads(said) == []
    for export in Export.objects.all():
        assert (export.state, export.file, export.tries) == (State.FAILED, "", 1)
        assert export.problem == "There is no room left on the disk. Make room, then run it again."


@pytest.mark.django_db(transaction=True)
def test_the_last_of_a_disk_is_left_to_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may lie on the same."""
    for name in ("ann", "bob"):
        message(f"{name}@example.org")
    monkeypatch.setattr(progress, "ROOM_BYTES", 1 << 60)
    monkeypatch.setattr(progress, "ROOM_SHARE", 2.0)
    monkeypatch.setattr(progress, "TELL_SECONDS", 0.02)
    monkeypatch.setattr(writers, "TELL_ROWS", 1)
    real = progress.Progress.tell

    def when_it_was_seen(self: progress.Progress, rows: int) -> None:
        until(lambda: self.full, "somebody has looked")
        real(self, rows)

    monkeypatch.setattr(progress.Progress, "tell", when_it_was_seen)
    export = made("messages")
    assert (export.state, export.problem[:32]) == (State.FAILED, "There is no room left on the dis")
    assert files(folder) == []


def test_a_workbook_whose_rows_had_room_may_find_none_for_itself(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("There is no /dev/full here to be full.")
    path = tmp_path / "export.xlsx"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError) as raised:
        writers.write_xlsx(path, ["Number"], ["number"], [["1"]], lambda _rows: None)
    assert raised.value.errno == errno.ENOSPC


def test_any_other_fault_of_the_disk_is_named(folder: Path) -> None:
    (folder / "done").write_text("a file where the folder should be")
    export = made("messages")
    assert export.state == State.FAILED
    assert "could not be written" in export.problem
    assert files(folder) == ["done"]
