"""`manage.py export`: a file without a browser, of which the console keeps nothing."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from python_calamine import CalamineWorkbook

from exports import making
from exports.models import Export
from tests.exports.files import files
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


def export(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("export", *arguments, stdout=out, **options)
    return out.getvalue()


def test_it_writes_a_file_and_keeps_nothing(folder: Path) -> None:
    message("ann@example.org", status="invalid", reason="spam")
    message("bob@example.org")
    csv, xlsx = folder / "out.csv", folder / "out.xlsx"
    assert export("messages", "--filter", "status=invalid", "--output", str(csv)).startswith("1 rows")
    assert b"ann@example.org" in csv.read_bytes()
    assert b"bob@example.org" not in csv.read_bytes()
    assert export("messages", "--format", "xlsx", "--output", str(xlsx)).startswith("2 rows")
    assert len(CalamineWorkbook.from_path(xlsx).get_sheet_by_index(0).to_python()) == 3
    assert not Export.objects.exists()
    assert sorted(files(folder)) == ["out.csv", "out.xlsx"]


@pytest.mark.parametrize("wrong", ["nonsense", "no_such=1", "from=x", "status=nonsense"])
def test_a_filter_that_makes_no_sense_is_named(wrong: str) -> None:
    with pytest.raises(CommandError, match=wrong.partition("=")[0]):
        export("messages", filter=[wrong])


def test_an_unknown_list_gets_the_names_of_all() -> None:
    with pytest.raises(CommandError, match=r"There are:.*messages"):
        export("no-such-list")


@pytest.mark.parametrize("place", ["no/such/folder/out.csv", "/dev/full"])
def test_where_it_can_not_be_written_it_says_so(place: str, folder: Path) -> None:
    if place == "/dev/full" and not Path(place).exists():
        pytest.skip("There is no /dev/full here to be full.")
    with pytest.raises(CommandError, match="could not be written"):
        export("messages", output=folder / place)
    assert not Export.objects.exists()
    assert files(folder) == []
    assert place != "/dev/full" or Path(place).is_char_device()


def test_an_older_file_stays_until_the_new_one_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "out.csv").write_text("older")

    def half(source: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", half)
    with pytest.raises(CommandError, match="No space left"):
        export("messages", output=folder / "out.csv")
    assert (folder / "out.csv").read_text() == "older"
    assert files(folder) == ["out.csv"]


def test_interrupted_it_leaves_nothing_for_a_worker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_c(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "content", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        export("messages")
    assert not Export.objects.exists()
    assert files(folder) == []
