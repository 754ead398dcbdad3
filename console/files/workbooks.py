"""The first sheet of an Excel workbook (.xlsx) as rows of text. No database.

A workbook is a zip of XML, so a small one can unpack to gigabytes, or name a cell in the last corner of the sheet
and make the reader lay out seventeen thousand million empty ones: it is measured before it is read.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import python_calamine
from django.utils.translation import gettext as _

from console.files.encodings import UnreadableFile

MAX_UNPACKED = 200 * 2**20
MAX_CELLS = 5_000_000
# A string shared by cells is copied for each by the reader.
MAX_TEXT = 500 * 2**20
_BLOCK = 256 * 1024
_OVERLAP = 4096
_MEMBERS = 5_000

ZIP_MARK = b"PK\x03\x04"
OLE_MARK = bytes.fromhex("d0cf11e0a1b11ae1")  # Excel 97, and what an encrypted .xlsx is wrapped in

# Rows, cells and the places that they name, in the order in which they stand.
_PLACES = re.compile(rb"<(?:\w+:)?(row|c)(?=[\s/>])|\sr\s*=\s*[\"']([A-Za-z]{0,9})(\d{1,12})[\"']")
_STRINGS = re.compile(rb"<(?:\w+:)?sst[\s>]")
_STRING_ENDS = re.compile(rb"</(?:\w+:)?si\s*>")


def rows_of(stream: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """(row number from 1, cells as text) of the first visible sheet. Raises UnreadableFile."""
    stream.seek(0)
    if stream.read(8).startswith(OLE_MARK):
        raise UnreadableFile(
            "workbook",
            _("The workbook has a password, or the old .xls format. Save it as .xlsx without a password."),
        )
    _measure(stream)
    stream.seek(0)
    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(stream)
        visible = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet
            and sheet.visible == python_calamine.SheetVisibleEnum.Visible
        ]
        if not visible:
            raise _broken()
        sheet = workbook.get_sheet_by_name(visible[0])
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            yield number, [_text(cell) for cell in cells]
    except python_calamine.PasswordError:
        raise UnreadableFile("workbook", _("The workbook is protected by a password. Save it without one.")) from None
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise _broken() from None


def _text(cell: Any) -> str:
    """A cell as its owner sees it: whole numbers without a fraction, dates as ISO 8601."""
    if isinstance(cell, str):
        return cell.replace("\0", "")  # PostgreSQL stores none
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        # Fifteen digits are what a spreadsheet keeps.
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else format(cell, ".15g")
    if isinstance(cell, dt.datetime):
        return cell.isoformat(sep=" ")
    return str(cell)


def _broken() -> UnreadableFile:
    return UnreadableFile("workbook", _("The workbook can't be read. Open it, save it again as .xlsx or CSV."))


def _too_large() -> UnreadableFile:
    return UnreadableFile("size", _("The workbook is too large when unpacked. Save it as CSV."))


def _measure(stream: BinaryIO) -> None:
    """Refuse what would take too much memory. Nothing that the file says of its own size is believed."""
    stream.seek(0)
    unpacked = cells = longest = 0
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            names = {member.filename.lstrip("/").lower() for member in members}
            if "xl/workbook.xml" not in names:
                raise UnreadableFile(
                    "workbook", _("This is not an Excel workbook (.xlsx). Save the table as .xlsx or CSV.")
                )
            if len(members) > _MEMBERS:
                raise _broken()
            for member in members:
                member.file_size = MAX_UNPACKED + 1  # else reading would stop at what the file claims
                extent = _Extent()  # of every member: relations, not names, tell which one is the sheet
                with archive.open(member) as part:
                    while block := part.read(_BLOCK):
                        unpacked += len(block)
                        if unpacked > MAX_UNPACKED:
                            raise _too_large()
                        extent.feed(block)
                extent.close()
                cells, longest = max(cells, extent.cells), max(longest, extent.longest)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise _broken() from None
    if longest * cells > MAX_TEXT:
        raise _too_large()


class _Extent:
    """How far the cells of one member reach, read from its XML without building anything."""

    def __init__(self) -> None:
        self.rows = self.columns = self.cells = self.longest = 0
        self._tags = self._in_row = self._string = 0
        self._shared = False  # these are the shared strings
        self._tail = b""

    def feed(self, block: bytes) -> None:
        known = len(self._tail)
        block = self._tail + block
        self._tail = block[-_OVERLAP:]
        if len(self._tail) == _OVERLAP and self._tail.isspace():
            raise _broken()  # nobody writes so, but it would hide a place from the search below
        self._shared = self._shared or _STRINGS.search(block) is not None
        for match in _PLACES.finditer(block):
            if match.end() >= known:  # else it was seen with the block before
                self._see(*match.groups())
        place = known
        for match in _STRING_ENDS.finditer(block):
            if match.end() > known:
                self.longest = max(self.longest, self._string + match.end() - place)
                self._string, place = 0, match.end()
        self._string += len(block) - place

    def close(self) -> None:
        """Raises UnreadableFile when laying the cells out would take too much memory."""
        self.columns = max(self.columns, self._in_row)
        self.rows = max(self.rows, self._tags)
        self.longest = max(self.longest, self._string) if self._shared else 0
        if self.rows * self.columns > MAX_CELLS:
            raise UnreadableFile(
                "size",
                _("The sheet reaches to row %(row)s and column %(column)s. Delete what is empty, or save it as CSV.")
                % {"row": self.rows, "column": self.columns},
            )

    def _see(self, tag: bytes | None, letters: bytes | None, digits: bytes | None) -> None:
        if tag == b"row":
            self._tags += 1
            self.columns = max(self.columns, self._in_row)
            self._in_row = 0
        elif tag == b"c":
            self.cells += 1
            self._in_row += 1
        else:
            self.rows = max(self.rows, int(digits or 0))
            if letters:
                self.columns = max(self.columns, _column(letters))


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number
