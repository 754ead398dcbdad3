"""Many rows at once into a table: COPY, quicker than any INSERT and as safe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection


def copy_in(cursor: Any, into: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Writes the rows by COPY. `into`: "table (column, …)". Raises Django's errors of the database."""
    # Django does not translate what COPY raises, and callers try again on Django's errors.
    with connection.wrap_database_errors, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
