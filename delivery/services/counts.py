"""The counts of a task's rows by status: moved by whatever moves rows, in the same transaction."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable

from django.db import connection

from delivery.models import TaskStatus
from delivery.models.status import OPEN, TASK_MAIL_GOES


def move_counts(deltas: Iterable[tuple[int, str, int]]) -> None:
    """Add to the counts of tasks: (task id, status, delta). In the transaction that moves the rows, and last in it:
    the rows of a task's counts are shared by all who settle its mail, and are held as briefly as can be."""
    summed: Counter[tuple[int, str]] = Counter()
    for task_id, status, delta in deltas:
        summed[task_id, status] += delta
    rows = sorted((task_id, str(status), delta) for (task_id, status), delta in summed.items() if delta)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_taskcount (task_id, status, count)
            SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[])
            ON CONFLICT (task_id, status) DO UPDATE SET count = delivery_taskcount.count + excluded.count
            """,
            [list(column) for column in zip(*rows, strict=True)],
        )


def end_tasks(task_ids: Iterable[int], *, now: dt.datetime) -> None:
    """End those of these tasks that have no row left to settle. In the transaction that moved their counts.

    A stopped or failed task keeps its status and gets its end; one that sends becomes done.
    """
    wanted = sorted(set(task_ids))
    if not wanted:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE delivery_task t SET ended_at = %s, status = CASE WHEN status = %s THEN %s ELSE status END
            WHERE id = ANY(%s) AND expanded AND ended_at IS NULL AND status = ANY(%s)
              AND NOT EXISTS (SELECT FROM delivery_taskcount c
                              WHERE c.task_id = t.id AND c.status = ANY(%s) AND c.count > 0)
            """,
            [
                now,
                TaskStatus.SENDING,
                TaskStatus.DONE,
                wanted,
                list(TASK_MAIL_GOES),
                [status.value for status in OPEN],
            ],
        )


def end_all(*, now: dt.datetime) -> None:
    """end_tasks for every task that could have ended."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM delivery_task WHERE expanded AND ended_at IS NULL AND status = ANY(%s)",
            [list(TASK_MAIL_GOES)],
        )
        task_ids = [row[0] for row in cursor.fetchall()]
    end_tasks(task_ids, now=now)
