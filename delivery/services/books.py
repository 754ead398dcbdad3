"""Whether what must agree does: messages and what waits of them, tasks and their counts, credits and their ledger.

All is read from one snapshot, so that it may be asked while mail flows: every change of a row moves its counts in the
same transaction. The statistics have a check of their own (recount_statistics).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from console import partitions
from delivery.models import Message, TaskStatus, Waiting
from delivery.models.status import OPEN, Status


@dataclass(frozen=True, slots=True)
class Fault:
    """What does not agree: in how many cases, and some of them."""

    what: str
    count: int
    examples: list[str]


EXAMPLES = 10


def faults() -> Iterator[Fault]:
    """Everything that does not agree. Goes once through all messages that are kept."""
    values: dict[str, Any] = {
        "open": [status.value for status in OPEN],
        "held": Status.HELD.value,
        "state_held": Waiting.State.HELD.value,
        "sending": TaskStatus.SENDING.value,
        # Of tasks that began before it, messages may have been taken away since.
        "kept_from": partitions.first_month(Message),
    }
    outermost = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if outermost:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for what, query in _QUERIES.items():
            cursor.execute(f"SELECT count(*) OVER (), found.* FROM ({query}) found LIMIT {EXAMPLES}", values)  # noqa: S608
            if rows := cursor.fetchall():
                yield Fault(what, rows[0][0], [" ".join(map(str, row[1:])) for row in rows])


_QUERIES = {
    "messages that have not ended, and nothing waits for them": """
        SELECT m.id, m.status FROM delivery_message m
        WHERE m.status = ANY(%(open)s) AND NOT EXISTS (SELECT FROM delivery_waiting w WHERE w.message_id = m.id)
    """,
    "rows that wait for a message that has ended, or that there is none of": """
        SELECT w.message_id, coalesce(m.status, 'none') FROM delivery_waiting w
        LEFT JOIN delivery_message m ON m.id = w.message_id
        WHERE m.id IS NULL OR m.status <> ALL(%(open)s)
    """,
    "messages that are held while their row may be tried, or the other way round": """
        SELECT m.id, m.status, m.held_by, w.state, w.held_by FROM delivery_waiting w
        JOIN delivery_message m ON m.id = w.message_id
        WHERE m.status = ANY(%(open)s)
            AND ((m.status = %(held)s) <> (w.state = %(state_held)s) OR m.held_by <> w.held_by)
    """,
    "tasks whose counts are not those of their messages (task, status, messages, count)": """
        SELECT t.id, coalesce(m.status, c.status), coalesce(m.n, 0), coalesce(c.count, 0)
        FROM (SELECT task_id, status, count(*) AS n FROM delivery_message WHERE task_id IS NOT NULL
              GROUP BY task_id, status) m
        FULL JOIN delivery_taskcount c ON c.task_id = m.task_id AND c.status = m.status
        JOIN delivery_task t ON t.id = coalesce(m.task_id, c.task_id)
        WHERE coalesce(m.n, 0) <> coalesce(c.count, 0)
            AND (%(kept_from)s::timestamptz IS NULL OR t.started_at >= %(kept_from)s)
        ORDER BY 1, 2
    """,
    "tasks that requested another number than they have messages (task, requested, counted)": """
        SELECT t.id, t.requested, coalesce(sum(c.count), 0) FROM delivery_task t
        LEFT JOIN delivery_taskcount c ON c.task_id = t.id
        GROUP BY t.id HAVING t.requested <> coalesce(sum(c.count), 0)
    """,
    "tasks that have ended though some of their mail has not": """
        SELECT t.id, t.status FROM delivery_task t WHERE t.ended_at IS NOT NULL
            AND EXISTS (SELECT FROM delivery_waiting w WHERE w.task_id = t.id)
    """,
    "tasks that have not ended though all of their mail has": """
        SELECT t.id, t.status FROM delivery_task t
        WHERE t.ended_at IS NULL AND t.expanded AND t.status = %(sending)s
            AND NOT EXISTS (SELECT FROM delivery_waiting w WHERE w.task_id = t.id)
    """,
    "credits: the balance is not what the ledger adds up to (balance, ledger)": """
        SELECT * FROM (
            SELECT c.balance + coalesce((SELECT sum(delta) FROM delivery_creditentry WHERE NOT folded), 0) AS balance,
                   coalesce((SELECT sum(delta) FROM delivery_creditentry), 0) AS ledger
            FROM delivery_credits c WHERE c.id = 1
        ) sums WHERE balance <> ledger
    """,
}
