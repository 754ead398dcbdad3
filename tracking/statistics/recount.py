"""Counting everything again from the rows, to prove the statistics or to mend them.

An hour of requests at a time, each in one snapshot of the database: the rows, the sums and the deltas that are not
folded yet. As whatever changes rows appends its deltas in the same transaction, the two sides agree in every snapshot,
however much mail flows. What differs is mended by appending the difference.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from console import ids
from console.partitions import first_month
from delivery.engine.retry import is_simulated
from delivery.models import Delta, Message, Statistic, Summary, Total
from delivery.services import deltas, rollup
from delivery.services.columns import COLUMNS, counts, of_outcome
from tracking.models import Event

STEP = dt.timedelta(hours=1)
Dimension = Summary.Dimension
_LOCK = 0x5265_636F
# A table of sums, and its row: rollup.KEY, TOTAL_KEY, SUMMARY_KEY.
Key = tuple[type[Model], tuple[Any, ...]]
Sums = dict[Key, list[int]]


class AnotherRuns(RuntimeError):
    """Two that mend at the same time would mend twice."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where sums and rows disagree. `found` and `right` are in the order of COLUMNS."""

    key: Key
    found: list[int]
    right: list[int]

    @property
    def delta(self) -> tuple[Any, ...]:
        """What is to be appended to put a sum by receiving domain right."""
        domain, at, user, sender, template, label = self.key[1]
        return at, user, sender, domain, template, label, *map(int.__sub__, self.right, self.found)

    @property
    def what(self) -> str:
        return ", ".join(
            f"{name} {found} instead of {right}"
            for name, found, right in zip(COLUMNS, self.found, self.right, strict=True)
            if found != right
        )


@dataclass(slots=True)
class Recount:
    """What was gone through: [start, end), the sums over all of it as the rows say, and where they were found wrong."""

    start: dt.datetime
    end: dt.datetime
    total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLUMNS, 0))
    differences: list[Difference] = field(default_factory=list)


def earliest() -> dt.datetime | None:
    """From when on the rows are complete, messages and events: whole months are dropped when they are old. None: there
    are none."""
    if not Message.objects.exists():
        return None
    return max(filter(None, (first_month(Message), first_month(Event))))


def recount(start: dt.datetime, end: dt.datetime, *, mend: bool = False) -> Iterator[Recount]:
    """Go through the requests of [start, end), widened to whole hours, and give what was found, hour by hour.

    Not before `earliest`: there the sums are all that is left. Raises AnotherRuns.
    """
    first = earliest()
    if first is None:
        return
    at = max(first, start)
    with _alone():
        while (begin := _next(at)) is not None and begin < end:
            at = begin + STEP
            yield _hour(begin, at, mend=mend)


def _next(moment: dt.datetime) -> dt.datetime | None:
    """The beginning of the hour at or after `moment`'s in which there is anything to be counted, or counted already."""
    since = _whole_hour(moment)
    found = [
        ids.time_of(first)
        for first in Message.objects.filter(pk__gte=ids.id_at(since)).order_by("pk").values_list("pk", flat=True)[:1]
    ]
    for table in (Statistic, Total, Summary, Delta):
        found += table.objects.filter(at__gte=since).order_by("at").values_list("at", flat=True)[:1]
    return _whole_hour(min(found)) if found else None


def _whole_hour(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)


def _hour(start: dt.datetime, end: dt.datetime, *, mend: bool) -> Recount:
    found = Recount(start, end)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        right, have = _with_derived(_from_rows(cursor, start, end)), _from_sums(cursor, start, end)
        zero = [0] * len(COLUMNS)
        for key in sorted(right.keys() | have.keys(), key=_order):
            if right.get(key, zero) != have.get(key, zero):
                found.differences.append(Difference(key, have.get(key, zero), right.get(key, zero)))
            if key[0] is Total:
                for name, number in zip(COLUMNS, right.get(key, zero), strict=True):
                    found.total[name] += number
        if mend:
            deltas.append([one.delta for one in found.differences if one.key[0] is Statistic], by_template=True)
    if mend and any(one.key[0] is not Statistic for one in found.differences):
        # What is derived has no deltas of its own.
        with transaction.atomic(), connection.cursor() as cursor:
            rollup.sum_again(cursor, start, end)
    return found


def _order(key: Key) -> tuple[str, str]:
    return key[0].__name__, str(key[1])


