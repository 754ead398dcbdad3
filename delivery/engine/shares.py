"""Leases: which worker lives, and which part of each limit group's limits it may use.

The parts of a group never add up to more than the whole: a worker takes a part of 1/n (n: live workers, at most the
group's connections) only when it fits beside what others hold. Whoever falls silent without giving back may still have
connections open, so its part stays reserved for `QUARANTINE_SECONDS`, longer than servers keep idle connections,
unless the supervisor has seen its process end.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from django.conf import settings
from django.db import connection, transaction

from console import heartbeat

SHARE_LEASE_SECONDS = settings.LEASE_SECONDS
WORKER_LEASE_SECONDS = SHARE_LEASE_SECONDS * 2 / 3
# RFC 5321 §4.5.3.2.7: servers wait at least five minutes for the next command.
QUARANTINE_SECONDS = 330


@dataclass(frozen=True, slots=True)
class Wish:
    """What a worker asks of a group."""

    # Into no more parts can the group's limits be cut (shape.Limits.parts).
    most: int
    # Connections that the worker has open, and how many the whole group may have.
    open: int
    connections: int


@dataclass(frozen=True, slots=True)
class Share:
    """A part of 1/`of`, until `until` by time.monotonic()."""

    of: int
    until: float


def beat(worker: int, name: str) -> int:
    """Renew this worker's lease; give the number of live workers, this one included."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_worker (token, name, leased_until)
            VALUES (%s, %s, clock_timestamp() + %s * interval '1 second')
            ON CONFLICT (token) DO UPDATE SET leased_until = excluded.leased_until
            """,
            [worker, name, WORKER_LEASE_SECONDS],
        )
        cursor.execute("SELECT count(*) FROM delivery_worker WHERE leased_until > clock_timestamp()")
        return max(1, cursor.fetchone()[0])


def alive() -> set[int]:
    """The workers, by their tokens, that were heard of within their leases."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT token FROM delivery_worker WHERE leased_until > clock_timestamp()")
        return {row[0] for row in cursor.fetchall()}


def leave(workers: list[int]) -> None:
    """Give back leases and shares at once: of a worker that ends in order, or whose process is known to be gone."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM delivery_share WHERE worker_token = ANY(%s)", [workers])
        cursor.execute("DELETE FROM delivery_worker WHERE token = ANY(%s)", [workers])


def reap() -> int:
    """Give back what workers of this machine held whose processes are gone: their connections went with them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT token, name FROM delivery_worker")
        rows = cursor.fetchall()
        cursor.execute(
            "DELETE FROM delivery_share WHERE leased_until < clock_timestamp() - %s * interval '1 second'",
            [QUARANTINE_SECONDS],
        )
        cursor.execute("DELETE FROM delivery_worker WHERE leased_until < clock_timestamp() - interval '1 hour'")
    gone = [token for token, name in rows if _is_ours(name) and not _process_lives(name)]
    if gone:
        leave(gone)
    return len(gone)


def _is_ours(name: str) -> bool:
    """`name` is `host:supervisor/process`, as the engine makes it."""
    return name.rpartition("/")[0].rpartition(":")[0] == heartbeat.host()


def _process_lives(name: str) -> bool:
    try:
        os.kill(int(name.rpartition("/")[2]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def take(worker: int, wishes: dict[int, Wish], *, workers: int) -> dict[int, Share]:
    """Lease or renew a share of each of these groups, where one fits; give those that were got."""
    if not wishes:
        return {}
    asked_at = time.monotonic()
    got: dict[int, int] = {}
    with transaction.atomic(), connection.cursor() as cursor:
        # One at a time over all machines: what fits is decided on what others hold. A millisecond, not more.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('posthorn shares'))")
        cursor.execute(
            """
            SELECT limit_group_id, worker_token, part FROM delivery_share
            WHERE limit_group_id = ANY(%s) AND leased_until > clock_timestamp() - %s * interval '1 second'
            """,
            [list(wishes), QUARANTINE_SECONDS],
        )
        others: dict[int, list[int]] = defaultdict(list)
        mine: dict[int, int] = {}
        for group_id, token, part in cursor.fetchall():
            if token == worker:
                mine[group_id] = part
            else:
                others[group_id].append(part)
        for group_id, wish in wishes.items():
            part = fitting(others[group_id], mine.get(group_id), wish, workers=workers)
            if part:
                got[group_id] = part
        if got:
            cursor.execute(
                """
                INSERT INTO delivery_share (limit_group_id, worker_token, part, leased_until)
                SELECT g, %s, p, clock_timestamp() + %s * interval '1 second'
                FROM unnest(%s::bigint[], %s::smallint[]) AS got(g, p) ORDER BY g
                ON CONFLICT (limit_group_id, worker_token) DO UPDATE
                    SET part = excluded.part, leased_until = excluded.leased_until
                """,
                [worker, SHARE_LEASE_SECONDS, list(got), list(got.values())],
            )
    return {group_id: Share(part, asked_at + SHARE_LEASE_SECONDS) for group_id, part in got.items()}


def fitting(others: list[int], mine: int | None, wish: Wish, *, workers: int) -> int:
    """The part (1/n, given as n) that may be taken beside the parts of others; 0: none now. Pure."""
    wanted = max(1, min(workers, wish.most))
    taken = sum((Fraction(1, part) for part in others), Fraction(0))
    if mine is not None and mine < wanted and wish.open > wish.connections // wanted:
        # The share must become smaller, but its connections have not closed yet: not smaller on paper before.
        wanted = mine
    if taken + Fraction(1, wanted) <= 1:
        return wanted
    if mine is not None and taken + Fraction(1, mine) <= 1:
        return mine
    return 0
