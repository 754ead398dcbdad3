"""Who came how often: connections open and messages begun in each second, by (group, client IP).

A group is what a limit would hold for: a mood's domain, `sink.test` (one server for many domains), any other domain.
The log `peaks.log` has a line for each second in which somebody of a group called or sent, its fields separated by
tabs; the numbers are as they came, those that were turned away among them, so that a limit can be checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PEAKS = "peaks.log"
GROUPS = 20_000  # beyond it, those with nothing open are forgotten


@dataclass(frozen=True, slots=True)
class Second:
    """What one client did to one group in one second of the wall clock."""

    second: int
    group: str
    client: str
    connections: int  # most open at once
    messages: int  # begun


@dataclass(slots=True)
class Peak:
    """The most that one client ever did to one group."""

    connections: int = 0
    messages: int = 0  # in one second


@dataclass(slots=True)
class _Count:
    open: int = 0
    second: int = 0
    connections: int = 0
    messages: int = 0
    peak_connections: int = 0
    peak_messages: int = 0


class Tally:
    """`write` is given complete lines (without their ends)."""

    def __init__(self, write: Callable[[list[str]], None], clock: Callable[[], float] = time.time) -> None:
        self._write = write
        self._clock = clock
        self._counts: dict[tuple[str, str], _Count] = {}
        self._touched: set[tuple[str, str]] = set()
        self._lines: list[str] = []

    def opened(self, group: str, client: str) -> int:
        """A connection came; gives how many are open now, this one included."""
        count = self._now(group, client)
        count.open += 1
        count.connections = max(count.connections, count.open)
        count.peak_connections = max(count.peak_connections, count.open)
        return count.open

    def closed(self, group: str, client: str) -> None:
        self._now(group, client).open -= 1

    def message(self, group: str, client: str) -> int:
        """A message begins; gives how many did in this second, this one included."""
        count = self._now(group, client)
        count.messages += 1
        count.peak_messages = max(count.peak_messages, count.messages)
        return count.messages

    def peaks(self) -> dict[tuple[str, str], Peak]:
        """By (group, client IP), since the start."""
        return {key: Peak(count.peak_connections, count.peak_messages) for key, count in self._counts.items()}

    def flush(self, all_: bool = False) -> None:
        """Write down the seconds that are over; all of them at the end."""
        now = int(self._clock())
        for key in [key for key in self._touched if all_ or self._counts[key].second < now]:
            self._close(key, self._counts[key])
        if self._lines:
            lines, self._lines = self._lines, []
            self._write(lines)

    def _now(self, group: str, client: str) -> _Count:
        key = group, client
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= GROUPS:
                self._forget()
            count = self._counts[key] = _Count()
        second = int(self._clock())
        if count.second != second:
            self._close(key, count)
            count.second = second
            count.connections = count.open
        self._touched.add(key)
        return count

    def _close(self, key: tuple[str, str], count: _Count) -> None:
        if key in self._touched:
            self._lines.append(f"{count.second}\t{key[0]}\t{key[1]}\t{count.connections}\t{count.messages}")
            self._touched.discard(key)
        count.messages = 0

    def _forget(self) -> None:
        for key in [key for key, count in self._counts.items() if not count.open]:
            self._close(key, self._counts.pop(key))


def read(path: Path) -> Iterator[Second]:
    """The seconds of a log, oldest first; one that does not exist has none, a torn line is passed over."""
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return
    for line in text.split("\n"):
        fields = line.split("\t")
        if len(fields) == 5 and all(fields[n].isdecimal() for n in (0, 3, 4)):
            yield Second(int(fields[0]), fields[1], fields[2], int(fields[3]), int(fields[4]))
