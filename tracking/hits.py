"""Opens and clicks on their way into the database: taken from the requests at once, written in batches.

    request ── add() ──→ queue ── writer thread, every 0.3 s or 1,000 hits ──→ recording.write()

One queue and one writer for each process. What was acknowledged is written when the process ends in order (atexit:
gunicorn's workers end so on SIGTERM and when they are replaced); a kill -9 costs what came in the last moments, since
whoever comes while a hit is overdue by `PATIENCE` waits for the writer, too. While the database is away, hits are
kept up to `MOST`; those above are lost, and the log says how many.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Literal, NamedTuple

import structlog
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection

log = structlog.get_logger()

BATCH = 1000
MOST = 20_000
# So many seconds more than it should a hit may have waited while others are still taken without waiting.
PATIENCE = 0.3
# So long a request waits for the writer at most, and an ending process for the last batch.
WAIT_SECONDS = 2.0
END_SECONDS = 4.0
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)


class Hit(NamedTuple):
    """An open or a click. `id` will be the event's and is its time. `hints`: request headers that rules ask for."""

    id: int
    message_id: int
    kind: Literal["open", "click"]
    link: str = ""
    ip: str | None = None
    user_agent: str = ""
    hints: tuple[tuple[str, str], ...] = ()


Write = Callable[[Sequence[Hit]], None]


class Queue:
    """Bounded. `write` is called by one thread at a time, with at most BATCH hits in the order in which they came; it
    may be called again with hits that it has written, when it failed after that.

    `seconds`: how long hits are gathered; 0: each is written by whoever brings it.
    """

    def __init__(self, write: Write, *, seconds: float, most: int = MOST) -> None:
        self._write = write
        self._seconds = seconds
        self._most = most
        # (when it came by the monotonic clock, the hit); those being written still stand in front.
        self._hits: deque[tuple[float, Hit]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._away = False
        self._lost = 0

    def add(self, hit: Hit) -> None:
        """Take a hit; it is acknowledged when this returns. Raises nothing that has to do with the database."""
        if self._seconds <= 0:
            self._write_alone(hit)
            return
        with self._changed:
            if not self._away and (len(self._hits) >= self._most or self._late()):
                self._changed.wait_for(lambda: self._away or not self._late(), WAIT_SECONDS)
            full = len(self._hits) >= self._most
            if full and self._away:
                self._lost += 1
                return
            if not full and not self._closing:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="hits", daemon=True)
                    self._thread.start()
                self._hits.append((time.monotonic(), hit))
                if len(self._hits) in (1, BATCH):
                    self._changed.notify_all()
                return
        self._write_alone(hit)

    def close(self, seconds: float = END_SECONDS) -> None:
        """Write what is there, and end the thread. What comes later is written by whoever brings it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(seconds)
        if self._hits:
            log.error("hits_lost", count=len(self._hits), why="they could not be written before the end")

    def _late(self) -> bool:
        return bool(self._hits) and time.monotonic() - self._hits[0][0] > self._seconds + PATIENCE

    def _write_alone(self, hit: Hit) -> None:
        try:
            self._write([hit])
        except Error:
            # Whoever reads the mail gets to the page all the same.
            log.exception("hits_lost", count=1)

    def _run(self) -> None:
        failures = 0
        try:
            while (batch := self._next()) is not None:
                try:
                    self._write(batch)
                except (OperationalError, InterfaceError) as error:
                    connection.close()
                    failures += 1
                    self._wait_for_database(failures, str(error).strip())
                    continue
                except Exception:
                    # One that can't be written must not take the others with it.
                    log.exception("hits_singly", count=len(batch))
                    for hit in batch:
                        self._write_alone(hit)
                failures = 0
                self._done(len(batch))
        finally:
            connection.close()

    def _next(self) -> list[Hit] | None:
        """The next batch, when it is time; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._hits or self._closing)
            if not self._hits:
                return None
            rest = self._hits[0][0] + self._seconds - time.monotonic()
            self._changed.wait_for(lambda: len(self._hits) >= BATCH or self._closing, max(0.0, rest))
            return [hit for _at, hit in islice(self._hits, BATCH)]

    def _done(self, count: int) -> None:
        with self._changed:
            for _n in range(count):
                self._hits.popleft()
            self._away = False
            if self._lost:
                log.error("hits_lost", count=self._lost, why="the database was away, and too many came meanwhile")
                self._lost = 0
            self._changed.notify_all()

    def _wait_for_database(self, failures: int, why: str) -> None:
        with self._changed:
            if not self._away:
                log.warning("hits_wait", waiting=len(self._hits), why=why)
            self._away = True
            self._changed.notify_all()
            wait = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, wait)
            else:
                time.sleep(BACKOFF_SECONDS[0])


_queue: Queue | None = None
_lock = threading.Lock()


def add(hit: Hit) -> None:
    """Take a hit of this process."""
    (_queue or _begin()).add(hit)


def _begin() -> Queue:
    global _queue
    from tracking import recording

    with _lock:
        if _queue is None:
            _queue = Queue(recording.write, seconds=settings.HIT_SECONDS)
            atexit.register(_queue.close)
        return _queue


def close() -> None:
    """Write what this process has, and begin anew with the next hit."""
    global _queue
    with _lock:
        queue, _queue = _queue, None
    if queue is not None:
        atexit.unregister(queue.close)
        queue.close()


def _forget() -> None:
    """A forked child has no writer, and its parent's hits are its parent's."""
    global _queue, _lock
    _queue, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
