"""When a task runs, and when its mail may go: local wall-clock time over daylight-saving changes. Pure.

A local time that a day does not have is moved forward by the length of the gap (02:30 becomes 03:30); one that a day
has twice is the first (RFC 5545 §3.3.5 reads local times the same way).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass


def local_moment(day: dt.date, time: dt.time, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """The moment, in UTC, at which clocks in `zone` show this time on this day."""
    # fold=0: of two the first; and in a gap the offset before it, which lands behind the gap.
    return dt.datetime.combine(day, time.replace(fold=0), zone).astimezone(dt.UTC)


def next_run(
    first: dt.date,
    time: dt.time,
    every_days: int,
    zone: zoneinfo.ZoneInfo,
    *,
    after: dt.datetime,
    until: dt.date | None = None,
) -> dt.datetime | None:
    """The first run later than `after`: on `first` and every so many days, at the same local time. None: all are over,
    for the next one would be later than the day `until`."""
    # A day early, for a time in a gap can be moved past midnight; the loop takes two or three rounds.
    passed = (after.astimezone(zone).date() - first).days - 1
    day = first + dt.timedelta(days=max(0, passed // every_days) * every_days)
    while until is None or day <= until:
        moment = local_moment(day, time, zone)
        if moment > after:
            return moment
        day += dt.timedelta(days=every_days)
    return None


@dataclass(frozen=True, slots=True)
class SendWindow:
    """The part of each day in which mail may go: from `opens` up to `closes`, over midnight where that is earlier."""

    opens: dt.time
    closes: dt.time

    def is_open(self, now: dt.datetime, zone: zoneinfo.ZoneInfo) -> bool:
        clock = now.astimezone(zone).time()
        if self.opens < self.closes:
            return self.opens <= clock < self.closes
        return clock >= self.opens or clock < self.closes

    def next_opening(self, now: dt.datetime, zone: zoneinfo.ZoneInfo) -> dt.datetime:
        """When it opens next, later than now."""
        today = now.astimezone(zone).date()
        days = (today + dt.timedelta(days=n) for n in range(3))
        return next(moment for day in days if (moment := local_moment(day, self.opens, zone)) > now)

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}–{self.closes:%H:%M}"
