"""Mail that has come due is made ready, and so is what somebody took in hand who never said what became of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import connection

from delivery.engine import claim, journal
from delivery.models import Waiting

# As much as one call makes ready: bounds the call, not the work.
AT_ONCE = 5000
# Whoever found the database away waits so long: engines elsewhere had it away too, and first write down what they know.
OUTAGE_SECONDS = 5.0


def wake(now: dt.datetime) -> int:
    """Bounded; gives the count."""
    # Arrays: a subquery of IN may be run again for each row, which picks more, and takes minutes when the statistics
    # still say that nothing waits.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE delivery_waiting SET state = %s WHERE message_id = ANY(ARRAY(
                SELECT message_id FROM delivery_waiting WHERE state = %s AND due <= %s
                ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED))
            """,
            [Waiting.State.READY, Waiting.State.LATER, now, AT_ONCE],
        )
        return int(cursor.rowcount) + _take_over(cursor)


def _take_over(cursor: Any) -> int:
    """What was claimed by somebody who never settled it; but for what a server has answered, by a journal that lies
    here: while the database was away, nobody could settle that, and it would be sent again."""
    cursor.execute(
        """
        SELECT message_id, claim_token FROM delivery_waiting
        WHERE state = %s AND claim_deadline < clock_timestamp() - %s * interval '1 second' LIMIT %s
        """,
        [Waiting.State.CLAIMED, claim.GRACE_SECONDS, AT_ONCE],
    )
    over = set(cursor.fetchall())
    if over:
        over -= journal.told(settings.JOURNAL_DIR)
    if not over:
        return 0
    cursor.execute(
        """
        UPDATE delivery_waiting SET state = %s, claim_token = NULL, claim_deadline = NULL
        WHERE message_id = ANY(ARRAY(
            SELECT w.message_id FROM unnest(%s::bigint[], %s::bigint[]) AS over(id, token)
            JOIN delivery_waiting w ON w.message_id = over.id AND w.claim_token = over.token
            WHERE w.state = %s AND w.claim_deadline < clock_timestamp() - %s * interval '1 second'
            FOR UPDATE OF w SKIP LOCKED))
        """,
        [
            Waiting.State.READY,
            [message_id for message_id, _token in over],
            [token for _message_id, token in over],
            Waiting.State.CLAIMED,
            claim.GRACE_SECONDS,
        ],
    )
    return int(cursor.rowcount)
