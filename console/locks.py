"""Locks on whole tables. Who asks for one stands in the way of all who come after, from the moment of asking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

# So long others wait behind us at most; then we give way, and try again later.
TIMEOUT = "3s"


@contextmanager
def brief() -> Iterator[None]:
    """Statements give up a lock that they don't get at once: they raise OperationalError, see `given_up`."""
    yield from _timeout(TIMEOUT)


@contextmanager
def patient() -> Iterator[None]:
    """For statements that wait in nobody's way, as those that go CONCURRENTLY."""
    yield from _timeout("0")


def _timeout(value: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [value])
    try:
        yield
    finally:
        if not connection.needs_rollback and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])


def given_up(error: OperationalError) -> bool:
    """Whether it is only that somebody else held a lock."""
    return isinstance(error.__cause__, LockNotAvailable)
