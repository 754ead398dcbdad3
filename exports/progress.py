"""How far an export is, and whether it is still wanted: told and asked once a second while it is made."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from console import heartbeat
from exports.models import Export, State
from exports.pace import Pace

LEASE = dt.timedelta(seconds=60)
# An export stops before it takes the last of a disk: the database, or a journal, may lie on the same. Of a small one,
# a twentieth is left.
ROOM_BYTES, ROOM_SHARE = 500_000_000, 0.05
TELL_SECONDS = 1.0
CANCEL_SECONDS = 2.0


class Stopped(Exception):
    """Somebody cancelled it, or took it over."""


def mine(export: Export) -> QuerySet[Export]:
    """The export's row as long as it is this worker's."""
    return Export.objects.filter(pk=export.pk, state=State.RUNNING, claim=export.claim)


def _is_full(folder: Path) -> bool:
    disk = shutil.disk_usage(folder)
    return disk.free < min(ROOM_BYTES, disk.total * ROOM_SHARE)


class Progress:
    """Works in a thread with a connection of its own: the export's is busy with COPY."""

    def __init__(self, export: Export, path: Path) -> None:
        self._export, self._path = export, path
        self._rows, self._size = 0, 0
        # It is no longer this worker's; what it writes leaves no room for others.
        self.stopped = self.full = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._reading: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()
        self._pace = Pace()

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def tell(self, rows: int) -> None:
        """Rests where others need the machine. Raises Stopped when it was cancelled or taken over, OSError where the
        disk is full but for what is left to others."""
        self._rows = rows
        self._pace.rest()
        if self.stopped:
            raise Stopped
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What this thread asks of the database meanwhile is given up when the export is no longer wanted, and raises
        Stopped: a statement may take minutes to its first row."""
        connection.ensure_connection()
        with self._lock:
            self._reading = connection.connection
        try:
            yield
        except DatabaseError as error:
            if self.stopped:
                raise Stopped from error
            raise
        finally:
            # From here on nothing else is hit.
            with self._lock:
                self._reading = None

    def _run(self) -> None:
        try:
            while not self._end.wait(TELL_SECONDS):
                try:
                    with suppress(FileNotFoundError):  # not begun yet, or moved to its place
                        self.full = _is_full(self._path.parent)
                        self._size = self._path.stat().st_size
                    until = timezone.now() + LEASE
                    held = mine(self._export).update(rows=self._rows, size=self._size, claimed_until=until)
                    heartbeat.at_work()
                except DatabaseError:
                    # Its own statement will say the same.
                    connection.close()
                else:
                    self.stopped = not held
                    if self.stopped:
                        self._give_up_reading()
        finally:
            connection.close()

    def _give_up_reading(self) -> None:
        with self._lock, suppress(psycopg.Error):  # asked again in a second
            if self._reading is not None:
                self._reading.cancel_safe(timeout=CANCEL_SECONDS)
