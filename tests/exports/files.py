"""Asking for exports and reading what came of them."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from django.http import QueryDict
from django.utils import timezone
from python_calamine import CalamineWorkbook

from console.lists import lists
from console.models import Account
from delivery.models import Message
from exports import making, storage
from exports.models import Export, Format
from tests.factories.sending import message


def ask(name: str, format: str = "csv", by: int | None = None, now: dt.datetime | None = None, **params: Any) -> Export:
    """An export of a list with these filters that waits."""
    given = QueryDict(mutable=True)
    for key, value in params.items():
        given.setlist(key.rstrip("_"), value if isinstance(value, list) else [value])
    listing = lists()[name].resolve(given, Account.current().zone, now or timezone.now())
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
    """The rows of a CSV by their heads: each has as many cells."""
    rows = list(csv.DictReader(io.StringIO(content(export).decode("utf-8-sig"), newline="")))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def sheets(export: Export) -> dict[str, list[list[Any]]]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(content(export)))
    return {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}


def files(folder: Path) -> list[str]:
    """The names of all files below it."""
    return [path.name for path in folder.rglob("*") if path.is_file()]


def many(count: int) -> None:
    """So many messages, and one: more than fit into what lies between the server and us, and do not pack well."""
    one = message("ann@example.org")
    names = [field.column for field in Message._meta.concrete_fields if field.column not in ("id", "subject")]
    columns = ", ".join(names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO delivery_message (id, subject, {columns}) "
            f"SELECT id + n, 'xx' || text, {columns} FROM delivery_message, generate_series(1, %s) n, "
            "LATERAL (SELECT string_agg(md5(n::text || m), '') AS text FROM generate_series(1, 15) m) t WHERE id = %s",
            [count, one.pk],
        )


def one_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM delivery_message WHERE subject LIKE 'xx%'")


@contextmanager
def beside(database: str = "") -> Iterator[psycopg.Connection[Any]]:
    """Another session, of the tests' database unless another is named."""
    given = connection.get_connection_params()
    known = {name: given[name] for name in ("host", "port", "user", "password") if given.get(name)}
    with psycopg.connect(**known, dbname=database or given["dbname"], autocommit=True) as other:
        yield other


@contextmanager
def nothing_to_read() -> Iterator[psycopg.Connection[Any]]:
    """Whoever reads messages waits for its first row until this ends, or the other session's transaction does."""
    with beside() as other, other.transaction():
        other.execute("LOCK TABLE delivery_message IN ACCESS EXCLUSIVE MODE")
        yield other


def waiting_copies() -> int:
    """How many exports wait for their first row."""
    with beside() as other:
        counted = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND query LIKE 'COPY (SELECT%'"
        ).fetchone()
    assert counted is not None
    return int(counted[0])