def _from_rows(cursor: Any, start: dt.datetime, end: dt.datetime) -> Sums:
    """What messages and events say."""
    found: Sums = defaultdict(lambda: [0] * len(COLUMNS))
    bounds = {"low": ids.id_at(start), "high": ids.id_at(end) - 1}
    cursor.execute(
        f"SELECT {_KEY}, m.status, m.reason, d.name, count(*) FROM delivery_message m {_JOINS} "  # noqa: S608
        f"LEFT JOIN delivery_receivingdomain d ON d.id = m.receiving_domain_id "
        f"WHERE m.id BETWEEN %(low)s AND %(high)s GROUP BY {_BY}, m.status, m.reason, d.name",
        bounds,
    )
    for quarter, *key, status, reason, name, number in cursor.fetchall():
        _add(found, quarter, key, of_outcome(status, reason, is_simulated(name or "")), number)
    # Events are found by their message: they may be much younger than it.
    cursor.execute(
        f"SELECT {_KEY}, e.kind, e.automatic <> '', count(*), count(DISTINCT m.id) FROM delivery_message m "  # noqa: S608
        f"JOIN tracking_event e ON e.message_id = m.id AND e.message_id BETWEEN %(low)s AND %(high)s {_JOINS} "
        f"WHERE m.id BETWEEN %(low)s AND %(high)s GROUP BY {_BY}, e.kind, e.automatic <> ''",
        bounds,
    )
    for quarter, *key, kind, automatic, times, messages in cursor.fetchall():
        _add(found, quarter, key, _of_events(kind, automatic, times, messages), 1)
    return dict(found)


def _of_events(kind: str, automatic: bool, times: int, messages: int) -> tuple[int, ...]:
    if kind == Event.Kind.OPEN:
        return counts(automatic_opens=times) if automatic else counts(opens=times, unique_opens=messages)
    if kind == Event.Kind.CLICK:
        return counts(automatic_clicks=times) if automatic else counts(clicks=times, unique_clicks=messages)
    if kind == Event.Kind.UNSUBSCRIBE:
        return counts(unsubscriptions=messages)
    if kind == Event.Kind.COMPLAINT:
        return counts(complaints=messages)
    return counts()


def _add(sums: Sums, quarter: int, key: Any, columns: tuple[int, ...], times: int) -> None:
    user, sender, domain, template, label = key
    row = sums[Statistic, (domain, ids.EPOCH + quarter * deltas.QUARTER, user, sender, template, label)]
    for place, number in enumerate(columns):
        row[place] += number * times


def _with_derived(sums: Sums) -> Sums:
    """Sums by receiving domain, and the totals and summaries that follow from them."""
    found: Sums = defaultdict(lambda: [0] * len(COLUMNS), sums)
    for (_table, key), row in sums.items():
        domain, at, user, sender, template, label = key
        dimensions = {
            Dimension.ALL: "",
            Dimension.API_USER: user,
            Dimension.SENDER_DOMAIN: sender,
            Dimension.RECEIVING_DOMAIN: domain,
            Dimension.TEMPLATE: template,
            Dimension.LABEL: label,
        }
        derived: list[Key] = [(Total, key[1:])]
        derived += [(Summary, (dimension, str(value), at)) for dimension, value in dimensions.items()]
        for one in derived:
            found[one] = list(map(int.__add__, found[one], row))
    return dict(found)


def _from_sums(cursor: Any, start: dt.datetime, end: dt.datetime) -> Sums:
    """What the tables of sums say, with what is not folded yet."""
    found = _with_derived(_read(cursor, Delta, rollup.KEY, start, end, Statistic))
    for table, key in ((Statistic, rollup.KEY), (Total, rollup.TOTAL_KEY), (Summary, rollup.SUMMARY_KEY)):
        for one, row in _read(cursor, table, key, start, end, table).items():
            found[one] = list(map(int.__add__, found[one], row)) if one in found else row
    return found


def _read(
    cursor: Any, table: type[Model], key: tuple[str, ...], start: dt.datetime, end: dt.datetime, into: type[Model]
) -> Sums:
    cursor.execute(
        f"SELECT {', '.join(key)}, {', '.join(f'sum({name})' for name in COLUMNS)} FROM {table._meta.db_table} "  # noqa: S608
        f"WHERE at >= %s AND at < %s GROUP BY {', '.join(key)}",
        [start, end],
    )
    width = len(key)
    return {(into, tuple(row[:width])): [int(number) for number in row[width:]] for row in cursor.fetchall()}


@contextmanager
def _alone() -> Iterator[None]:
    # Of the session, and taken before the first snapshot.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            raise AnotherRuns("Another recount is under way: let it end first.")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


_KEY = (
    f"(m.id >> {ids.SHIFT}) / {deltas.QUARTER_MS} AS quarter, m.api_user_id, m.sender_domain_id, "
    "m.receiving_domain_id, coalesce(v.template_id, 0) AS template_id, m.label"
)
_BY = "quarter, m.api_user_id, m.sender_domain_id, m.receiving_domain_id, coalesce(v.template_id, 0), m.label"
_JOINS = "LEFT JOIN delivery_templateversion v ON v.id = m.version_id"
