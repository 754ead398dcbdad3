"""The period that a page over messages or events covers: parsed once, frozen, passed on. At most 30 days."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console import ids

if TYPE_CHECKING:
    from django.db.models import QuerySet

    Rows = TypeVar("Rows", bound=QuerySet[Any, Any])

MAX_DAYS = 30
DEFAULT_DAYS = 7
PRESETS = (1, 7, 30)
_FORMATS = (("%Y-%m-%d", 1440), ("%Y-%m-%d %H:%M", 1), ("%Y-%m-%dT%H:%M", 1))
_DAY = dt.timedelta(days=1)


class WindowError(ValueError):
    """A period that can't be shown. `errors`: what to say beside which field (`from`, `to`)."""

    def __init__(self, **errors: str) -> None:
        super().__init__(errors)
        self.errors = {name.rstrip("_"): text for name, text in errors.items()}


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` up to, but without, `end`: aware, in UTC. `first` and `last` are the wall clock's, in `zone`."""

    start: dt.datetime
    end: dt.datetime
    first: dt.datetime
    last: dt.datetime
    zone: ZoneInfo

    @classmethod
    def days(cls, days: int, zone: ZoneInfo, now: dt.datetime) -> Window:
        """The last `days` calendar days of the zone, today included."""
        midnight = dt.datetime.combine(now.astimezone(zone).date(), dt.time())
        return cls._of(midnight - (days - 1) * _DAY, midnight + _DAY, zone)

    @classmethod
    def everything(cls, zone: ZoneInfo) -> Window:
        """All that there is: to tell "nothing yet" from "nothing found", never to list."""
        return cls._of(dt.datetime(2020, 1, 1), dt.datetime(2089, 1, 1), zone)

    @classmethod
    def parse(cls, params: Mapping[str, str], zone: ZoneInfo, now: dt.datetime) -> Window:
        """Read `from` and `to`: YYYY-MM-DD or YYYY-MM-DD HH:MM on the zone's clock, both ends included.

        Without either: the last 7 days. With one: 7 days from there, or up to there.
        Raises WindowError when unreadable, backwards, or over 30 days.
        """
        errors: dict[str, str] = {}
        first = _read(params, "from", errors)
        last = _read(params, "to", errors)
        if errors:
            raise WindowError(**{f"{name}_": text for name, text in errors.items()})
        if first is None and last is None:
            return cls.days(DEFAULT_DAYS, zone, now)
        week = DEFAULT_DAYS * _DAY
        begin = first[0] if first else dt.datetime.combine((last or first)[1].date(), dt.time()) - week  # type: ignore[index]
        end = last[1] if last else begin + week
        if end <= begin:
            raise WindowError(to_=_("This is before the beginning. Enter a later time."))
        days = math.ceil((end - begin) / _DAY)
        if days > MAX_DAYS:
            raise WindowError(
                from_=_("%(days)s days. Choose at most %(max)s consecutive days.") % {"days": days, "max": MAX_DAYS}
            )
        return cls._of(begin, end, zone)

    @classmethod
    def _of(cls, first: dt.datetime, end: dt.datetime, zone: ZoneInfo) -> Window:
        start_at, end_at = _instant(first, zone), _instant(end, zone)
        if end.time() != dt.time():
            # An hour that the clock shows twice belongs to the period with both its turns. Midnight does not: there
            # one day's end has to be the next day's beginning.
            end_at = max(end_at, _instant(end.replace(fold=1), zone))
        return cls(start_at, end_at, first, end, zone)

    def id_range(self) -> tuple[int, int]:
        """The ids made in the period: `lo <= id < hi`."""
        return ids.id_at(self.start), ids.id_at(self.end)

    def limit(self, rows: Rows, field: str = "pk") -> Rows:
        """Only the rows of the period: by time-ordered id (`pk`), or by a field of times."""
        lo, hi = self.id_range() if field in ("pk", "id") or field.endswith("_id") else (self.start, self.end)
        return rows.filter(**{f"{field}__gte": lo, f"{field}__lt": hi})

    @property
    def length(self) -> int:
        """Days on the wall clock, begun ones counted whole."""
        return math.ceil((self.last - self.first) / _DAY)

    def params(self) -> dict[str, str]:
        """As absolute parameters: what a stored export or a second page needs to mean the same period."""
        return {"from": f"{self.first:%Y-%m-%d %H:%M}", "to": f"{self.last - dt.timedelta(minutes=1):%Y-%m-%d %H:%M}"}

    def __str__(self) -> str:
        """“15–21 Nov, 7 days”; times only where they cut a day."""
        last = self.last - dt.timedelta(minutes=1)
        count = ngettext("%(days)s day", "%(days)s days", self.length) % {"days": self.length}
        if self.first.time() != dt.time() or self.last.time() != dt.time():
            form = "j M H:i"
            return f"{date_format(self.first, form)} – {date_format(last, form)}"
        if self.first.date() == last.date():
            return f"{date_format(last, 'j M')}, {count}"
        same = (self.first.year, self.first.month) == (last.year, last.month)
        joint = "–" if same else " – "
        return f"{date_format(self.first, 'j' if same else 'j M')}{joint}{date_format(last, 'j M')}, {count}"


def _instant(wall: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The moment at which the zone's clock shows `wall`; in a spring gap, as if the clock had not been moved."""
    return wall.replace(tzinfo=zone).astimezone(dt.UTC)


def _read(params: Mapping[str, str], name: str, errors: dict[str, str]) -> tuple[dt.datetime, dt.datetime] | None:
    """The first moment of what is written, and the first after it (both naive)."""
    text = " ".join((params.get(name) or "").split())
    if not text:
        return None
    for form, minutes in _FORMATS:
        try:
            moment = dt.datetime.strptime(text, form)
        except ValueError:
            continue
        if 2000 <= moment.year <= 2088:
            return moment, moment + dt.timedelta(minutes=minutes)
    errors[name] = _("Enter a day as YYYY-MM-DD, or a time as YYYY-MM-DD HH:MM.")
    return None
