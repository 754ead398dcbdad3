"""How each queue stands. Taken for everybody at once, when somebody looks and the last look is old, into a table that
the page filters and sorts.

The waiting rows are counted by one pass over their table, without an index of their own: an index would have to be kept
by every claim and every settled mail, the pass costs something only while somebody looks. It is made every 5 seconds at
most, and the more seldom the longer it takes, so that it never uses more than a tenth of one core.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from delivery.engine import shape
from delivery.models import LookedAt, QueuePause, Standing
from delivery.services import flow

FRESH = dt.timedelta(seconds=4.5)
# For the menu's count and the overview, which are on every page.
FRESH_ENOUGH = dt.timedelta(seconds=30)
SHARE_OF_TIME = 10
# Paused for longer, it is said loudly.
TOO_LONG = dt.timedelta(days=2)
# A slow pace is told of for so long after a pause.
REMEMBERED = dt.timedelta(hours=2)
# Queues without mail shown of a paused group, so that it can be recovered.
EMPTY_SHOWN = 20
_LOCK = 0x5175_6575


def look(*, now: dt.datetime, fresh: dt.timedelta = FRESH, force: bool = False) -> None:
    """Take the standings anew unless the last are fresh. Who finds somebody else at it shows the last."""
    if not force:
        last = LookedAt.objects.order_by("-at").first()
        if last is not None and now - last.at < max(fresh, dt.timedelta(seconds=last.seconds * SHARE_OF_TIME)):
            return
    with transaction.atomic(), connection.cursor() as cursor:
        if force:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        else:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                return
        begun = time.monotonic()
        _take(cursor, now)
        LookedAt.objects.update_or_create(pk=1, defaults={"at": now, "seconds": time.monotonic() - begun})


def _take(cursor: Any, now: dt.datetime) -> None:
    end = flow.last_end(now)
    windows = ", ".join(
        f"coalesce(sum(\"{name}\") FILTER (WHERE at >= %(end)s - interval '{seconds} s' AND at < %(end)s), 0) "
        f"AS {name}_{seconds}"
        for name in ("joined", "tried", "left")
        for seconds in (5, 15, 30)
    )
    names = [f"{name}_{seconds}" for name in ("joined", "tried", "left") for seconds in (5, 15, 30)]
    columns = [
        *("queue_id", "status", "rank", "pause_id", "since", "pace", "waiting", "later", "held", "next_due"),
        *names,
        "reply",
    ]
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in ("queue_id", "reply"))
    cursor.execute(
        f"""
        WITH waits AS (
            SELECT queue_id, count(*) AS waiting, count(*) FILTER (WHERE state = 1) AS later,
                   count(*) FILTER (WHERE state = 2) AS held, count(*) FILTER (WHERE state IN (0, 3)) AS moving,
                   min(due) FILTER (WHERE state = 1) AS next_due,
                   CASE WHEN min(limit_group_id) = max(limit_group_id) THEN min(limit_group_id) END AS group_id
            FROM delivery_waiting GROUP BY queue_id
        ), moves AS (
            SELECT queue_id, {windows}, sum(tried) AS tried,
                   coalesce((array_agg(reply ORDER BY at DESC) FILTER (WHERE reply <> ''))[1], '') AS reply
            FROM delivery_flow WHERE seconds = 5 AND at >= %(end)s - interval '30 s' GROUP BY queue_id
        ), paused AS (
            SELECT limit_group_id, (array_agg(id ORDER BY sending_ip <> '', paused_until, id))[1] AS pause_id,
                   (array_agg(since ORDER BY sending_ip <> '', paused_until, id))[1] AS since,
                   bool_or(sending_ip = '')
                       OR count(*) FILTER (WHERE sending_ip = ANY(%(ips)s::text[]))
                           >= cardinality(%(ips)s::text[]) AS whole
            FROM delivery_queuepause WHERE paused_until > %(now)s
            GROUP BY limit_group_id
        ), slow AS (
            SELECT limit_group_id, min(least(1, pace * power(%(creep)s::float8,
                       greatest(0, extract(epoch FROM %(now)s - pace_at) / 60)))) AS pace
            FROM delivery_queuepause WHERE paused_until > %(now)s - %(remembered)s GROUP BY limit_group_id
        ), empty AS (
            SELECT e.id AS queue_id FROM paused p CROSS JOIN LATERAL (
                SELECT q.id FROM delivery_receivingdomain d JOIN delivery_queue q ON q.receiving_domain_id = d.id
                WHERE d.limit_group_id = p.limit_group_id LIMIT {EMPTY_SHOWN}
            ) e WHERE p.whole
        ), fresh AS (
            SELECT q.id AS queue_id, coalesce(p.whole, false) AS whole, p.pause_id, p.since,
                   coalesce(s.pace, 1) AS pace, coalesce(w.moving, 0) > 0 OR coalesce(m.tried, 0) > 0 AS moving,
                   w.waiting, w.later, w.held, w.next_due, m.reply, {", ".join(f"m.{name}" for name in names)}
            FROM (SELECT queue_id FROM waits UNION SELECT queue_id FROM moves UNION SELECT queue_id FROM empty) shown
            JOIN delivery_queue q ON q.id = shown.queue_id
            JOIN delivery_receivingdomain d ON d.id = q.receiving_domain_id
            LEFT JOIN waits w ON w.queue_id = q.id LEFT JOIN moves m ON m.queue_id = q.id
            -- Mail for a relay waits in the relay's group and not in that of its domain.
            LEFT JOIN paused p ON p.limit_group_id = coalesce(w.group_id, d.limit_group_id)
            LEFT JOIN slow s ON s.limit_group_id = coalesce(w.group_id, d.limit_group_id)
        ), gone AS (
            DELETE FROM delivery_standing WHERE queue_id NOT IN (SELECT queue_id FROM fresh)
        )
        INSERT INTO delivery_standing AS old ({", ".join(columns)})
        SELECT queue_id, CASE WHEN whole THEN 'paused' WHEN moving THEN 'running' ELSE 'idle' END,
               CASE WHEN whole AND since < %(long)s THEN 0 WHEN whole THEN 1 WHEN moving THEN 2 ELSE 3 END,
               pause_id, since, pace, coalesce(waiting, 0), coalesce(later, 0), coalesce(held, 0), next_due,
               {", ".join(f"coalesce({name}, 0)" for name in names)}, coalesce(reply, '')
        FROM fresh
        ON CONFLICT (queue_id) DO UPDATE SET {changed},
            reply = CASE WHEN excluded.reply = '' THEN old.reply ELSE excluded.reply END
        """,  # noqa: S608  (names of our own)
        {
            "now": now,
            "end": end,
            "long": now - TOO_LONG,
            "ips": list(settings.SENDING_IPS) or [""],
            "creep": shape.CREEP_PER_MINUTE,
            "remembered": REMEMBERED,
        },
    )


def anything_paused(*, now: dt.datetime) -> bool:
    """Asked on every page: costs nothing while nothing is."""
    return QueuePause.objects.filter(paused_until__gt=now).exists()


def paused(*, now: dt.datetime) -> tuple[int, int]:
    """(queues that are paused, of these for more than two days)."""
    if not anything_paused(now=now):
        return 0, 0
    look(now=now, fresh=FRESH_ENOUGH)
    ranks = list(Standing.objects.filter(rank__lte=1).values_list("rank", flat=True))
    return len(ranks), ranks.count(0)


@dataclass(frozen=True, slots=True)
class PausedGroup:
    """A limit group from which nothing goes, and what waits for it."""

    group_id: int
    domains: list[str]
    waiting: int
    pause: QueuePause


def paused_groups(*, now: dt.datetime) -> list[PausedGroup]:
    """Those paused longest first, each with its domains: what the overview tells of."""
    if not anything_paused(now=now):
        return []
    look(now=now, fresh=FRESH_ENOUGH)
    rows = (
        Standing.objects.filter(rank__lte=1, pause__isnull=False)
        .select_related("pause", "queue__receiving_domain")
        .order_by("since", "-waiting")
    )
    groups: dict[int, PausedGroup] = {}
    for row in rows[:5000]:
        if row.pause is None:
            continue
        domain = row.queue.receiving_domain
        known = groups.get(domain.limit_group_id)
        names = [*(known.domains if known else []), domain.name]
        waiting = row.waiting + (known.waiting if known else 0)
        group_id = domain.limit_group_id
        groups[group_id] = PausedGroup(group_id, list(dict.fromkeys(names)), waiting, row.pause)
    return list(groups.values())
