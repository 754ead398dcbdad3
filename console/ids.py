"""Time-ordered 64-bit ids: 41 bits of milliseconds, 10 of a node, 12 of a sequence.

The primary key is then the time index: a period is a range of ids, and newest first is `-id`. The node number is
leased in the database by each process that makes ids, so that no two ever make the same.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connection
from django.db.models import DateTimeField, F, Func

# Ids begin here; 41 bits last until 2089.
EPOCH = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_EPOCH_MS = int(EPOCH.timestamp() * 1000)
NODES = 1 << 10
SEQUENCE = 1 << 12
SHIFT = 22
LEASE_SECONDS = 3600
# While the database is away, a lease that still holds is asked to be renewed so often, in seconds.
RENEW_AGAIN = 30
# A clock that is set back by less than this is waited for; by more, ids begin anew under another number.
SET_BACK_MS = 1000
MAX_ID = (1 << 63) - 1


class NoNodeFree(RuntimeError):
    """All 1024 node numbers are leased; numbers of dead processes come back within the hour."""


def id_at(moment: dt.datetime) -> int:
    """The smallest id that can be made at `moment` (aware). Moments before 2020 give 0."""
    return max(0, int(moment.timestamp() * 1000) - _EPOCH_MS) << SHIFT


def time_of(id: int) -> dt.datetime:
    """When the id was made: aware UTC, to the millisecond."""
    return EPOCH + dt.timedelta(milliseconds=id >> SHIFT)


def seconds_of(id: int) -> float:
    """When the id was made, in seconds since 1970."""
    return ((id >> SHIFT) + _EPOCH_MS) / 1000


def time_in_sql(field: str = "pk") -> Any:
    """`time_of` of a column, as an expression for a queryset."""
    return Func(
        F(field),
        template=f"to_timestamp(((%(expressions)s >> {SHIFT}) + {_EPOCH_MS}) / 1000.0)",
        output_field=DateTimeField(),
    )


class _Generator:
    """One process's share of the id space. Threads share it; a forked child takes a node of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._node = -1
        self._token = ""
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._last_ms = 0
        self._sequence = 0

    def take(self, count: int) -> list[int]:
        with self._lock:
            self._hold_node()
            made: list[int] = []
            while len(made) < count:
                now = int(time.time() * 1000) - _EPOCH_MS
                if now > self._last_ms:
                    self._last_ms, self._sequence = now, 0
                elif now < self._last_ms - SET_BACK_MS:
                    # Not waited for: that may take hours. Under the old number ids could come twice.
                    self._pid = 0
                    self._hold_node()
                    continue
                elif self._sequence >= SEQUENCE:
                    # The millisecond is used up, or the clock was set back a little: wait until time has passed it.
                    time.sleep(0.0005)
                    continue
                first = self._sequence
                last = min(SEQUENCE, first + count - len(made))
                base = (self._last_ms << SHIFT) | (self._node << 12)
                made.extend(range(base + first, base + last))
                self._sequence = last
            return made

    def _hold_node(self) -> None:
        if self._pid == os.getpid() and time.monotonic() < self._renew_at:
            return
        if self._pid == os.getpid() and self._renew():
            return
        token = secrets.token_hex(8)
        with _own_connection() as cursor:
            # Its own statement, not a get_or_create: SKIP LOCKED lets a hundred processes start at once.
            cursor.execute(
                """
                UPDATE console_node SET token = %s, leased_until = clock_timestamp() + %s * interval '1 second'
                WHERE number = (SELECT number FROM console_node WHERE leased_until < clock_timestamp()
                                ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING number
                """,
                [token, LEASE_SECONDS],
            )
            row = cursor.fetchone()
        if row is None:
            raise NoNodeFree("All 1024 node numbers are leased. Are there that many processes?")
        self._pid, self._node, self._token = os.getpid(), row[0], token
        self._held()
        # Ids of a former holder may reach up to now; ours begin after.
        self._last_ms, self._sequence = int(time.time() * 1000) - _EPOCH_MS, SEQUENCE

    def _held(self) -> None:
        self._renew_at = time.monotonic() + LEASE_SECONDS / 2
        # A minute less than it lasts: it began before the database answered.
        self._ends_at = time.monotonic() + LEASE_SECONDS - 60

    def _renew(self) -> bool:
        """Whether the number is still ours. A database that is away takes nothing from us before the lease ends."""
        try:
            renewed = self._renewed()
        except Error:
            if time.monotonic() >= self._ends_at:
                raise
            self._renew_at = time.monotonic() + RENEW_AGAIN
            return True
        if renewed:
            self._held()
        return renewed

    def _renewed(self) -> bool:
        with _own_connection() as cursor:
            cursor.execute(
                "UPDATE console_node SET leased_until = clock_timestamp() + %s * interval '1 second' "
                "WHERE number = %s AND token = %s",
                [LEASE_SECONDS, self._node, self._token],
            )
            return cursor.rowcount == 1


@contextmanager
def _own_connection() -> Iterator[Any]:
    """A cursor outside the caller's transaction: were a lease rolled back with it, the number would go to another
    process while this one goes on using it."""
    own = connection.copy()
    try:
        with own.cursor() as cursor:
            yield cursor
    finally:
        own.close()


_generator = _Generator()


def new_ids(count: int) -> list[int]:
    """`count` fresh ids in ascending order."""
    return _generator.take(count)


def new_id() -> int:
    return _generator.take(1)[0]
