"""Folding deltas into the sums. The cost follows what changed, not what there is."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction

from delivery.models import Folded
from delivery.services.columns import COLUMNS

# Deltas folded in one transaction, and in one call.
CHUNK = 20_000
MOST_CHUNKS = 100
# Later than this, the pages say it loudly.
LATE = dt.timedelta(minutes=5)
KEY = ("receiving_domain_id", "at", "api_user_id", "sender_domain_id", "template_id", "label")
_LOCK = 0x5374_6174


def fold(*, now: dt.datetime) -> int:
    """Add what was appended to the sums; gives the number of deltas. Who finds another at it leaves it to them."""
    folded = 0
    for _chunk in range(MOST_CHUNKS):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                return folded
            cursor.execute(_FOLD, {"most": CHUNK})
            taken = int(cursor.fetchone()[0])
            if taken < CHUNK:
                # All that was committed when we began has been seen, and nobody else holds any of it.
                Folded.objects.update_or_create(pk=1, defaults={"at": now})
        folded += taken
        if taken < CHUNK:
            break
    return folded


def folded_at() -> dt.datetime | None:
    """Everything that was committed before is in the sums; None: nothing was folded yet."""
    return Folded.objects.filter(pk=1).values_list("at", flat=True).first()


def total_again(cursor: Any, start: dt.datetime, end: dt.datetime) -> None:
    """Make the sums over all receiving domains anew, from those by receiving domain, for [start, end). In the
    caller's transaction, which then holds up folding."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    cursor.execute(
        "DELETE FROM delivery_statistic WHERE receiving_domain_id = 0 AND at >= %s AND at < %s", [start, end]
    )
    cursor.execute(
        f"INSERT INTO delivery_statistic ({_COLUMNS}) SELECT 0, {', '.join(KEY[1:])}, {_SUMS} FROM delivery_statistic "  # noqa: S608
        f"WHERE receiving_domain_id <> 0 AND at >= %s AND at < %s GROUP BY {', '.join(KEY[1:])}",
        [start, end],
    )


_COLUMNS = ", ".join([*KEY, *COLUMNS])
_SUMS = ", ".join(f"sum({name}) AS {name}" for name in COLUMNS)
_FOLD = f"""
    WITH gone AS (
        DELETE FROM delivery_delta
        WHERE id = ANY(ARRAY(SELECT id FROM delivery_delta ORDER BY id LIMIT %(most)s)) RETURNING *
    ), summed AS (
        SELECT coalesce(receiving_domain_id, 0) AS receiving_domain_id, {", ".join(KEY[1:])}, {_SUMS}
        FROM gone GROUP BY GROUPING SETS (({", ".join(KEY)}), ({", ".join(KEY[1:])}))
    ), added AS (
        INSERT INTO delivery_statistic AS old ({_COLUMNS}) SELECT {_COLUMNS} FROM summed
        ON CONFLICT ({", ".join(KEY)}) DO UPDATE
        SET {", ".join(f"{name} = old.{name} + excluded.{name}" for name in COLUMNS)}
    )
    SELECT count(*) FROM gone
"""  # noqa: S608  (names of our own)
