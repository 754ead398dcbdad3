"""Files to import."""

from __future__ import annotations

import io
from typing import Any

import openpyxl

from delivery.services.recipient_files import MalformedRow, Row, read_recipients


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    book.close()
    return file.getvalue()


def rows_of(content: bytes, name: str = "people.csv", **options: Any) -> list[Row | MalformedRow]:
    return list(read_recipients(content, name, **options))


def read(content: bytes, name: str = "people.csv", **options: Any) -> list[tuple[str, dict[str, str]]]:
    """Addresses and variables; fails on a malformed row."""
    found = []
    for row in rows_of(content, name, **options):
        assert isinstance(row, Row), row
        found.append((row.address.canonical, row.variables))
    return found


def numbered(count: int) -> bytes:
    return b"email,name\n" + b"".join(b"person%d@example.com,Person %d\n" % (n, n) for n in range(count))
