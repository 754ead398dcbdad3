"""Recipients in a CSV file or an Excel workbook, read row by row. No database, and no more memory for a larger CSV.

The first row names the columns, the first column is the address, every further one a variable. A bad row is handed
out with its line and reason; a file that is wrong as a whole is refused with what to do.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from django.utils.translation import gettext as _

from delivery.services import workbooks
from delivery.services.encodings import BLOCK, ENCODING_NAMES, ENCODINGS, RecipientFileError, encoding_of
from suppression.address import Address, MalformedAddress, is_address, parse

__all__ = ["ENCODING_NAMES", "MalformedRow", "RecipientFile", "RecipientFileError", "Row", "read_recipients"]

LIMIT = 10_000
MAX_COLUMNS = 100
MAX_NAME = 64
MAX_VALUE = 10_000  # characters of one value
SHOWN = 200  # characters of a malformed row that are kept to be shown

RESERVED: Final = frozenset({"unsubscribe_url"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DELIMITERS = (",", ";", "\t")
# What people call the column of the address, less blanks and marks.
_ADDRESS_NAMES = frozenset(
    {
        *("email", "emails", "mail", "emailaddress", "mailaddress", "address", "recipient", "to", "emailadresse"),
        *(
            "メール",
            "メールアドレス",
            "eメール",
            "アドレス",
            "宛先",
            "邮箱",
            "邮箱地址",
            "电子邮件",
            "电子邮箱",
            "邮件地址",
        ),
        *(
            "correo",
            "correoelectronico",
            "correoelectrónico",
            "courriel",
            "adressemail",
            "endereçodeemail",
            "mejl",
            "epost",
        ),
    }
)


class Row(NamedTuple):
    line: int  # where it begins, from 1
    address: Address
    variables: dict[str, str]


class MalformedRow(NamedTuple):
    line: int
    value: str  # what stood there, at most SHOWN characters
    reason: str


_Cells = tuple[int, list[str] | str]  # the line, and its cells or what is wrong with it


def read_recipients(
    source: bytes | BinaryIO,
    filename: str,
    *,
    encoding: str | None = None,
    limit: int | None = LIMIT,
    max_bytes: int | None = None,
) -> RecipientFile:
    """Open a file of recipients: its header is read and checked, its rows come by iterating over what is returned.

    `source` must be seekable and stays open. `encoding`: a key of ENCODINGS, or None to detect it. `limit`: rows, None
    for no limit. `max_bytes`: size of the file. Raises RecipientFileError, while iterating too.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    size = stream.seek(0, io.SEEK_END)
    if not size:
        raise RecipientFileError("empty", _("The file is empty."))
    if max_bytes is not None and size > max_bytes:
        raise RecipientFileError(
            "size",
            _("The file has %(size)s MB; at most %(most)s MB are taken. Split it, or use the command %(command)s.")
            % {"size": round(size / 2**20, 1), "most": max_bytes // 2**20, "command": _COMMAND},
        )
    return RecipientFile(stream, filename, size, encoding or None, limit)


_COMMAND = "manage.py import_recipients"


class RecipientFile:
    """A file whose header is right. Iterate once. `columns` are the variables; `encoding` is "" for a workbook."""

    def __init__(self, stream: BinaryIO, filename: str, size: int, encoding: str | None, limit: int | None) -> None:
        self._stream = stream
        self._limit = limit
        self.filename = filename
        self.size = size
        self.encoding = ""
        stream.seek(0)
        if stream.read(8).startswith((workbooks.ZIP_MARK, workbooks.OLE_MARK)):
            self._table: Iterator[_Cells] = workbooks.rows_of(stream)
        else:
            self.encoding = encoding_of(stream, encoding)
            self._table = _records(stream, self.encoding)
        self.columns = self._read_header()
        self._first = self._next_filled()
        if self._first is None:
            raise RecipientFileError("empty", _("The file has a header but no recipients below it."))

    @property
    def position(self) -> int:
        """Bytes read so far, of `size`: for a progress bar."""
        return self._stream.tell()

    @property
    def encoding_name(self) -> str:
        return ENCODING_NAMES.get(self.encoding, "")

    def __iter__(self) -> Iterator[Row | MalformedRow]:
        names = self.columns
        width = len(names)
        count = 0
        filled = self._first
        while filled is not None:
            count += 1
            if self._limit is not None and count > self._limit:
                raise RecipientFileError(
                    "rows",
                    _("The file has more than %(most)s recipients. Split it, or use the command %(command)s.")
                    % {"most": f"{self._limit:,}", "command": _COMMAND},
                )
            line, cells = filled
            if isinstance(cells, str):
                yield MalformedRow(line, "", cells)
            else:
                yield _row(line, cells, names, width)
            filled = self._next_filled()

    def _next_filled(self) -> _Cells | None:
        """The next row that is not blank."""
        for row in self._table:
            cells = row[1]
            if isinstance(cells, str) or any(cell and not cell.isspace() for cell in cells):
                return row
        return None

    def _read_header(self) -> tuple[str, ...]:
        first = self._next_filled()
        if first is None:
            raise RecipientFileError("empty", _("The file is empty."))
        line, cells = first
        if isinstance(cells, str):
            raise RecipientFileError(
                "header", _("Line %(line)s, the header: %(fault)s") % {"line": line, "fault": cells}
            )
        names = [cell.strip().lstrip("\ufeff") for cell in cells]
        while names and not names[-1]:
            names.pop()
        _check_header(names)
        return tuple(names[1:])


def _row(line: int, cells: list[str], names: tuple[str, ...], width: int) -> Row | MalformedRow:
    try:
        address = parse(cells[0])
    except MalformedAddress as malformed:
        return MalformedRow(line, cells[0][:SHOWN], malformed.reason)
    values = cells[1:]
    if len(values) < width:
        values += [""] * (width - len(values))
    elif len(values) > width and any(values[width:]):
        reason = _("There are %(cells)s cells, but the header has %(columns)s columns.") % {
            "cells": len(cells),
            "columns": width + 1,
        }
        return MalformedRow(line, cells[0][:SHOWN], reason)
    if any(map(_TOO_LONG, map(len, values))):
        reason = _("A value is longer than %(most)s characters.") % {"most": f"{MAX_VALUE:,}"}
        return MalformedRow(line, cells[0][:SHOWN], reason)
    return Row(line, address, dict(zip(names, values, strict=False)))


_TOO_LONG = MAX_VALUE.__lt__


def _check_header(names: list[str]) -> None:
    """Raises RecipientFileError naming the column."""

    def fault(message: str, **values: object) -> RecipientFileError:
        return RecipientFileError("header", message % values)

    if "@" in names[0] or any(map(is_address, names)):
        raise fault(_("The file has no header. Put a first line with the names of the columns: email, name, …"))
    plain = [re.sub(r"[\W_]", "", name).lower() for name in names]
    if plain[0] not in _ADDRESS_NAMES:
        for number, name in enumerate(plain[1:], start=2):
            if name in _ADDRESS_NAMES:
                raise fault(
                    _("The address must be the first column; here it is column %(number)s, “%(name)s”."),
                    number=number,
                    name=names[number - 1],
                )
    if len(names) > MAX_COLUMNS:
        raise fault(_("There are %(count)s columns; at most %(most)s are allowed."), count=len(names), most=MAX_COLUMNS)
    seen: set[str] = set()
    for number, name in enumerate(names[1:], start=2):
        if not name:
            raise fault(_("Column %(number)s has no name. Name it in the first line."), number=number)
        if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
            raise fault(
                _(
                    "Column %(number)s is named “%(name)s”. A name has letters a-z, digits and underscores, and begins "
                    "with a letter: for example %(example)s."
                ),
                number=number,
                name=name[:MAX_NAME],
                example=_example(name),
            )
        if name in RESERVED:
            raise fault(_("Column %(number)s: the name “%(name)s” is reserved. Rename it."), number=number, name=name)
        if name in seen:
            raise fault(_("Column %(number)s: the name “%(name)s” occurs twice. Rename one."), number=number, name=name)
        seen.add(name)


def _example(name: str) -> str:
    """A name that is allowed and looks like `name`."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lstrip("0123456789_").lower()[:MAX_NAME] or "first_name"


def _records(stream: BinaryIO, encoding: str) -> Iterator[_Cells]:
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
                raise RecipientFileError(
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


def sample_csv() -> bytes:
    """A small file to start from, in UTF-8 with the mark that makes Excel read it so."""
    rows = [
        ("email", "name", "voucher"),
        ("success+ann@simulator.test", "Ann", "SPRING-10"),
        ("success+taro@simulator.test", "山田太郎", "SPRING-20"),
        ("bounce+zoe@simulator.test", "Zoë Müller, Berlin", "SPRING-30"),
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return codecs.BOM_UTF8 + text.getvalue().encode()
