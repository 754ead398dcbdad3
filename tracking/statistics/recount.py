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
from django.db.models import Min

from console import ids
from console.partitions import month_start
from delivery.engine.retry import is_simulated
from delivery.models import Message
from delivery.services import deltas, rollup
from delivery.services.columns import COLUMNS, counts, of_outcome
from tracking.models import Event

STEP = dt.timedelta(hours=1)
_LOCK = 0x5265_636F
# (receiving domain, quarter, API user, sender domain, template, label): rollup.KEY.
Key = tuple[int, dt.datetime, int, int, int, str]
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
        """What is to be appended to put it right."""
        domain, at, user, sender, template, label = self.key
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
    """From when on the rows are complete: whole months are dropped when they are old. None: there are none."""
    first = Message.objects.aggregate(first=Min("pk"))["first"]
    return month_start(ids.time_of(first)) if first is not None else None


def recount(start: dt.datetime, end: dt.datetime, *, mend: bool = False) -> Iterator[Recount]:
    """Go through the requests of [start, end), widened to whole hours, and give what was found, hour by hour.

    Not before `earliest`: there the sums are all that is left. Raises AnotherRuns.
    """
    first = earliest()
    if first is None:
        return
    at = max(first, start.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0))
    with _alone():
        while at < end:
            yield _hour(at, at + STEP, mend=mend)
            at += STEP


def _hour(start: dt.datetime, end: dt.datetime, *, mend: bool) -> Recount:
    found = Recount(start, end)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        right, have = _from_rows(cursor, start, end), _from_sums(cursor, start, end)
        _over_all_domains(right)
        zero = [0] * len(COLUMNS)
        for key in sorted(right.keys() | have.keys()):
            if right.get(key, zero) != have.get(key, zero):
                found.differences.append(Difference(key, have.get(key, zero), right.get(key, zero)))
            if key[0] == 0:
                for name, number in zip(COLUMNS, right.get(key, zero), strict=True):
                    found.total[name] += number
        if mend and found.differences:
            deltas.append([one.delta for one in found.differences if one.key[0]], by_template=True)
    if mend and any(not one.key[0] for one in found.differences):
        # The sums over all domains have no deltas of their own.
        with transaction.atomic(), connection.cursor() as cursor:
            rollup.total_again(cursor, start, end)
    return found


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
    row = sums[domain, ids.EPOCH + quarter * deltas.QUARTER, user, sender, template, label]
    for place, number in enumerate(columns):
        row[place] += number * times


def _over_all_domains(sums: Sums) -> None:
    for (_domain, *rest), row in list(sums.items()):
        total = sums.setdefault((0, *rest), [0] * len(COLUMNS))  # type: ignore[arg-type]
        for place, number in enumerate(row):
            total[place] += number


def _from_sums(cursor: Any, start: dt.datetime, end: dt.datetime) -> Sums:
    """What the sums say, with what is not folded yet."""
    columns = ", ".join(COLUMNS)
    summed = ", ".join(f"sum({name})" for name in COLUMNS)
    key, rest = ", ".join(rollup.KEY), ", ".join(rollup.KEY[1:])
    period = "at >= %(start)s AND at < %(end)s"
    cursor.execute(
        f"""
        SELECT {key}, {summed} FROM (
            SELECT {key}, {columns} FROM delivery_statistic WHERE {period}
            UNION ALL SELECT {key}, {columns} FROM delivery_delta WHERE {period}
            UNION ALL SELECT 0, {rest}, {columns} FROM delivery_delta WHERE {period}
        ) each GROUP BY {key}
        """,  # noqa: S608  (names of our own)
        {"start": start, "end": end},
    )
    return {tuple(row[:6]): [int(number) for number in row[6:]] for row in cursor.fetchall()}


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
