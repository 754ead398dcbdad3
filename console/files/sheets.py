"""A CSV file, plain lines or an Excel workbook as rows of text. No database, and no more memory for a larger CSV."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from console.files import workbooks
from console.files.encodings import BLOCK, ENCODING_NAMES, ENCODINGS, UnreadableFile, encoding_of

# The line where the row begins, from 1, and its cells or what is wrong with it.
SheetRow = tuple[int, list[str] | str]

# Rows of nothing, beside one for each that says something: as many as Excel may leave below what was typed. Skipping
# more would keep a thread busy for long.
MAX_BLANK = 1_048_576
SHOWN = 200  # characters of a malformed row that are kept to be shown
ERRORS_KEPT = 10_000  # malformed rows that are listed; all are counted
ERRORS_SHOWN = 100  # of them on a page

_DELIMITERS = (",", ";", "\t")


class MalformedRow(NamedTuple):
    """A row that can't be used, and why."""

    line: int
    value: str  # what stood there, at most SHOWN characters
    reason: str


class Sheet:
    """The rows of one file, to be iterated over once; blank ones are left out.

    `source` must be seekable and stays open. `encoding`: a key of ENCODINGS, or None to detect it. `max_bytes`: size of
    the file; `command`: what takes larger ones. Raises UnreadableFile, while iterating too.
    """

    def __init__(
        self,
        source: bytes | BinaryIO,
        filename: str,
        *,
        encoding: str | None = None,
        max_bytes: int | None = None,
        command: str = "",
    ) -> None:
        self._stream = io.BytesIO(source) if isinstance(source, bytes) else source
        self.filename = filename
        self.size = self._stream.seek(0, io.SEEK_END)
        self.encoding = ""  # of a workbook: none
        if not self.size:
            raise empty_file()
        if max_bytes is not None and self.size > max_bytes:
            raise UnreadableFile(
                "size",
                _("The file has %(size)s MB; at most %(most)s MB are taken. %(advice)s")
                % {
                    "size": round(self.size / 2**20, 1),
                    "most": max_bytes // 2**20,
                    "advice": _("Split it, or use the command %(command)s.") % {"command": command}
                    if command
                    else _("Split it."),
                },
            )
        self._stream.seek(0)
        if self._stream.read(8).startswith((workbooks.ZIP_MARK, workbooks.OLE_MARK)):
            self._rows: Iterator[SheetRow] = workbooks.rows_of(self._stream)
        else:
            self.encoding = encoding_of(self._stream, encoding or None)
            self._rows = _records(self._stream, self.encoding)

    @property
    def position(self) -> int:
        """Bytes read so far, of `size`: for a progress bar."""
        return self._stream.tell()

    @property
    def encoding_name(self) -> str:
        return ENCODING_NAMES.get(self.encoding, "")

    def __iter__(self) -> Iterator[SheetRow]:
        blank = 0
        for row in self._rows:
            cells = row[1]
            if isinstance(cells, str) or any(cell and not cell.isspace() for cell in cells):
                blank -= 1
                yield row
            else:
                blank += 1
                if blank > MAX_BLANK:
                    raise UnreadableFile(
                        "blank",
                        _("More than %(most)s rows are empty. Delete them, and save the file again.")
                        % {"most": number_format(MAX_BLANK, force_grouping=True)},
                    )


def empty_file() -> UnreadableFile:
    return UnreadableFile("empty", _("The file is empty."))


def _records(stream: BinaryIO, encoding: str) -> Iterator[SheetRow]:
    """The records of a CSV file with the line where each begins."""
    delimiter, skipped = _dialect(stream, encoding)
    lines = _lines(stream, encoding)
    for _line in range(skipped):
        next(lines, None)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                # All that follows would be one cell: better refuse the file than lose its rows quietly.
                raise UnreadableFile(
                    "quote",
                    _("A quotation mark that is opened on line %(line)s is never closed. Close it or take it out.")
                    % {"line": line},
                ) from None
            yield line, _("A quotation mark stands in the wrong place; inside a quoted cell it is written twice.")
        else:
            yield line, cells


def _lines(stream: BinaryIO, encoding: str) -> Iterator[str]:
    """Lines with their ends (LF, CRLF or CR), decoded a block at a time. Not a TextIOWrapper: it closes the stream."""
    decoder = codecs.getincrementaldecoder(ENCODINGS[encoding])("strict")
    stream.seek(0)
    rest = ""
    while True:
        block = stream.read(BLOCK)
        text = rest + decoder.decode(block, final=not block)
        lines = io.StringIO(text, newline="").readlines()
        # What comes next may go on with the last line; a CR may be half of a CRLF.
        rest = lines.pop() if block and lines and not lines[-1].endswith("\n") else ""
        yield from lines
        if not block:
            return


def _dialect(stream: BinaryIO, encoding: str) -> tuple[str, int]:
    """The delimiter, and how many lines stand before the header (Excel's `sep=;`)."""
    sample = []
    for line in _lines(stream, encoding):
        sample.append(line)
        if len(sample) == 20:
            break
    if sample and (told := re.fullmatch(r"\ufeff?sep=([,;\t])\s*", sample[0])):
        return told[1], 1

    def fit(delimiter: str) -> tuple[int, int]:
        """How many records are as wide as the header, and how wide that is."""
        try:
            records = [record for record in csv.reader(sample, delimiter=delimiter) if any(record)]
        except csv.Error:
            return 0, 0
        width = len(records[0]) if records else 0
        return (sum(len(record) == width for record in records), width) if width > 1 else (0, 0)

    return max(_DELIMITERS, key=fit), 0
