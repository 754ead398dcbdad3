"""What stands in the file: the list's rows, in its order, with its filters, safe to open in a spreadsheet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook
from python_calamine import CalamineWorkbook

from console.exporting import content as content_of
from console.files.lines import defused
from console.lists import lists
from exports import making, writers
from exports.models import Export, State
from tests.exports.files import ask, content, made, sheets, table
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("filters", [{"status": ["invalid", "soft_bounce"]}, {"reason": "spam"}, {"type": "trigger"}])
def test_a_workbook_takes_every_filter(filters: dict[str, Any]) -> None:
    message("ann@example.org", status="invalid", reason="spam")
    export = made("messages", "xlsx", **filters)
    assert (export.state, export.rows) == (State.DONE, 1)
    head, row = sheets(export)["Sheet 1"]
    assert row[head.index("Recipient")] == "ann@example.org"


def test_a_list_is_written_with_its_filters_in_its_order() -> None:
    at = timezone.now()
    for number, status in enumerate(["delivered", "invalid", "invalid"]):
        message(f"p{number}@example.org", status=status, reason="spam" if status == "invalid" else "", label="spring")
    export = made("messages", status="invalid")
    assert (export.state, export.rows) == (State.DONE, 2)
    rows = table(export)
    assert [row["Recipient"] for row in rows] == ["p2@example.org", "p1@example.org"]
    assert {(row["Status"], row["Reason"], row["Label"]) for row in rows} == {("invalid", "spam", "spring")}
    assert all(len(row["Message"]) == 18 for row in rows)
    requested = dt.datetime.fromisoformat(rows[0]["Requested (UTC)"]).replace(tzinfo=dt.UTC)
    assert at - dt.timedelta(seconds=1) <= requested <= timezone.now()
    assert int(rows[0]["Requested (ms)"]) == int(requested.timestamp() * 1000)
    assert "Status: Invalid" in export.filters


def test_the_readable_time_and_the_stamp_name_the_same_millisecond() -> None:
    sent = timezone.now().replace(microsecond=501_600)
    message("ann@example.org", sent_at=sent)
    [row] = table(made("messages"))
    assert row["Sent (UTC)"] == f"{sent:%Y-%m-%d %H:%M:%S}.501"
    assert row["Sent (ms)"] == f"{int(sent.timestamp())}501"


def test_ids_are_text_in_excel_and_numbers_are_numbers() -> None:
    one = message("ann@example.org")
    export = made("messages", "xlsx")
    [(name, (head, row))] = sheets(export).items()
    assert name == "Sheet 1"
    cells = dict(zip(head, row, strict=True))
    assert cells["Message"] == str(one.pk)
    assert cells["Requested (ms)"] == one.requested_at.timestamp() * 1000


FORMULAS = ["=1+1", "+41", "-1", "@SUM(A1)", "\tx", "\rx", "＝1", '=HYPERLINK("http://x")']


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_what_looks_like_a_formula_is_defused(text: str, format: str) -> None:
    message("ann@example.org", subject=text)
    export = made("messages", format)
    if format == "csv":
        assert table(export)[0]["Subject"] == f"'{text}"
    else:
        head, row = sheets(export)["Sheet 1"]
        assert row[head.index("Subject")].startswith("'")


@given(st.text(max_size=20))
def test_no_defused_cell_begins_like_a_formula(text: str) -> None:
    assert str(defused(text))[:1] not in tuple("=+-@\t\r\n＝＋－＠")
    assert str(defused(text)).removeprefix("'").endswith(text.removeprefix("'"))


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_line_breaks_quotes_and_any_script_come_through(format: str) -> None:
    subject = 'He said "no", twice;\n第二行 Ωmega'
    message("ann@example.org", subject=subject)
    export = made("messages", format)
    assert export.rows == 1
    if format == "csv":
        assert table(export)[0]["Subject"] == subject
    else:
        head, row = sheets(export)["Sheet 1"]
        assert row[head.index("Subject")] == subject


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_a_filter_that_matches_nothing_gives_the_heads_alone(format: str) -> None:
    message("ann@example.org")
    export = made("messages", format, recipient="nobody@example.org")
    assert (export.state, export.rows) == (State.DONE, 0)
    if format == "csv":
        assert table(export) == []
    else:
        assert len(sheets(export)["Sheet 1"]) == 1


def test_a_period_means_the_days_that_it_meant_when_it_was_asked_for() -> None:
    """Asked for three days ago, and made today."""
    now = timezone.now()
    asked = now - dt.timedelta(days=3)
    message("then@example.org", at=now - dt.timedelta(days=8))
    message("now@example.org")
    export = ask("messages", now=asked)
    assert making.make_next()
    assert [row["Recipient"] for row in table(export_after(export))] == ["then@example.org"]


def export_after(export: Export) -> Export:
    export.refresh_from_db()
    return export


def test_a_list_whose_cells_are_worked_out_in_python_is_written_too() -> None:
    from tests.factories.delivery import DomainFactory

    DomainFactory(name="=evil.example.com", verified=True)
    export = made("domains")
    [row] = table(export)
    assert row["Domain"] == "'=evil.example.com"
    assert "Verified" in row["Status"]


@pytest.mark.parametrize("name", sorted(name for name, page in lists().items() if page.exported))
def test_every_list_can_be_exported(name: str) -> None:
    from tests import samples

    samples.load()
    samples.ROWS[name](3)
    export = made(name)
    assert (export.state, export.problem) == (State.DONE, "")
    assert export.rows >= 3
    assert b"\r\n" not in content(export)
    assert all(any(cell for cell in row.values()) for row in table(export))


@pytest.mark.parametrize("name", ["messages", "callback-events"])
def test_the_large_lists_are_streamed_by_the_database(name: str) -> None:
    from exports.making import listing_of

    assert content_of(listing_of(ask(name))).query is not None


ODD = {
    "what XML has no room for": ("a\x00\x08\x1b\ufffe\uffff\ud800z", "a" + 6 * "\ufffd" + "z"),
    "what XML writes in another way": ("<b>&amp;</b>\r\n\t ]]> ", "<b>&amp;</b>\r\n\t ]]> "),
    "a fault of a spreadsheet's": ("#N/A", "#N/A"),
    "what is no number although it is called one": ("1e5x", "1e5x"),
    "more than a cell holds": ("x" * 40_000, "x" * 32_767),
    "more than a cell holds, counted in halves": ("x" + "😀" * 20_000, "x" + "😀" * 16_383),
}


@pytest.mark.parametrize("what", ODD)
def test_any_text_makes_a_workbook_that_can_be_read(what: str, tmp_path: Path) -> None:
    given, wanted = ODD[what]
    path = tmp_path / "x.xlsx"
    rows = [["'=1", given, given], ["-1.5", "", "1e-05"]]
    writers.write_xlsx(path, ["=Head", "Text", "Number"], ["text", "text", "number"], rows, lambda _rows: None)
    by_rust = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    by_python = load_workbook(path).worksheets[0].iter_rows(values_only=True)
    assert by_rust == [["=Head", "Text", "Number"], ["'=1", wanted, wanted], ["-1.5", "", 1e-05]]
    assert [[cell or "" for cell in row] for row in by_python] == by_rust


def test_what_a_spreadsheet_would_read_as_a_characters_number_is_told_apart(tmp_path: Path) -> None:
    """Readers of other makers know nothing of it (ECMA-376, 22.9.2.19)."""
    path = tmp_path / "x.xlsx"
    writers.write_xlsx(path, ["Text"], ["text"], [["_x0041_"], ["_x_"]], lambda _rows: None)
    with ZipFile(path) as parts:
        assert b">_x005F_x0041_<" in parts.read("xl/worksheets/sheet1.xml")
        assert b">_x_<" in parts.read("xl/worksheets/sheet1.xml")


def test_a_cell_that_is_longer_than_a_csv_reader_likes_comes_through() -> None:
    message("ann@example.org", label="x", subject="y" * 200_000)
    head, row = sheets(made("messages", "xlsx"))["Sheet 1"]
    assert row[head.index("Subject")] == "y" * writers.CELL_LENGTH


def test_a_sheet_that_is_full_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "SHEET_ROWS", 4)
    path = tmp_path / "x.xlsx"
    told: list[int] = []
    rows = ([str(n), "x"] for n in range(7))
    assert writers.write_xlsx(path, ["Number", "Text"], ["number", "text"], rows, told.append) == 7
    book = CalamineWorkbook.from_path(path)
    found = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    assert [[row[0] for row in sheet] for sheet in found] == [["Number", 0, 1, 2], ["Number", 3, 4, 5], ["Number", 6]]
