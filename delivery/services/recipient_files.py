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

from console.files.encodings import ENCODING_NAMES
from console.files.encodings import UnreadableFile as RecipientFileError
from console.files.sheets import SHOWN, MalformedRow, Sheet, empty_file
from suppression.address import Address, MalformedAddress, is_address, parse
from suppression.columns import names_an_address

__all__ = ["ENCODING_NAMES", "MalformedRow", "RecipientFile", "RecipientFileError", "Row", "read_recipients"]

LIMIT = 10_000
MAX_COLUMNS = 100
MAX_NAME = 64
MAX_VALUE = 10_000  # characters of one value

RESERVED: Final = frozenset({"unsubscribe_url"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Row(NamedTuple):
    line: int  # where it begins, from 1
    address: Address
    variables: dict[str, str]


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
    return RecipientFile(Sheet(source, filename, encoding=encoding, max_bytes=max_bytes, command=_COMMAND), limit)


_COMMAND = "manage.py import_recipients"


class RecipientFile:
    """A file whose header is right. Iterate once. `columns` are the variables."""

    def __init__(self, sheet: Sheet, limit: int | None) -> None:
        self.sheet = sheet
        self._limit = limit
        self._rows = iter(sheet)
        self.columns = self._read_header()
        self._first = next(self._rows, None)
        if self._first is None:
            raise RecipientFileError("empty", _("The file has a header but no recipients below it."))

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
            filled = next(self._rows, None)

    def _read_header(self) -> tuple[str, ...]:
        first = next(self._rows, None)
        if first is None:
            raise empty_file()
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
    if not names_an_address(names[0]):
        for number, name in enumerate(names[1:], start=2):
            if names_an_address(name):
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
