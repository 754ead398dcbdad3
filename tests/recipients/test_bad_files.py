"""Files that are refused as a whole say what to do."""

from __future__ import annotations

import io
import os
import re
import zipfile

import pytest

from console.files import sheets, workbooks
from delivery.services.recipient_files import RecipientFileError, read_recipients
from tests.recipients.files import numbered, rows_of, workbook


def refusal(content: bytes, name: str = "people.csv", **options) -> str:
    with pytest.raises(RecipientFileError) as caught:
        rows_of(content, name, **options)
    assert caught.value.message == str(caught.value)
    assert caught.value.message[-1] in ".…)"
    return caught.value.message


def test_ten_thousand_rows_are_taken_and_one_more_is_refused_with_the_command_named():
    assert len(rows_of(numbered(10_000))) == 10_000
    message = refusal(numbered(10_001))
    assert "10,000" in message and "import_recipients" in message
    assert len(rows_of(numbered(10_001), limit=None)) == 10_001


@pytest.mark.parametrize("blank", [b"\n", b"\r", b",\n", b" \n"])
def test_a_file_of_empty_rows_is_refused_before_it_keeps_anybody_busy(blank: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sheets, "MAX_BLANK", 100)
    some = blank.join(numbered(300).splitlines(keepends=True))  # after each row
    assert len(rows_of(some + blank * 100)) == 300
    assert "100 rows are empty" in refusal(numbered(1) + blank * 103)
    assert "100 rows are empty" in refusal(some + blank * 500)


def test_rows_that_are_malformed_count_towards_the_limit():
    assert "10,000" in refusal(b"email\n" + b"nobody\n" * 10_001)


def test_a_workbook_of_10_001_rows_is_refused():
    rows = [["email"], *([f"p{n}@example.com"] for n in range(10_001))]
    assert "10,000" in refusal(workbook(*rows), "people.xlsx")


@pytest.mark.parametrize(
    "content", [b"ann@example.com,Ann\nbob@example.com,Bob\n", b"Ann,ann@example.com\n", b"bob@,x\n"]
)
def test_a_file_without_a_header_is_refused(content: bytes):
    assert "no header" in refusal(content)


def test_a_workbook_without_a_header_is_refused():
    assert "no header" in refusal(workbook(["ann@example.com", "Ann"]), "people.xlsx")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b",,\n , \n"])
def test_an_empty_file_is_refused(content: bytes):
    assert "is empty" in refusal(content)


def test_a_header_alone_is_refused():
    assert "no recipients" in refusal(b"email,name\n\n")


def test_a_file_that_is_too_large_is_refused_before_it_is_read():
    class Large(io.BytesIO):
        def read(self, *_args):  # type: ignore[override]
            raise AssertionError("was read")

    with pytest.raises(RecipientFileError, match=r"50\.0 MB; at most 20 MB"):
        read_recipients(Large(bytes(50 * 2**20)), "people.csv", max_bytes=20 * 2**20)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200),
        b"email,name\nann@example.com,A\0nn\n",
        b"%PDF-1.7\n\x01\x02\x03",
        os.urandom(5000),
        b"x" * (2 * 2**20),
        ("\ufeffemail,name\nann@example.com,A\0nn\n").encode("utf-16-le"),
    ],
)
def test_binary_content_is_refused(content: bytes):
    assert "not a table" in refusal(content)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"email,name,name", "“name” occurs twice"),
        (b"email,first name", "for example first_name"),
        (b"email,2nd", "for example nd"),
        ("email,名前".encode(), "Column 2 is named “名前”"),
        (b"email,a,,b", "Column 3 has no name"),
        (b"email,unsubscribe_url", "reserved"),
        (b"name,email", "must be the first column; here it is column 2"),
        (b"email," + b",".join(b"c%d" % n for n in range(101)), "at most 100"),
        (b'email,"na"me"', "Line 1, the header"),
    ],
)
def test_a_bad_header_names_the_column(header: bytes, says: str):
    assert says in refusal(header + b"\nann@example.com,x\n")


@pytest.mark.parametrize("rest", [b"bob@example.com,Bob\n", b"bob@example.com,Bob\n" * 20_000])
def test_a_quotation_mark_that_never_closes_is_named_instead_of_swallowing_the_rows(rest: bytes):
    content = b'email,name\nann@example.com,Ann\ncy@example.com,"Cy\n' + rest
    assert "opened on line 3" in refusal(content, limit=None)


def test_a_broken_workbook_is_refused():
    whole = workbook(["email"], ["ann@example.com"])
    for broken in (whole[:-100], whole[:200], b"PK\x03\x04" + bytes(500)):
        assert "can't be read" in refusal(broken, "people.xlsx")


def test_a_protected_or_old_workbook_is_refused():
    assert "without a password" in refusal(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "people.xlsx")


def test_a_zip_of_something_else_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("content.xml", "<x/>")
    assert "not an Excel workbook" in refusal(file.getvalue(), "people.ods")


def rewritten(content: bytes, member: str, change) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            body = old.read(name)
            new.writestr(name, change(body) if name == member else body)
    return file.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def test_a_bomb_in_a_workbook_is_refused_even_when_it_lies_about_its_size(monkeypatch):
    monkeypatch.setattr(workbooks, "MAX_UNPACKED", 2**20)
    bomb = rewritten(workbook(["email"], ["a@example.com"]), SHEET, lambda xml: xml + b"<!-- -->" * (2**19))
    assert len(bomb) < 50_000
    assert "too large when unpacked" in refusal(bomb, "people.xlsx")
    # The sizes in the central directory, 24 bytes into each entry, set to 100.
    lying = re.sub(rb"(PK\x01\x02.{20}).{4}", lambda match: match[1] + b"\x64\0\0\0", bomb, flags=re.DOTALL)
    assert lying != bomb
    assert "too large when unpacked" in refusal(lying, "people.xlsx")


@pytest.mark.parametrize("cell", [b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>', b"<c/>" * 16_000])
def test_a_sheet_that_reaches_to_the_far_corner_is_refused_before_it_is_laid_out(cell: bytes):
    def change(xml: bytes) -> bytes:
        far = b'<row r="1048576"><c><v>1</v></c></row>'
        return xml.replace(b"</sheetData>", (b"<row>" + cell + b"</row>" if cell == b"<c/>" * 16_000 else cell) + far)

    content = rewritten(workbook(["email"], ["a@example.com"]), SHEET, change)
    assert "reaches to row 1048576" in refusal(content, "people.xlsx")


def test_one_long_text_shared_by_many_cells_is_refused(monkeypatch):
    monkeypatch.setattr(workbooks, "MAX_TEXT", 10 * 2**20)
    text = b"<sst><si><t>a@example.com</t></si><si><t>" + b"x" * 30_000 + b"</t></si></sst>"
    row = b'<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>'
    content = with_member(
        rewritten(
            workbook(["email", "text"]), SHEET, lambda xml: xml.replace(b"</sheetData>", row * 500 + b"</sheetData>")
        ),
        "xl/sharedStrings.xml",
        text,
    )
    assert len(content) < 50_000
    assert "too large when unpacked" in refusal(content, "people.xlsx")


def with_member(content: bytes, name: str, body: bytes) -> bytes:
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, body)
    return file.getvalue()
