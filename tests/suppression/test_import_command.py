"""manage.py import_suppressions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from console.models import ApiUser
from suppression import uploads
from suppression.models import Change, Entry, Upload

pytestmark = pytest.mark.django_db


def run(path: Path, *arguments: Any) -> str:
    out = io.StringIO()
    call_command("import_suppressions", str(path), *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "suppressed.csv"
    path.write_text(
        "EmailAddress,Reason,LastUpdateTime\n"
        "ann@example.com,BOUNCE,2026-01-17T08:58:33Z\n"
        "bea@example.com,COMPLAINT,2026-01-17T08:58:33Z\n"
        "cid@example.com,OTHER,2026-01-17T08:58:33Z\n"
        "nobody,BOUNCE,2026-01-17T08:58:33Z\n"
    )
    return path


def test_an_export_goes_to_the_lists_that_its_rows_name_and_is_reported(exported: Path) -> None:
    said = run(exported)
    assert "Amazon SES, list: as column 2 (Reason) says; columns: address 1 (EmailAddress)" in said
    assert "4 rows: 2 added, 0 there already, 1 left out, 1 malformed." in said
    assert "line 5: 'nobody'" in said
    assert dict(Entry.objects.values_list("key", "list")) == {
        "ann@example.com": "bounce",
        "bea@example.com": "spam_report",
    }
    assert set(Change.objects.values_list("made_by", flat=True)) == {"import_suppressions"}


def test_looking_saves_nothing(exported: Path) -> None:
    assert "Amazon SES" in run(exported, "--look")
    assert not Entry.objects.exists()
    assert not Upload.objects.exists()


def test_list_api_user_and_last_day_can_be_told(exported: Path) -> None:
    user = ApiUser.objects.create(name="shop", type="batch")
    run(exported, "--list", "block", "--api-user", "shop", "--expires", "2030-05-01")
    assert Entry.objects.count() == 3
    entry = Entry.objects.first()
    assert (entry.list, entry.api_user, entry.expires_at.isoformat()) == ("block", user, "2030-05-02T00:00:00+00:00")


def test_more_rows_than_a_page_takes_go_in_a_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LIMIT", 7)
    path = tmp_path / "bounced.txt"
    path.write_text("".join(f"p{n % 20}@example.com\n" for n in range(50)))
    assert "50 rows: 20 added, 30 there already" in run(path)
    assert set(Entry.objects.values_list("list", flat=True)) == {"bounce"}


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("ann@example.com\n", [], "Add --list"),
        ("ann@example.com\n", ["--list", "block", "--api-user", "nobody"], "no API user"),
        ("", ["--list", "block"], "empty"),
    ],
)
def test_what_can_not_be_is_said(tmp_path: Path, content: str, arguments: list[str], said: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(content)
    with pytest.raises(CommandError, match=said):
        run(path, *arguments)
    with pytest.raises(CommandError, match="No such file"):
        run(tmp_path / "missing.txt")
