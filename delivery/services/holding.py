"""Putting waiting mail aside and taking it up again: `held ↔ sending`, and `cancelled` for stopped tasks.

The engine heeds a pause at its next claim; these loops then bring the rows in line, a bounded chunk a transaction, so
that they can be killed and started again anywhere.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from console import heartbeat
from console.models import Account
from delivery.models import HeldBy, PauseCause, Status, Task, TaskStatus
from delivery.services import credits
from delivery.services.counts import end_tasks, move_counts
from delivery.services.deltas import OF, Deltas, Of

CHUNK = 5000


def hold_task(task_id: int) -> int:
    """Hold what waits of a paused task. What is on the wire just now ends, or is put off and held by a later call."""
    cause = Task.objects.filter(pk=task_id, status=TaskStatus.PAUSED).values_list("pause_cause", flat=True).first()
    # Where credits are used up, mail that has one goes its way, and mail without one is held already.
    if cause is None or cause == PauseCause.CREDITS:
        return 0
    where = (
        "task_id = %s AND state IN (0, 1) "
        "AND EXISTS (SELECT FROM delivery_task t WHERE t.id = task_id AND t.status = %s AND t.pause_cause = %s)"
    )
    if cause == PauseCause.QUOTA:
        where += " AND attempts = 0"  # what was tried already has had its place in a day's quota
    return _in_chunks(where, [task_id, TaskStatus.PAUSED, cause], new=Status.HELD, held_by=held_by_pause(cause))


def held_by_pause(cause: str) -> str:
    """What the rows of a task show that was paused for this cause; "" where each row has its own state."""
    return _SHOWN.get(PauseCause(cause), HeldBy.TASK_PAUSED)


_SHOWN = {
    PauseCause.QUOTA: HeldBy.QUOTA,
    PauseCause.DOMAIN: HeldBy.DOMAIN_BLOCKED,
    PauseCause.ACCOUNT: HeldBy.ACCOUNT,
    PauseCause.CREDITS: "",
}


# What the pause of a task holds mail by, whatever paused it.
BY_PAUSE = (HeldBy.TASK_PAUSED, HeldBy.QUOTA, HeldBy.DOMAIN_BLOCKED)


def release_task(task_id: int, *, most: int | None = None) -> int:
    """Take up again what was held because its task was paused: all of it, or the first `most` rows."""
    causes = list(BY_PAUSE)
    if Account.current().sending_stopped_at is None:
        causes.append(HeldBy.ACCOUNT)
    return _in_chunks(
        "task_id = %s AND state = 2 AND held_by = ANY(%s)", [task_id, causes], new=Status.SENDING, most=most
    )


def release_regular(domain_id: int, api_user_id: int, causes: Sequence[HeldBy], *, most: int) -> int:
    """Take up again mail of no task from this sender domain and API user, the first `most` rows."""
    return _in_chunks(
        "task_id IS NULL AND state = 2 AND held_by = ANY(%s) AND EXISTS (SELECT FROM delivery_message m "
        "WHERE m.id = message_id AND m.sender_domain_id = %s AND m.api_user_id = %s)",
        [list(causes), domain_id, api_user_id],
        new=Status.SENDING,
        most=most,
    )


def hold_all(held_by: HeldBy, where: str, params: list[Any]) -> int:
    """Hold what waits and matches `where` (a condition on delivery_waiting), saying why."""
    return _in_chunks(f"({where}) AND state IN (0, 1)", params, new=Status.HELD, held_by=held_by)


def release_all(held_by: HeldBy, where: str = "true", params: list[Any] | None = None) -> int:
    return _in_chunks(f"({where}) AND held_by = %s", [*(params or []), held_by], new=Status.SENDING)


def release_forgotten() -> int:
    """Take up again what is held for a cause that is over, where the job that should have done so was lost: its worker
    was killed, and django-q2 asks again in an hour."""
    moved = release_all(
        HeldBy.TASK_PAUSED,
        "state = 2 AND EXISTS (SELECT FROM delivery_task t WHERE t.id = task_id AND t.status <> %s)",
        [TaskStatus.PAUSED],
    )
    return moved + release_all(
        HeldBy.DOMAIN_UNVERIFIED,
        "state = 2 AND EXISTS (SELECT FROM delivery_message m JOIN delivery_senderdomain d "
        "ON d.id = m.sender_domain_id WHERE m.id = message_id AND d.verified_at IS NOT NULL)",
    )


def release_for_credits(*, now: dt.datetime) -> int:
    """Take up again what waits for credits, as far as they reach, in the order of the requests. Mail of a task that
    something else pauses waits on."""
    where = (
        "state = 2 AND held_by = %s AND (task_id IS NULL OR EXISTS (SELECT FROM delivery_task t WHERE t.id = task_id "
        "AND (t.status <> %s OR t.pause_cause = %s)))"
    )
    params = [HeldBy.CREDITS, TaskStatus.PAUSED, PauseCause.CREDITS]
    moved = 0
    while True:
        with transaction.atomic():
            limited = credits.left() is not None
            most = max(0, min(CHUNK, credits.fold())) if limited else CHUNK
            rows = _move_chunk(where, params, Status.SENDING, None, most, credit="true" if limited else "NULL")
            if limited:
                counts = Counter(task_id for _id, task_id, _credit in rows)
                credits.write(credits.Kind.RESERVED, {one: -count for one, count in counts.items()}, now=now)
        moved += len(rows)
        if len(rows) < CHUNK:
            return moved


def waits_between(low: int, high: int) -> str:
    """Why messages with these ids must be kept: some of them have not ended. "" when all have."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT message_id FROM delivery_waiting WHERE message_id >= %s AND message_id < %s LIMIT 1", [low, high]
        )
        return "mail of this month still waits" if cursor.fetchone() else ""


