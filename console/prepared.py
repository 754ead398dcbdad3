"""A question that is asked a thousand times a second: planned once by each connection, and read without Django's
cursor, which takes longer over it than the database does."""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, OperationalError, connection
from psycopg import Cursor


def row(sql: str, *params: Any) -> tuple[Any, ...] | None:
    """The first row that a SELECT gives; `sql` is one of few, for each is kept. Asked a second time where the
    connection had been lost since it was last used."""
    try:
        return _row(sql, params)
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return _row(sql, params)


def _row(sql: str, params: tuple[Any, ...]) -> tuple[Any, ...] | None:
    with connection.wrap_database_errors:
        connection.ensure_connection()
        kept = connection.connection
        if kept.prepare_threshold is None:
            # Django's own cursors prepare nothing all the same. One plan for all partitions: which of them is asked is
            # found when it runs.
            kept.prepare_threshold = 0
            kept.execute("SET plan_cache_mode = force_generic_plan")
        return Cursor(kept).execute(sql, params, prepare=True).fetchone()
