"""How many came back in a period, by day, sender domain and receiving domain. One statement, bounded.

Complaints and unsubscriptions are counted by their events. A hard bounce of the session leaves none: bounced addresses
are counted by the list, on the day of their latest hard bounce.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from console import ids
from console.window import Window
from suppression.models import Entry
from tracking.models import Event

# What is looked at, the newest first; of more it is said that there are more.
MOST = 100_000
# Domains named; the rest is added up.
NAMED = 50


@dataclass(frozen=True, slots=True)
class Share:
    """`name` is empty and `pk` None of what has no domain: what was put on a list by hand, or whose message is no
    longer kept. Receiving domains are told by their names alone. `parts`: how many of it fit each condition."""

    name: str
    count: int
    pk: int | None = None
    parts: tuple[int, ...] = ()


@dataclass(slots=True)
class Counted:
    """`days` holds each day of the window, those without anything too, and `day_parts` how many of each day fit each
    condition. `rest_…`: in domains that are not named."""

    total: int = 0
    days: list[tuple[dt.date, int]] = field(default_factory=list)
    day_parts: list[tuple[int, ...]] = field(default_factory=list)
    sender_domains: list[Share] = field(default_factory=list)
    receiving_domains: list[Share] = field(default_factory=list)

    @property
    def cut(self) -> bool:
        """There were more than are counted."""
        return self.total >= MOST

    @property
    def parts(self) -> tuple[int, ...]:
        return tuple(map(sum, zip(*self.day_parts, strict=True)))

    @property
    def rest_of_receiving(self) -> Share:
        return self._rest(self.receiving_domains)

    @property
    def rest_of_sending(self) -> Share:
        return self._rest(self.sender_domains)

    def _rest(self, named: Sequence[Share]) -> Share:
        parts = (whole - sum(one.parts[place] for one in named if one.parts) for place, whole in enumerate(self.parts))
        return Share("", self.total - sum(one.count for one in named), parts=tuple(parts))


def events(window: Window, kind: Event.Kind) -> QuerySet[Any]:
    """The events of this kind, to be filtered and counted. By the index event_response of the window's partitions."""
    return window.limit(Event.objects.filter(kind=kind)).order_by("-pk")


def hits(window: Window) -> QuerySet[Any]:
    """Opens and clicks, by people and machines."""
    return window.limit(Event.objects.filter(kind__in=(Event.Kind.OPEN, Event.Kind.CLICK))).order_by("-pk")


def bounced(window: Window) -> QuerySet[Any]:
    """The entries of the bounce list whose latest hard bounce was in the window, to be filtered and counted."""
    rows = Entry.objects.filter(list=Entry.List.BOUNCE)
    return window.limit(rows, "latest_at").order_by("-latest_at", "-pk")


def counted(rows: QuerySet[Any], window: Window, conditions: Sequence[str] = ()) -> Counted:
    """Count what `events`, `hits` or `bounced` gave, filtered or not, on the days of the window's zone. `conditions`:
    SQL over an event's `kind` and `automatic`, to be counted apart."""
    found, params, named = _found(rows)
    parts = "ARRAY[{}]::bigint[]".format(", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH found (at, sender, receiving, kind, automatic) AS MATERIALIZED ({found})
            SELECT 1 AS which, (at AT TIME ZONE %s)::date AS day, NULL::bigint, NULL, count(*), {parts}
            FROM found GROUP BY day
            UNION ALL (
                SELECT 2, NULL, s.id, s.name, count(*), {parts}
                FROM found LEFT JOIN delivery_senderdomain s ON s.id = sender
                GROUP BY s.id, s.name ORDER BY 5 DESC, s.name LIMIT %s
            )
            UNION ALL (
                SELECT 3, NULL, NULL, {named}, n, parts
                FROM (SELECT receiving, count(*) AS n, {parts} AS parts FROM found GROUP BY receiving) r
                ORDER BY 5 DESC, 4 LIMIT %s
            )
            """,  # noqa: S608 (what is put in is Django's own, or ours)
            [*params, window.zone.key, NAMED, NAMED],
        )
        return _sorted(cursor.fetchall(), window, len(conditions))


def _found(rows: QuerySet[Any]) -> tuple[str, Sequence[Any], str]:
    """SQL of (at, sender domain's key, receiving domain, kind, automatic) of these events, or entries; its parameters;
    and SQL of that receiving domain's name. Events have its key: to sort by names takes longer than all the rest."""
    if rows.model is Event:
        rows = rows.annotate(at=ids.time_in_sql()).values_list(
            "at", "sender_domain_id", "receiving_domain_id", "kind", "automatic"
        )
        sql, params = rows[:MOST].query.sql_with_params()
        return sql, params, "(SELECT d.name FROM delivery_receivingdomain d WHERE d.id = receiving)"
    rows = rows.values_list("latest_at", "message_id", "domain")
    sql, params = rows[:MOST].query.sql_with_params()
    # A join, not a look for each: the planner knows best how many messages that is.
    return (
        f"SELECT e.latest_at, m.sender_domain_id, e.domain, '', '' FROM ({sql}) e "  # noqa: S608 (Django's own)
        "LEFT JOIN delivery_message m ON m.id = e.message_id",
        params,
        "receiving",
    )


def _sorted(found: list[tuple[Any, ...]], window: Window, conditions: int) -> Counted:
    made = Counted()
    by_day: dict[dt.date, tuple[int, tuple[int, ...]]] = {}
    for which, day, domain, name, count, parts in found:
        if which == 1:
            by_day[day] = count, tuple(parts)
            made.total += count
        else:
            shares = made.sender_domains if which == 2 else made.receiving_domains
            shares.append(Share(name or "", count, domain, tuple(parts)))
    first, last = window.first.date(), (window.last - dt.timedelta(minutes=1)).date()
    for day in (first + dt.timedelta(days=number) for number in range((last - first).days + 1)):
        count, parts = by_day.get(day, (0, (0,) * conditions))
        made.days.append((day, count))
        made.day_parts.append(parts)
    return made
