"""Pausing and slowing down a limit group from one sending IP, and recovering it. Seen by all workers within 2 s."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from delivery.engine import shape
from delivery.models import QueuePause

LISTED_PAUSE = dt.timedelta(hours=1)
# A relay that is down, or does not take our login, is tried again this often.
RELAY_PAUSE = dt.timedelta(minutes=2)
SIMULATOR_PAUSE = dt.timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class State:
    """Of a limit group from one sending IP."""

    pace: float
    paused_until: dt.datetime | None
    reason: str


def states(group_ids: list[int], *, now: dt.datetime) -> dict[tuple[int, str], State]:
    """What is slowed down or paused, by (limit group, sending IP); "" is every IP. All else runs at full pace."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT limit_group_id, sending_ip, pace, pace_at, paused_until, reason FROM delivery_queuepause "
            "WHERE limit_group_id = ANY(%s)",
            [group_ids],
        )
        return {
            (group_id, ip): State(
                shape.crept(pace, (now - pace_at).total_seconds() / 60),
                until if until is not None and until > now else None,
                reason,
            )
            for group_id, ip, pace, pace_at, until, reason in cursor.fetchall()
        }


def everywhere(*, now: dt.datetime) -> list[int]:
    """Limit groups that are paused from every sending IP."""
    ips = settings.SENDING_IPS or [""]
    paused: dict[int, set[str]] = defaultdict(set)
    for group_id, ip in QueuePause.objects.filter(paused_until__gt=now).values_list("limit_group_id", "sending_ip"):
        paused[group_id].add(ip)
    return [group_id for group_id, found in paused.items() if "" in found or found.issuperset(ips)]


def slow_down(
    group_id: int,
    sending_ip: str,
    *,
    reason: QueuePause.Reason,
    said: str,
    now: dt.datetime,
    pause: dt.timedelta,
    slower: bool = True,
) -> None:
    """Pause for a while and, with `slower`, halve the pace. Answers that come while it is paused already change
    nothing: they were on the wire when it began."""
    until = now + pause
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_queuepause AS q
                (limit_group_id, sending_ip, pace, pace_at, paused_until, since, reason, said, paused_by)
            VALUES (%(group)s, %(ip)s, %(factor)s, %(until)s, %(until)s, %(now)s, %(reason)s, %(said)s, '')
            ON CONFLICT (limit_group_id, sending_ip) DO UPDATE SET
                pace = greatest(%(slowest)s, %(factor)s * least(1, q.pace * power(%(creep)s::float8,
                    greatest(0, extract(epoch FROM %(now)s - q.pace_at) / 60)))),
                pace_at = excluded.pace_at, paused_until = excluded.paused_until,
                since = CASE WHEN q.paused_until > %(now)s - interval '10 minutes' THEN q.since ELSE excluded.since END,
                reason = excluded.reason, said = excluded.said, paused_by = ''
            WHERE q.paused_until IS NULL OR q.paused_until <= %(now)s
            """,
            {
                "group": group_id,
                "ip": sending_ip,
                "until": until,
                "now": now,
                "reason": reason.value,
                "said": said[:500],
                "factor": 0.5 if slower else 1.0,
                "slowest": shape.SLOWEST,
                "creep": shape.CREEP_PER_MINUTE,
            },
        )


def pause(group_id: int, *, by: str, now: dt.datetime) -> None:
    """By an operator, from every IP, until somebody recovers it."""
    QueuePause.objects.update_or_create(
        limit_group_id=group_id,
        sending_ip="",
        defaults={
            "pace": 1.0,
            "pace_at": now,
            "paused_until": now + dt.timedelta(days=3650),
            "since": now,
            "reason": QueuePause.Reason.OPERATOR,
            "said": "",
            "paused_by": by,
        },
    )


def recover(group_id: int, *, now: dt.datetime, most: int | None = None) -> int:
    """End every pause of the group and have what waits tried at once, deferred mail too. Gives the mails made due, of
    which there are not many more than `most`: wake_group does the rest."""
    QueuePause.objects.filter(limit_group_id=group_id).delete()
    return wake_group(group_id, now=now, most=most)


def wake_group(group_id: int, *, now: dt.datetime, most: int | None = None) -> int:
    """Make the group's deferred mail due."""
    woken = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE delivery_waiting SET state = 0, due = %s WHERE message_id = ANY(ARRAY(
                    SELECT message_id FROM delivery_waiting WHERE limit_group_id = %s AND state = 1
                    LIMIT 5000 FOR UPDATE SKIP LOCKED))
                """,
                [now, group_id],
            )
            woken += cursor.rowcount
            if cursor.rowcount < 5000 or (most is not None and woken >= most):
                return woken
