"""Correcting how a message ended, when a bounce mail or a relay's notice says more. Final rows move by this alone.

What moves with them: the statistics, what other systems are told, the bounce list, the day of their sender domain, the
counts of their tasks. Credits do not: sent, delivered and soft_bounce are all paid.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, transaction

from delivery.callbacks import outbox
from delivery.engine.retry import is_simulated
from delivery.engine.settle import REPLY_SHOWN
from delivery.models import Attempt, Reason, Status
from delivery.models.status import FINAL, may_become, soft_reason
from delivery.services import quota
from delivery.services.bouncing import Bounced, list_hard_bounces
from delivery.services.counts import move_counts
from delivery.services.deltas import OF, Deltas, Of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Correction:
    """How a message ended after all. `reason`: of a soft bounce, any Reason; `reply`: the words that say so."""

    message_id: int
    status: Status
    reason: str = ""
    reply: str = ""


@dataclass(frozen=True, slots=True)
class _Row:
    of: Of
    status: Status
    reason: str
    task_id: int | None
    recipient: str
    receiving_domain: str

    @property
    def message_id(self) -> int:
        return self.of.message_id


def correct(corrections: Sequence[Correction], *, now: dt.datetime) -> set[int]:
    """Correct these messages; give the ids of those that changed. One transaction, or part of the caller's.

    What delivery/models/status.py does not allow is refused and logged: so a bounce mail that comes twice changes
    nothing, and a message that is still under way stays so. Locks: messages in order, then list, days, counts.
    """
    if not corrections:
        return set()
    # The first of several about one message holds.
    wanted = {one.message_id: one for one in reversed(corrections)}
    with transaction.atomic(), connection.cursor() as cursor:
        rows = _locked(cursor, sorted(wanted))
        # The table lets the engine end what is under way; here only what has ended is corrected.
        moved = [row for row in rows if row.status in FINAL and may_become(row.status, wanted[row.message_id].status)]
        refused = [row.message_id for row in rows if row not in moved and row.status != wanted[row.message_id].status]
        if refused:
            log.info("transition_refused", messages=refused[:20])
        if not moved:
            return set()
        _update(cursor, [wanted[row.message_id] for row in moved])
        _count_outcomes(moved, wanted)
        outbox.tell(
            outbox.ended(one.message_id, one.status, shown_reason(one), one.reply, now)
            for one in (wanted[row.message_id] for row in moved)
        )
        bounced = [row for row in moved if wanted[row.message_id].status == Status.SOFT_BOUNCE]
        list_hard_bounces(
            [
                Bounced(
                    message_id=row.message_id,
                    api_user_id=row.of.api_user_id,
                    recipient=row.recipient,
                    receiving_domain_id=row.of.receiving_domain_id,
                    words=wanted[row.message_id].reply,
                )
                for row in bounced
                if wanted[row.message_id].reason == Reason.NOT_EXIST
            ],
            now=now,
        )
        _count_returns(bounced, wanted)
        move_counts(
            delta
            for row in moved
            if row.task_id
            for delta in (
                (row.task_id, row.status.value, -1),
                (row.task_id, wanted[row.message_id].status.value, 1),
            )
        )
    return {row.message_id for row in moved}


def shown_reason(correction: Correction) -> str:
    """What the message's reason becomes."""
    return soft_reason(correction.reason).value if correction.status == Status.SOFT_BOUNCE else ""


def _locked(cursor: Any, message_ids: list[int]) -> list[_Row]:
    # Each by its id, and by nothing else: see engine/settle.py.
    cursor.execute(
        f"""
        SELECT m.status, m.reason, m.task_id, m.recipient, coalesce(r.name, ''), {OF}
        FROM delivery_message m LEFT JOIN delivery_receivingdomain r ON r.id = m.receiving_domain_id
        WHERE m.id = ANY(%s::bigint[])
        ORDER BY m.id FOR NO KEY UPDATE OF m
        """,  # noqa: S608  (names of columns)
        [message_ids],
    )
    return [
        _Row(Of(*of), Status(status), reason, task_id, recipient, domain)
        for status, reason, task_id, recipient, domain, *of in cursor.fetchall()
    ]


def _update(cursor: Any, corrections: Sequence[Correction]) -> None:
    message_ids = [one.message_id for one in corrections]
    cursor.execute(
        """
        UPDATE delivery_message m SET status = v.status, reason = v.reason,
            last_reply = CASE WHEN v.reply = '' THEN m.last_reply ELSE v.reply END
        FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) AS v(id, status, reason, reply)
        WHERE m.id = v.id AND m.id BETWEEN %s AND %s
        """,
        [
            message_ids,
            [one.status.value for one in corrections],
            [shown_reason(one) for one in corrections],
            [one.reply[:REPLY_SHOWN] for one in corrections],
            min(message_ids),
            max(message_ids),
        ],
    )


def _count_outcomes(moved: Iterable[_Row], wanted: dict[int, Correction]) -> None:
    """For the statistics."""
    changed = Deltas()
    for row in moved:
        new = wanted[row.message_id]
        changed.moved(
            row.of,
            (row.status, row.reason),
            (new.status, shown_reason(new)),
            free=is_simulated(row.receiving_domain),
        )
    changed.write()


def _count_returns(bounced: Iterable[_Row], wanted: dict[int, Correction]) -> None:
    """Take what was returned from the deliveries of the day that it was counted for: that of its first attempt."""
    counted = {row.message_id: row for row in bounced if not is_simulated(row.receiving_domain)}
    if not counted:
        return
    first = Attempt.objects.filter(message_id__in=list(counted), number=1).values_list("message_id", "at")
    quota.count_returns(
        (counted[message_id].of.sender_domain_id, quota.local_day(at), shown_reason(wanted[message_id]))
        for message_id, at in first
    )
