"""Rows, cells and lines of CSV files and workbooks."""

from __future__ import annotations

import datetime as dt
import io
import tracemalloc

import pytest

from console.files import sheets
from delivery.services.recipient_files import MalformedRow, Row, read_recipients, sample_csv
from tests.recipients.files import numbered, read, rows_of, workbook


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_reads_every_delimiter_and_line_end(delimiter: str, end: str):
    text = end.join(["email?name?city", 'ann@example.com?"Lee, Ann; Dr.\t"?Rome', "bob@example.com?Bob?", ""])
    content = text.replace("?", delimiter).encode()
    assert read(content) == [
        ("ann@example.com", {"name": "Lee, Ann; Dr.\t", "city": "Rome"}),
        ("bob@example.com", {"name": "Bob", "city": ""}),
    ]


def test_obeys_the_separator_that_excel_writes_first():
    assert read(b"sep=;\r\nemail;name\r\nann@example.com;Ann, Lee\r\n") == [("ann@example.com", {"name": "Ann, Lee"})]


def test_a_lone_column_of_addresses_is_a_file():
    assert read(b"email\nann@example.com\n") == [("ann@example.com", {})]


def test_keeps_line_breaks_and_quotation_marks_inside_quotes_and_counts_the_lines():
    content = b'email,note\nann@example.com,"one\ntwo ""three"""\n\nnobody,x\nbob@example.com,"a\r\nb"\nnone,y\n'
    first, second, third, fourth = rows_of(content)
    assert isinstance(first, Row) and isinstance(third, Row)
    assert (first.line, first.variables) == (2, {"note": 'one\ntwo "three"'})
    assert (second.line, second[1]) == (5, "nobody")
    assert (third.line, third.variables) == (6, {"note": "a\r\nb"})
    assert fourth.line == 8


def test_values_stay_as_they_are_even_where_a_spreadsheet_would_run_them():
    content = b'email,a,b\nann@example.com,=1+1,"  +@SUM(A1)  "\n'
    assert read(content) == [("ann@example.com", {"a": "=1+1", "b": "  +@SUM(A1)  "})]


def test_blank_lines_and_empty_cells_at_the_end_are_left_out():
    content = b"\n,,\nemail,name,,\n\nann@example.com,Ann,,\n , ,\n\n"
    assert read(content) == [("ann@example.com", {"name": "Ann"})]


def test_missing_cells_are_empty_and_more_cells_than_columns_are_malformed():
    good, bad = rows_of(b"email,a,b\nann@example.com\nbob@example.com,1,2,3\n")
    assert isinstance(good, Row) and good.variables == {"a": "", "b": ""}
    assert bad == MalformedRow(3, "bob@example.com", "There are 4 cells, but the header has 3 columns.")


def test_malformed_rows_come_with_line_value_and_reason_and_the_others_go_in():
    content = (
        b"email,name\nann@example.com,Ann\nno-at.example.com,X\nBob <bob@example.com>,Bob\n,Nobody\n"
        + b"x" * 900
        + b',Long\n"cy"@example.com,Cy\n"dee@example.com"oops,Dee\neve@example.com,Eve\n'
    )
    rows = rows_of(content)
    assert [row.address.canonical for row in rows if isinstance(row, Row)] == ["ann@example.com", "eve@example.com"]
    malformed = {row.line: row for row in rows if isinstance(row, MalformedRow)}
    assert sorted(malformed) == [3, 4, 5, 6, 7, 8]
    assert malformed[3].value == "no-at.example.com" and "no @" in malformed[3].reason
    assert "angle brackets" in malformed[4].reason
    assert malformed[5].value == "" and "no address" in malformed[5].reason
    assert len(malformed[6].value) == 200
    assert "quotation mark" in malformed[8].reason.lower()


def test_a_value_without_measure_is_malformed():
    (row,) = rows_of(b"email,name\nann@example.com," + b"x" * 10_001 + b"\n")
    assert isinstance(row, MalformedRow) and "10,000 characters" in row.reason


def test_reads_a_workbook_as_its_owner_sees_it():
    content = workbook(
        ["Email", "name", "visits", "rate", "since", "at", "vip"],
        ["ann@example.com", "アン\nLee", 12, 1.5, dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 13, 5), True],
        [],
        ["nobody", "x"],
        ["bob@example.com"],
    )
    first, bad, last = rows_of(content, "people.xlsx")
    assert isinstance(first, Row) and isinstance(last, Row)
    assert first.variables == {
        "name": "アン\nLee",
        "visits": "12",
        "rate": "1.5",
        "since": "2024-02-29",
        "at": "2024-02-29 13:05:00",
        "vip": "TRUE",
    }
    assert isinstance(bad, MalformedRow) and bad.line == 4
    assert last.line == 5 and set(last.variables.values()) == {""}


def test_the_content_decides_what_a_file_is_not_its_name():
    assert read(workbook(["email"], ["ann@example.com"]), "people.csv") == [("ann@example.com", {})]
    assert read(b"email\nann@example.com\n", "people.xlsx") == [("ann@example.com", {})]


def test_the_sample_reads_as_it_was_written():
    file = read_recipients(sample_csv(), "sample.csv")
    rows = list(file)
    assert (file.sheet.encoding_name, file.columns) == ("UTF-8", ("name", "voucher"))
    assert [row.variables["name"] for row in rows if isinstance(row, Row)] == ["Ann", "山田太郎", "Zoë Müller, Berlin"]


def test_the_stream_stays_open_and_tells_how_far_it_was_read():
    stream = io.BytesIO(numbered(10_000))
    file = read_recipients(stream, "people.csv")
    rows = iter(file)
    next(rows)
    assert 0 < file.sheet.position < file.sheet.size == len(stream.getvalue())
    assert sum(1 for _row in rows) == 9_999
    assert file.sheet.position == file.sheet.size
    del file, rows
    assert not stream.closed


class Endless(io.RawIOBase):
    """A seekable table of `size` bytes that is nowhere in memory."""

    header = b"email,name\n"
    line = b"person@example.com,\xe5\xb1\xb1\xe7\x94\xb0\n"

    def __init__(self, lines: int) -> None:
        self.size = len(self.header) + lines * len(self.line)
        self.at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = (0, self.at, self.size)[whence] + offset
        return self.at

    def read(self, size: int = -1) -> bytes:
        size = max(0, min(size, self.size - self.at))
        start = self.at - len(self.header)
        skip = start % len(self.line)
        body = (self.line * (size // len(self.line) + 2))[skip : skip + size]
        if start < 0:
            body = (self.header[self.at :] + self.line * (size // len(self.line) + 1))[:size]
        self.at += size
        return body


def test_a_large_file_takes_no_more_memory_than_a_small_one():
    def peak(lines: int) -> int:
        tracemalloc.start()
        try:
            file = read_recipients(Endless(lines), "people.csv", limit=None)  # type: ignore[arg-type]
            assert sum(isinstance(row, Row) for row in file) == lines
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(5_000), peak(50_000)
    assert large < small * 1.5 < 4 * 2**20


def test_lines_are_put_together_across_blocks(monkeypatch):
    monkeypatch.setattr(sheets, "BLOCK", 3)
    content = 'email,name\r\nann@example.com,"山\r\n田"\r\nbob@example.com,Bob'.encode()
    assert read(content) == [("ann@example.com", {"name": "山\r\n田"}), ("bob@example.com", {"name": "Bob"})]
