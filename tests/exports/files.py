"""Asking for exports and reading what came of them."""

from __future__ import annotations

import csv
import io
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from python_calamine import CalamineWorkbook

from console.lists import lists
from console.models import Account
from exports import making, storage
from exports.models import Export, Format


def ask(name: str, format: str = "csv", by: int | None = None, **params: Any) -> Export:
    """An export of a list with these filters that waits."""
    given = QueryDict(mutable=True)
    for key, value in params.items():
        given.setlist(key.rstrip("_"), value if isinstance(value, list) else [value])
    listing = lists()[name].resolve(given, Account.current().zone, timezone.now())
    assert listing.valid
    return making.ask(listing, Format(format), by=by)


def made(name: str, format: str = "csv", **params: Any) -> Export:
    export = ask(name, format, **params)
    assert making.make_next()
    export.refresh_from_db()
    return export


def content(export: Export) -> bytes:
    with storage.store().open(export.file) as file:
        return bytes(file.read())


def table(export: Export) -> list[dict[str, str]]:
    """The rows of a CSV by their heads."""
    return list(csv.DictReader(io.StringIO(content(export).decode("utf-8-sig"), newline="")))


def sheets(export: Export) -> dict[str, list[list[Any]]]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(content(export)))
    return {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
