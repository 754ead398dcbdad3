"""Rows into a file: CSV and .xlsx, a row at a time, whatever their number. Pure but for the file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count, islice
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook
from openpyxl.utils import get_column_letter

# So many rows a sheet of the format holds, the head among them; and so many UTF-16 units a cell.
SHEET_ROWS = 1_048_576
CELL_LENGTH = 32_767
# Progress is told, and asked whether to go on, after so many rows.
TELL_ROWS = 100
PACKED_BYTES = 1 << 18
MIN_WIDTH = 14
# Spreadsheets take a file without it for Latin-1.
BOM = "\ufeff".encode()

_EMPTY = re.compile(rb"(?<=<sheetData>)(?=</sheetData>)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)
# What XML has another way to write, and what it has no room for (XML 1.0, 2.2); and what spreadsheets would read as
# a character's number (ECMA-376, 22.9.2.19).
_SPECIAL = re.compile("[&<>\r]|_(?=x[0-9A-Fa-f]{4}_)|[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WRITTEN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", "_": "_x005F_"}

Tell = Callable[[int], None]


def csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
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
    """`kinds`: "number" where a cell's text is to be a number. Goes on on a further sheet where one is full.

    All but the rows is openpyxl's: where each cell is an object, ten times as long is spent on them.
    """
    letters = _letters(heads)
    top, tail = _EMPTY.split(_parts(heads, 1)[_sheet(1)])
    written, rest = 0, iter(rows)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for sheets in count(1):
            with (
                archive.open(_sheet(sheets), "w", force_zip64=True) as packed,
                io.BufferedWriter(packed, PACKED_BYTES) as file,
            ):
                file.write(top + _row(1, letters, heads, ["text"] * len(heads)))
                for number, row in enumerate(islice(rest, SHEET_ROWS - 1), 2):
                    file.write(_row(number, letters, row, kinds))
                    written += 1
                    if not written % TELL_ROWS:
                        tell(written)
                file.write(tail)
            more = next(rest, None)
            if more is None:
                break
            rest = chain([more], rest)
        for name, part in _parts(heads, sheets).items():
            if name not in archive.NameToInfo:
                archive.writestr(name, part)
    return written


def _sheet(number: int) -> str:
    return f"xl/worksheets/sheet{number}.xml"


def _parts(heads: Sequence[str], sheets: int) -> dict[str, bytes]:
    """All that a workbook with so many empty sheets consists of, by the names within it. The heads stay in sight."""
    book, file = Workbook(write_only=True), io.BytesIO()
    book.properties.creator = "Posthorn"
    for number in range(1, sheets + 1):
        sheet: Any = book.create_sheet(f"Sheet {number}")
        sheet.freeze_panes = "A2"
        for letter, head in zip(_letters(heads), heads, strict=True):
            sheet.column_dimensions[letter].width = max(MIN_WIDTH, len(head) + 2)
    book.save(file)
    with ZipFile(file) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def _letters(heads: Sequence[str]) -> list[str]:
    return [get_column_letter(number) for number in range(1, len(heads) + 1)]


def _row(number: int, letters: Sequence[str], cells: Sequence[str], kinds: Sequence[str]) -> bytes:
    made = [f'<row r="{number}">']
    for letter, text, kind in zip(letters, cells, kinds, strict=True):
        if not text:
            continue
        if kind == "number" and _NUMBER.fullmatch(text):
            made.append(f'<c r="{letter}{number}"><v>{text}</v></c>')
        else:
            made.append(f'<c r="{letter}{number}" t="inlineStr"><is><t xml:space="preserve">{_xml(text)}</t></is></c>')
    made.append("</row>")
    return "".join(made).encode()


def _xml(text: str) -> str:
    if len(text) > CELL_LENGTH // 2:
        # What is beyond the first 65,536 characters counts as two.
        text = text.encode("utf-16-le", "replace")[: 2 * CELL_LENGTH].decode("utf-16-le", "ignore")
    return _SPECIAL.sub(_as_xml, text)


def _as_xml(found: re.Match[str]) -> str:
    return _WRITTEN.get(found[0], "\ufffd")
