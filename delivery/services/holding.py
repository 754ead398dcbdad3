"""Putting waiting mail aside and taking it up again: `held ↔ sending`, and `cancelled` for stopped tasks.

The engine heeds a pause at its next claim; these loops then bring the rows in line, a bounded chunk a transaction, so
that they can be killed and started again anywhere.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction

from delivery.models import HeldBy, Status
from delivery.services.counts import end_tasks, move_counts

CHUNK = 5000


def hold_task(task_id: int) -> int:
    """Hold what waits of a paused task. What is on the wire just now ends, or is put off and held by a later call."""
    return _in_chunks("task_id = %s AND state IN (0, 1)", [task_id], new=Status.HELD, held_by=HeldBy.TASK_PAUSED)


def release_task(task_id: int) -> int:
    """Take up again what was held because its task was paused."""
    return _in_chunks("task_id = %s AND held_by = %s", [task_id, HeldBy.TASK_PAUSED], new=Status.SENDING)


def hold_all(held_by: HeldBy, where: str, params: list[Any]) -> int:
    """Hold what waits and matches `where` (a condition on delivery_waiting), saying why."""
    return _in_chunks(f"({where}) AND state IN (0, 1)", params, new=Status.HELD, held_by=held_by)


def release_all(held_by: HeldBy, where: str = "true", params: list[Any] | None = None) -> int:
    return _in_chunks(f"({where}) AND held_by = %s", [*(params or []), held_by], new=Status.SENDING)


def cancel_task(task_id: int, *, now: dt.datetime) -> int:
    """Cancel what was not tried of a stopped task. What was tried and put off goes its way to the end."""
    moved = _in_chunks("task_id = %s AND attempts = 0 AND state IN (0, 1, 2)", [task_id], new=Status.CANCELLED)
    # Tried mail that a pause held before the stop goes on, too.
    release_task(task_id)
    with transaction.atomic():
        end_tasks([task_id], now=now)
    return moved


def _in_chunks(where: str, params: list[Any], *, new: Status, held_by: HeldBy | None = None) -> int:
    moved = 0
    while True:
        with transaction.atomic():
            chunk = _move_chunk(where, params, new, held_by)
        moved += chunk
        if chunk < CHUNK:
            return moved


def _move_chunk(where: str, params: list[Any], new: Status, held_by: HeldBy | None) -> int:
    pick = (
        f"SELECT message_id FROM delivery_waiting WHERE {where} ORDER BY message_id LIMIT {CHUNK} "  # noqa: S608  (ours)
        "FOR UPDATE SKIP LOCKED"
    )
    with connection.cursor() as cursor:
        if new == Status.CANCELLED:
            cursor.execute(
                f"DELETE FROM delivery_waiting WHERE message_id IN ({pick}) RETURNING message_id, task_id",  # noqa: S608
                params,
            )
        else:
            # Back from a hold, what is not yet due waits on.
            cursor.execute(
                f"""
                UPDATE delivery_waiting SET held_by = %s,
                    state = CASE WHEN %s THEN 2 WHEN due > clock_timestamp() THEN 1 ELSE 0 END
                WHERE message_id IN ({pick}) RETURNING message_id, task_id
                """,  # noqa: S608
                [held_by or "", new == Status.HELD, *params],
            )
        rows = cursor.fetchall()
        if not rows:
            return 0
        message_ids = [row[0] for row in rows]
        cursor.execute(
            """
            UPDATE delivery_message m SET status = %s, held_by = %s FROM delivery_message old
            WHERE m.id = ANY(%s) AND m.id BETWEEN %s AND %s AND old.id = m.id AND old.id BETWEEN %s AND %s
              AND m.status <> %s
            RETURNING m.task_id, old.status
            """,
            [
                new,
                held_by or "",
                message_ids,
                min(message_ids),
                max(message_ids),
                min(message_ids),
                max(message_ids),
                new,
            ],
        )
        deltas = [
            delta
            for task_id, old in cursor.fetchall()
            if task_id
            for delta in ((task_id, old, -1), (task_id, new.value, 1))
        ]
    move_counts(deltas)
    return len(rows)
