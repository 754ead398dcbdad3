"""Asking the statistics: sums by day or hour of the account's clock, and the rates made of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from django.db.models import QuerySet, Sum
from django.db.models.functions import Trunc
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from delivery.models import Statistic, Summary, Total
from delivery.services import rollup
from delivery.services.columns import COLUMNS

LABELS = {
    "requested": _("Sends"),
    "rejected": _("Rejected"),
    "paid": _("Paid"),
    "invalid": _("Invalid addresses"),
    "spam": _("Bounces (spam)"),
    "other": _("Bounces (others)"),
    "delivered": _("Deliveries"),
    "opens": _("Opens"),
    "unique_opens": _("Opened"),
    "automatic_opens": _("Opens by machines"),
    "clicks": _("Clicks"),
    "unique_clicks": _("Clicked"),
    "automatic_clicks": _("Clicks by machines"),
    "unsubscriptions": _("Unsubscriptions"),
    "complaints": _("Complaints"),
    "delivery_rate": _("Delivery rate"),
    "open_rate": _("Open rate"),
    "click_rate": _("Click rate"),
    "unsubscription_rate": _("Unsubscription rate"),
    "complaint_rate": _("Complaint rate"),
}


@dataclass(frozen=True, slots=True)
class Rate:
    """A share in per cent: of `part` in `whole` less `without`."""

    part: str
    whole: str
    without: str = ""
    decimals: int = 1


RATES = {
    "delivery_rate": Rate("delivered", "requested", "rejected"),
    "open_rate": Rate("unique_opens", "delivered"),
    "click_rate": Rate("unique_clicks", "delivered"),
    "unsubscription_rate": Rate("unsubscriptions", "delivered"),
    "complaint_rate": Rate("complaints", "delivered", decimals=2),
}

# What "bounced" adds up to where it is one figure: every failure but those that a list stopped.
FAILED = ("invalid", "spam", "other")
# Per cent: Gmail and Yahoo want complaints under the first, and refuse mail from the second.
COMPLAINTS_MARK = 0.1
COMPLAINTS_END = 0.3


def behind(names: Iterable[str]) -> list[str]:
    """The columns that these columns and rates are made of."""
    wanted = set()
    for name in names:
        rate = RATES.get(name)
        wanted |= {rate.part, rate.whole, rate.without} if rate else {name}
    return [name for name in COLUMNS if name in wanted]


class Figures:
    """Sums by the names of COLUMNS, and the rates by the names of RATES (per cent; None: of nothing)."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * len(COLUMNS)

    def __getitem__(self, name: str) -> float | None:
        if name in RATES:
            rate = RATES[name]
            whole = self.count(rate.whole) - (self.count(rate.without) if rate.without else 0)
            return 100 * self.count(rate.part) / whole if whole > 0 else None
        return self.count(name)

    def count(self, name: str) -> int:
        return self.counts[_PLACES[name]]

    def add(self, other: Figures) -> None:
        self.counts = list(map(int.__add__, self.counts, other.counts))

    @classmethod
    def sum(cls, several: Iterable[Figures]) -> Figures:
        total = cls()
        for one in several:
            total.add(one)
        return total


_PLACES = {name: place for place, name in enumerate(COLUMNS)}


# Sums of one of the tables (models/statistics.py).
Rows: TypeAlias = QuerySet[Statistic] | QuerySet[Total] | QuerySet[Summary]


def summary(dimension: Summary.Dimension = Summary.Dimension.ALL, keys: Iterable[object] = ("",)) -> QuerySet[Summary]:
    """The sums of these values of one dimension; of everything unless told."""
    return Summary.objects.filter(dimension=dimension, key__in=[str(key) for key in keys])


def between(rows: Rows, start: dt.datetime, end: dt.datetime) -> Rows:
    """Of requests from `start` up to, but without, `end`. Whole quarter-hours: what begins in the period is in it."""
    return rows.filter(at__gte=start, at__lt=end)


def by(rows: Rows, field: str, columns: Sequence[str] = COLUMNS) -> list[tuple[Any, Figures]]:
    """(value of the field, sums of these columns; the others are 0). One query."""
    summed = rows.order_by().values_list(field).annotate(*(Sum(name, default=0) for name in columns))
    places = [_PLACES[name] for name in columns]
    found = []
    for value, *counts in summed:
        figures = Figures()
        for place, count in zip(places, counts, strict=True):
            figures.counts[place] = count
        found.append((value, figures))
    return found


def steps(
    rows: Rows,
    first: dt.datetime,
    last: dt.datetime,
    zone: ZoneInfo,
    *,
    hours: bool = False,
    columns: Sequence[str] = COLUMNS,
) -> list[tuple[dt.datetime, Figures]]:
    """Days, or hours, from `first` up to `last` (of the zone's clock, naive), each with the sums of these rows, which
    are of that period; none is left out. One query.

    An hour that the clock shows twice is one hour; one that it leaves out is there, and empty.
    """
    kind, step = ("hour", dt.timedelta(hours=1)) if hours else ("day", dt.timedelta(days=1))
    stepped = rows.annotate(step=Trunc("at", kind, tzinfo=zone))
    found: dict[dt.datetime, Figures] = {}
    for begin, figures in by(stepped, "step", columns):
        found.setdefault(begin.replace(tzinfo=None, fold=0), Figures()).add(figures)
    begin = first.replace(minute=0, second=0, microsecond=0) if hours else dt.datetime.combine(first, dt.time())
    made = []
    while begin < last:
        made.append((begin, found.get(begin, Figures())))
        begin += step
    return made


@dataclass(frozen=True, slots=True)
class Freshness:
    """Up to when everything is in the sums; None: nothing was summed yet."""

    at: dt.datetime | None
    behind: dt.timedelta

    @property
    def minutes(self) -> int:
        """Begun ones counted whole: never less than it is."""
        return -(-self.behind // dt.timedelta(minutes=1))

    @property
    def late(self) -> bool:
        return self.at is None or self.behind > rollup.LATE


def freshness(now: dt.datetime | None = None) -> Freshness:
    now = now or timezone.now()
    at = rollup.folded_at()
    return Freshness(at, max(dt.timedelta(), now - at) if at else dt.timedelta())
