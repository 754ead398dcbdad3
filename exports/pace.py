"""Exports give way: a file may take a little longer, mail must not.

Between rows whoever makes one rests, the longer the busier the machine is; what the database sends waits meanwhile, and
so does the database. (Being nice is not enough: most of the work is the server's, and systemd and Linux's autogroups
share the processor between services and sessions, whatever the niceness within.)
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
_TOTAL = re.compile(rb"some .*total=(\d+)")
LOOK_SECONDS = 1.0
WORK_SECONDS = 0.05
# Up to here an export may be the cause itself, with the server's process beside its own.
CALM = 0.6
# At most it rests so many times as long as it works.
MOST_REST = 3.0
# And in all so long, or a large file would never be made on a machine that is always busy (exports/jobs.py).
MOST_RESTED_SECONDS = 900.0


def rest_for(worked: float, pressure: float) -> float:
    """Seconds to rest after so many of work."""
    return worked * MOST_REST * max(0.0, min(pressure, 1.0) - CALM) / (1 - CALM)


class Pace:
    """Of one export; `rest` is called every few rows, and mostly does nothing."""

    def __init__(self) -> None:
        self._since = self._looked_at = time.monotonic()
        self._waited = waited()
        self._pressure = self._rested = 0.0

    def rest(self) -> None:
        now = time.monotonic()
        if now - self._since < WORK_SECONDS or self._rested >= MOST_RESTED_SECONDS:
            return
        if now - self._looked_at >= LOOK_SECONDS:
            self._look(now)
        # Not for long at once: cancelling shall act.
        rest = min(LOOK_SECONDS, rest_for(now - self._since, self._pressure))
        time.sleep(rest)
        self._rested += rest
        self._since = time.monotonic()

    def _look(self, now: float) -> None:
        total = waited()
        if total is None or self._waited is None:
            # Where the kernel does not say: those that run or want to, over a minute.
            self._pressure = os.getloadavg()[0] / (os.cpu_count() or 1) - 1
        else:
            self._pressure = (total - self._waited) / (now - self._looked_at)
        self._waited, self._looked_at = total, now


def waited() -> float | None:
    """Seconds in which anybody waited for a processor, since the machine was started (Linux, pressure stall
    information)."""
    try:
        found = _TOTAL.match(PRESSURE.read_bytes())
    except OSError:
        return None
    return int(found[1]) / 1_000_000 if found else None
