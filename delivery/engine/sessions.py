"""An engine's sessions with PostgreSQL. One that is frozen over a transaction, as on a machine that is suspended, ends:
its locks would hold up everybody's counts, and its mail, until it thaws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

# On a busy machine a thread may wait its turn in the midst of a transaction.
LEAST_SECONDS = 5.0


@contextmanager
def bounded() -> Iterator[None]:
    """Holds for whatever connects meanwhile: every thread of an engine does so itself, and again after an outage."""

    def opened(connection: BaseDatabaseWrapper, **_more: Any) -> None:
        seconds = max(settings.LEASE_SECONDS, LEAST_SECONDS)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, false)", [f"{seconds * 1000:.0f}ms"]
            )

    connection_created.connect(opened, weak=False)
    try:
        yield
    finally:
        connection_created.disconnect(opened)