def cancel_task(task_id: int, *, now: dt.datetime) -> int:
    """Cancel what was not tried of a stopped task. What was tried and put off goes its way to the end."""
    moved = _in_chunks("task_id = %s AND attempts = 0 AND state IN (0, 1, 2)", [task_id], new=Status.CANCELLED, now=now)
    # Tried mail that a pause held before the stop goes on, too.
    release_task(task_id)
    with transaction.atomic():
        end_tasks([task_id], now=now)
    return moved


def _in_chunks(
    where: str,
    params: list[Any],
    *,
    new: Status,
    held_by: str = "",
    most: int | None = None,
    now: dt.datetime | None = None,
) -> int:
    moved = 0
    while most is None or moved < most:
        wanted = CHUNK if most is None else min(CHUNK, most - moved)
        with transaction.atomic():
            chunk = _move_chunk(where, params, new, held_by, wanted)
            if now is not None:
                credits.give_back(((task_id, new, "") for _id, task_id, credit in chunk if credit), now=now)
        moved += len(chunk)
        if len(chunk) < wanted:
            break
        heartbeat.at_work()
    return moved


def _move_chunk(
    where: str, params: list[Any], new: Status, held_by: str | None, limit: int, *, credit: str = "credit"
) -> list[tuple[int, int | None, bool | None]]:
    """Move up to `limit` rows; give them as (message, task, credit). `credit`: what SQL shall make of theirs."""
    # Materialised: as a subquery of IN it may be run again for each row, and then picks more than the limit. As an
    # array: joined, it is scanned once a row when the statistics still say that nothing waits.
    pick = (
        "WITH picked AS MATERIALIZED ("  # noqa: S608  (ours)
        f"SELECT message_id FROM delivery_waiting WHERE {where} ORDER BY message_id LIMIT {limit} "
        "FOR UPDATE SKIP LOCKED)"
    )
    with connection.cursor() as cursor:
        if new == Status.CANCELLED:
            cursor.execute(
                f"{pick} DELETE FROM delivery_waiting WHERE message_id = ANY(ARRAY(SELECT message_id FROM picked)) "  # noqa: S608
                "RETURNING message_id, task_id, credit",
                params,
            )
        else:
            # Back from a hold, what is not yet due waits on.
            cursor.execute(
                f"""
                {pick} UPDATE delivery_waiting SET held_by = %s, credit = {credit},
                    state = CASE WHEN %s THEN 2 WHEN due > clock_timestamp() THEN 1 ELSE 0 END
                WHERE message_id = ANY(ARRAY(SELECT message_id FROM picked)) RETURNING message_id, task_id, credit
                """,  # noqa: S608
                [*params, held_by or "", new == Status.HELD],
            )
        rows: list[tuple[int, int | None, bool | None]] = cursor.fetchall()
        if not rows:
            return []
        message_ids = [row[0] for row in rows]
        # Each by its id, and by nothing else: see engine/settle.py.
        cursor.execute(
            f"""
            UPDATE delivery_message m SET status = %s, held_by = %s FROM delivery_message old
            WHERE m.id = ANY(%s::bigint[]) AND old.id = ANY(%s::bigint[]) AND old.id = m.id AND m.status <> %s
            RETURNING m.task_id, old.status, {OF}
            """,  # noqa: S608  (names of our own)
            [
                new,
                held_by or "",
                message_ids,
                message_ids,
                new,
            ],
        )
        changed = cursor.fetchall()
    if new == Status.CANCELLED:
        counted = Deltas()
        for _task_id, old, *of in changed:
            # Neither of the two costs anything: whose mail it is does not matter.
            counted.moved(Of(*of), (old, ""), (new, ""), free=True)
        counted.write()
    move_counts(
        delta for task_id, old, *_of in changed if task_id for delta in ((task_id, old, -1), (task_id, new.value, 1))
    )
    return rows
