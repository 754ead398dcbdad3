"""Rows into a file: CSV and .xlsx, a row at a time, whatever their number. Pure but for the file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._writer import WorksheetWriter
from openpyxl.writer.excel import ExcelWriter

# So many rows a sheet of the format holds, the head among them; and so many UTF-16 units a cell.
SHEET_ROWS = 1_048_576
CELL_LENGTH = 32_767
# Progress is told, and asked whether to go on, after so many rows.
TELL_ROWS = 100
PACKED_BYTES = 1 << 18
MIN_WIDTH = 14
# Spreadsheets take a file without it for Latin-1.
BOM = "\ufeff".encode()

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d\d?)?", re.ASCII)
# What XML has no room for (XML 1.0, 2.2), and what spreadsheets would read as a character's number (ECMA-376,
# 22.9.2.19).
_NO_ROOM = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LIKE_A_CHARACTER = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
# What openpyxl takes for a formula or a fault.
_NO_PLAIN_TEXT = ("=", "#")

Tell = Callable[[int], None]


def csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    # Lines end as COPY's do.
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode(errors="replace")


def write_csv(path: Path, heads: Sequence[str], lines: Iterable[bytes | memoryview], tell: Tell) -> int:
    """`lines`: a row each, encoded already. Gives the number of rows."""
    count = 0
    with path.open("wb") as file:
        file.write(BOM + csv_line(heads))
        for line in lines:
            file.write(line)
            count += 1
            if not count % TELL_ROWS:
                tell(count)
    return count


def write_xlsx(
    path: Path, heads: Sequence[str], kinds: Sequence[str], rows: Iterable[Sequence[str]], tell: Tell
) -> int:
    """`kinds`: "number" where a cell's text is to be a number. Goes on on a further sheet where one is full; the heads
    of each stay in sight."""
    book = Workbook(write_only=True)
    book.properties.creator = "Posthorn"
    sheet, count = _sheet(book, heads, path.parent), 0
    try:
        for row in rows:
            if count and count % (SHEET_ROWS - 1) == 0:
                sheet = _sheet(book, heads, path.parent)
            sheet.append(list(_cells(sheet, row, kinds)))
            count += 1
            if not count % TELL_ROWS:
                tell(count)
        _pack(book, path, lambda: tell(count))
    except BaseException:
        _abandon(book)
        raise
    return count


def _sheet(book: Workbook, heads: Sequence[str], folder: Path) -> Any:
    number = len(book.sheetnames) + 1
    sheet: Any = book.create_sheet(f"Sheet {number}")
    sheet.freeze_panes = "A2"
    for column, head in enumerate(heads, 1):
        sheet.column_dimensions[get_column_letter(column)].width = max(MIN_WIDTH, len(head) + 2)
    sheet._writer = _Aside(sheet, folder / f"sheet-{number}.xml")
    sheet._writer.write_top()
    sheet.append([_text(sheet, head) for head in heads])
    return sheet


def _pack(book: Workbook, path: Path, tell: Callable[[], None]) -> None:
    """As Workbook.save does, but asked all the while whether to go on: a full sheet takes half a minute."""
    with _Archive(path, "w", ZIP_DEFLATED) as archive:
        archive.tell = tell
        ExcelWriter(book, archive).write_data()


def _abandon(book: Any) -> None:
    """A sheet that is not closed complains when it is collected."""
    for sheet in book.worksheets:
        with suppress(Exception):
            sheet.close()
        with suppress(OSError):  # a disk that is full
            sheet._writer.file.close()


class _Archive(ZipFile):
    tell: Callable[[], None]

    def write(self, filename: Any, arcname: Any = None, *args: Any, **kwargs: Any) -> None:
        with open(filename.name, "rb") as sheet, self.open(arcname, "w", force_zip64=True) as packed:
            while part := sheet.read(PACKED_BYTES):
                packed.write(part)
                self.tell()


class _Aside(WorksheetWriter):
    """Writes beside the workbook: openpyxl takes the system's folder, where a sheet stays that nobody finishes. Into
    an open file: what goes wrong there comes up as it is; lxml, given a name, tells of a full disk in its own way."""

    def __init__(self, sheet: Any, path: Path) -> None:
        self.file = path.open("wb")
        super().__init__(sheet, out=self.file)

    def close(self) -> None:
        super().close()
        self.file.close()

    def cleanup(self) -> None:
        Path(self.file.name).unlink()


def _cells(sheet: Any, row: Sequence[str], kinds: Sequence[str]) -> Iterator[Any]:
    for text, kind in zip(row, kinds, strict=True):
        if not text:
            yield None
        elif kind == "number" and _NUMBER.fullmatch(text):
            yield int(text) if text.lstrip("-").isdigit() else float(text)
        else:
            yield _text(sheet, text)


def _text(sheet: Any, text: str) -> Any:
    if len(text) > CELL_LENGTH // 2:
        # What is beyond the first 65,536 characters counts as two.
        text = text.encode("utf-16-le", "replace")[: 2 * CELL_LENGTH].decode("utf-16-le", "ignore")
    text = _LIKE_A_CHARACTER.sub("_x005F_", _NO_ROOM.sub("\ufffd", text))
    if not text.startswith(_NO_PLAIN_TEXT):
        return text
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    return cell
