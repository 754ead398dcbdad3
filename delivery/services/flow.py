"""Counting what goes through the queues: rows of 5 seconds, added up to minutes and tens of minutes as they age."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

BUCKET_SECONDS = 5
# A bucket is written a little after its end: before this it is not read.
LATE_SECONDS = 2
# (these seconds, are added up to these, after this long)
FOLDS = (
    (5, 60, dt.timedelta(minutes=10)),
    (60, 600, dt.timedelta(hours=4)),
)
KEPT = dt.timedelta(days=8)
COUNTS = ("joined", "tried", "left", "sent", "delivered", "bounced", "rejected")
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class Count:
    """What a worker counted for one queue and sender domain in one bucket."""

    at: dt.datetime
    queue_id: int
    sender_domain_id: int
    joined: int = 0
    tried: int = 0
    left: int = 0
    sent: int = 0
    delivered: int = 0
    bounced: int = 0
    rejected: int = 0
    reply: str = ""


def bucket(moment: dt.datetime, seconds: int = BUCKET_SECONDS) -> dt.datetime:
    """The beginning of the bucket that the moment falls into."""
    return moment - (moment - _EPOCH) % dt.timedelta(seconds=seconds)


def last_end(now: dt.datetime) -> dt.datetime:
    """The end of the last bucket that everybody has written by now."""
    return bucket(now - dt.timedelta(seconds=LATE_SECONDS))


def write(counts: Sequence[Count], *, worker: int) -> None:
    """Rows of the worker's own, in one statement; nobody else touches them until they are old."""
    if not counts:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO delivery_flow (worker, seconds, at, queue_id, sender_domain_id, {", ".join(_QUOTED)}, reply)
            SELECT %s, %s, * FROM unnest(%s::timestamptz[], %s::bigint[], %s::bigint[],
                {", ".join(["%s::int[]"] * len(COUNTS))}, %s::text[])
            """,  # noqa: S608  (names of our own)
            [
                worker,
                BUCKET_SECONDS,
                [one.at for one in counts],
                [one.queue_id for one in counts],
                [one.sender_domain_id for one in counts],
                *([getattr(one, name) for one in counts] for name in COUNTS),
                [one.reply for one in counts],
            ],
        )


_QUOTED = tuple(f'"{name}"' for name in COUNTS)  # LEFT is a word of SQL


def fold(*, now: dt.datetime) -> int:
    """Add up what is old enough into wider rows, and drop what nobody asks for any more; gives the rows taken away.

    Whole wider rows are made at a time; one that comes too late makes a second row, and the sum is right all the same.
    """
    gone = 0
    for seconds, wider, age in FOLDS:
        edge = bucket(now - age, wider)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"""
                WITH old AS (DELETE FROM delivery_flow WHERE seconds = %(seconds)s AND at < %(edge)s RETURNING *),
                folded AS (
                    INSERT INTO delivery_flow (worker, seconds, at, queue_id, sender_domain_id, {", ".join(_QUOTED)},
                                               reply)
                    SELECT 0, %(wider)s, date_bin(%(wider)s * interval '1 second', at, %(epoch)s), queue_id,
                           sender_domain_id, {", ".join(f"sum({name})" for name in _QUOTED)}, ''
                    FROM old GROUP BY 3, 4, 5
                )
                SELECT count(*) FROM old
                """,  # noqa: S608
                {"seconds": seconds, "wider": wider, "edge": edge, "epoch": _EPOCH},
            )
            gone += cursor.fetchone()[0]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM delivery_flow WHERE seconds = ANY(%s) AND at < %s", [_WIDTHS, now - KEPT])
        return gone + int(cursor.rowcount)


_WIDTHS = sorted({width for fold in FOLDS for width in fold[:2]})


@dataclass(frozen=True, slots=True)
class Point:
    """What was counted from `at`, as averages a second, by the names in COUNTS."""

    at: dt.datetime
    rates: dict[str, float]


def points(
    *,
    over: dt.timedelta,
    step: int,
    now: dt.datetime,
    queue_ids: Iterable[int] | None = None,
    sender_domain_id: int | None = None,
) -> list[Point]:
    """The averages of each `step` seconds, the oldest first, every step there; the last step is as long as it is."""
    end = last_end(now)
    begin = bucket(end - over, step)
    asked = ["seconds = ANY(%s)", "at >= %s", "at < %s"]
    values: list[Any] = [_WIDTHS, begin, end]
    if queue_ids is not None:
        asked.append("queue_id = ANY(%s)")
        values.append(list(queue_ids))
    if sender_domain_id is not None:
        asked.append("sender_domain_id = %s")
        values.append(sender_domain_id)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT date_bin(%s * interval '1 second', at, %s), {", ".join(f"sum({name})" for name in _QUOTED)}
            FROM delivery_flow WHERE {" AND ".join(asked)} GROUP BY 1
            """,  # noqa: S608
            [step, _EPOCH, *values],
        )
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    made = []
    at = begin
    while at < end:
        seconds = min(step, (end - at).total_seconds())
        sums = found.get(at) or (0,) * len(COUNTS)
        made.append(Point(at, {name: float(count) / seconds for name, count in zip(COUNTS, sums, strict=True)}))
        at += dt.timedelta(seconds=step)
    return made
