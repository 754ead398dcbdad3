"""Credits: one reserved for each recipient at the request, given back at the end unless the outcome is paid.

Settling only appends to the ledger; whoever reserves folds what was appended into the balance, under the one lock
there is. So requests wait for each other for a moment, and mail that ends waits for nobody.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable

from django.db import connection, transaction
from django_q.tasks import async_task

from delivery.models import CreditEntry, Credits, Reason, Status

PAID = frozenset({Status.DELIVERED, Status.SENT, Status.SOFT_BOUNCE})
PAID_REASONS = frozenset({Reason.FORMAT_ERROR, Reason.NOT_EXIST, Reason.SPAM, Reason.REJECTED})
Kind = CreditEntry.Kind


def is_paid(status: str, reason: str) -> bool:
    """Whether mail that ended so costs its credit."""
    return status in PAID or (status == Status.INVALID and reason in PAID_REASONS)


def left() -> int | None:
    """Credits left; None: unlimited."""
    row = Credits.objects.filter(pk=1).first()
    if row is None or not row.limited:
        return None
    # In one statement, for an entry may be folded between two.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.balance + coalesce((SELECT sum(delta) FROM delivery_creditentry WHERE NOT folded), 0) "
            "FROM delivery_credits c WHERE c.id = 1"
        )
        return int(cursor.fetchone()[0])


def reserve(count: int, *, now: dt.datetime, task_id: int | None = None) -> int | None:
    """Take up to `count` credits in the caller's transaction, which then holds the balance; give how many were got.
    None: they are unlimited."""
    if not Credits.objects.filter(pk=1, limited=True).exists():
        return None
    granted = max(0, min(count, fold()))
    write(Kind.RESERVED, {task_id: -granted}, now=now)
    return granted


def fold() -> int:
    """Lock the balance, add to it what was appended since, and give it. In the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM delivery_credits WHERE id = 1 FOR UPDATE")
        cursor.execute(
            """
            WITH added AS (UPDATE delivery_creditentry SET folded = true WHERE NOT folded RETURNING delta)
            UPDATE delivery_credits SET balance = balance + (SELECT coalesce(sum(delta), 0) FROM added)
            WHERE id = 1 RETURNING balance
            """
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def give_back(ends: Iterable[tuple[int | None, str, str]], *, now: dt.datetime) -> None:
    """Credits of mail that ended unpaid: (task, status, reason) of rows that had one reserved. In the transaction that
    ends them."""
    write(Kind.RETURNED, Counter(task_id for task_id, status, reason in ends if not is_paid(status, reason)), now=now)


def write(kind: Kind, by_task: dict[int | None, int] | Counter[int | None], *, now: dt.datetime) -> None:
    """Append to the ledger, one entry a task."""
    CreditEntry.objects.bulk_create(
        CreditEntry(at=now, kind=kind, delta=delta, task_id=task_id) for task_id, delta in by_task.items() if delta
    )


def top_up(amount: int, *, by: str, now: dt.datetime, note: str = "") -> None:
    """Add credits; where they were unlimited, limit them to this. Negative takes away. What waited goes on."""
    with transaction.atomic():
        row, _made = Credits.objects.get_or_create(pk=1)
        balance = fold()
        row.refresh_from_db()
        kind, delta = (Kind.TOP_UP, amount) if row.limited else (Kind.SET, amount - balance)
        CreditEntry.objects.create(at=now, kind=kind, delta=delta, by=by, note=note)
        Credits.objects.filter(pk=1).update(limited=True)
        _go_on()


def lift_limit() -> None:
    """Make credits unlimited."""
    with transaction.atomic():
        Credits.objects.filter(pk=1).update(limited=False)
        _go_on()


def _go_on() -> None:
    transaction.on_commit(lambda: async_task("delivery.jobs.go_on", cluster="jobs"))
