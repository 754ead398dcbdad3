"""Folding deltas into the sums. The cost follows what changed, not what there is."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection, transaction

from delivery.models import Folded, Summary
from delivery.services.columns import COLUMNS

# Deltas folded in one transaction, and in one call.
CHUNK = 20_000
MOST_CHUNKS = 100
# Later than this, the pages say it loudly.
LATE = dt.timedelta(minutes=5)
# What sums are told apart by; totals without the first.
KEY = ("receiving_domain_id", "at", "api_user_id", "sender_domain_id", "template_id", "label")
TOTAL_KEY = KEY[1:]
SUMMARY_KEY = ("dimension", "key", "at")
Dimension = Summary.Dimension
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


def sum_again(cursor: Any, start: dt.datetime, end: dt.datetime) -> None:
    """Make totals and summaries of [start, end) anew from the sums by receiving domain. In the caller's transaction,
    which then holds up folding."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    for table in ("delivery_total", "delivery_summary"):
        cursor.execute(f"DELETE FROM {table} WHERE at >= %s AND at < %s", [start, end])  # noqa: S608
    period = "(SELECT * FROM delivery_statistic WHERE at >= %s AND at < %s) mail"
    cursor.execute(_add("delivery_total", TOTAL_KEY, period), [start, end])
    cursor.execute(_add("delivery_summary", SUMMARY_KEY, f"{period} {DIMENSIONS}"), [start, end])


def _add(table: str, key: tuple[str, ...], source: str) -> str:
    """Add what the source holds to the sums of this table; in order, so that what is asked for together lies together
    and a page of one receiving domain reads few blocks."""
    return f"""
        INSERT INTO {table} AS old ({", ".join(key + COLUMNS)})
        SELECT {", ".join(key)}, {_SUMS} FROM {source} GROUP BY {", ".join(key)} ORDER BY {", ".join(key)}
        ON CONFLICT ({", ".join(key)}) DO UPDATE
        SET {", ".join(f"{name} = old.{name} + excluded.{name}" for name in COLUMNS)}
    """  # noqa: S608  (names of our own)


_SUMS = ", ".join(f"sum({name})" for name in COLUMNS)
# Each row of mail once for every dimension.
DIMENSIONS = f"""
    CROSS JOIN LATERAL (VALUES
        ({Dimension.ALL}, ''), ({Dimension.API_USER}, mail.api_user_id::text),
        ({Dimension.SENDER_DOMAIN}, mail.sender_domain_id::text), ({Dimension.TEMPLATE}, mail.template_id::text),
        ({Dimension.RECEIVING_DOMAIN}, mail.receiving_domain_id::text), ({Dimension.LABEL}, mail.label)
    ) each(dimension, key)
"""
_FOLD = f"""
    WITH mail AS (
        DELETE FROM delivery_delta
        WHERE id = ANY(ARRAY(SELECT id FROM delivery_delta ORDER BY id LIMIT %(most)s)) RETURNING *
    ), by_domain AS ({_add("delivery_statistic", KEY, "mail")}),
    over_all AS ({_add("delivery_total", TOTAL_KEY, "mail")}),
    summed AS ({_add("delivery_summary", SUMMARY_KEY, f"mail {DIMENSIONS}")})
    SELECT count(*) FROM mail
"""  # noqa: S608  (names of our own)
