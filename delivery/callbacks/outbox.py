"""Writing down what is to be told, in the transaction in which it happens."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection

from console import ids
from delivery.models import Happening, Reason, Status
from delivery.models.status import FAILED

# How long a process may not know of a new callback address.
LOOK_SECONDS = 2.0
MAX_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Happened:
    """`detail`: reason (words), cause (a Reason), link, user_agent, as far as there are."""

    message_id: int
    kind: Happening
    at: dt.datetime
    detail: dict[str, str] = field(default_factory=dict)


_looked_at = -LOOK_SECONDS
_any = False


def wanted() -> bool:
    """Whether there is any callback address. Asked at most every two seconds by a process: settling asks for each
    batch."""
    global _looked_at, _any
    if time.monotonic() - _looked_at >= LOOK_SECONDS:
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM delivery_callback WHERE enabled)")
            _any = bool(cursor.fetchone()[0])
        _looked_at = time.monotonic()
    return _any


def forget() -> None:
    """A callback address was added or removed here: look again."""
    global _looked_at
    _looked_at = -LOOK_SECONDS


def ended(message_id: int, status: str, reason: str, words: str, at: dt.datetime) -> Happened | None:
    """What a final status is told as. Stopped by a list or malformed is *dropped*; refused or returned a *bounce*."""
    if status == Status.DELIVERED:
        return Happened(message_id, Happening.DELIVERED, at)
    if status == Status.INVALID and reason in _DROPPED:
        return Happened(message_id, Happening.DROPPED, at, {"reason": words or reason, "cause": reason})
    if status in FAILED:
        return Happened(message_id, Happening.BOUNCE, at, {"reason": words or reason, "cause": reason})
    return None


_DROPPED = frozenset({Reason.BLACKLIST, Reason.UNSUBSCRIBE, Reason.FORMAT_ERROR})


def tell(happened: Iterable[Happened | None]) -> int:
    """Write what is to be told; give the number. One statement, and none where nobody wants to know.

    The sender address's callback wins over the account's. Needs the transaction of what happened.
    """
    if not wanted():
        return 0
    told = [one for one in happened if one is not None]
    if not told:
        return 0
    message_ids = [one.message_id for one in told]
    with connection.cursor() as cursor:
        # Locked against deletion until it is committed: what happened must not fail for the want of whom to tell.
        cursor.execute(
            """
            INSERT INTO delivery_callbackevent (id, callback_id, message_id, kind, at, detail, due)
            SELECT v.id, c.id, v.message_id, v.kind, v.at, v.detail, v.at
            FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::jsonb[])
                AS v(id, message_id, kind, at, detail)
            JOIN delivery_message m ON m.id = v.message_id AND m.id BETWEEN %s AND %s
            JOIN LATERAL (
                SELECT c.id, c.enabled, c.happenings FROM delivery_callback c
                LEFT JOIN delivery_senderaddress a ON a.id = c.address_id
                LEFT JOIN delivery_senderdomain d ON d.id = a.domain_id
                WHERE c.address_id IS NULL OR a.prefix || '@' || d.name = m.sender
                ORDER BY c.address_id NULLS LAST LIMIT 1 FOR KEY SHARE OF c
            ) c ON c.enabled AND c.happenings ? v.kind
            ORDER BY v.id
            """,
            [
                ids.new_ids(len(told)),
                message_ids,
                [one.kind.value for one in told],
                [one.at for one in told],
                [json.dumps({name: text[:MAX_TEXT] for name, text in one.detail.items()}) for one in told],
                min(message_ids),
                max(message_ids),
            ],
        )
        return int(cursor.rowcount)
