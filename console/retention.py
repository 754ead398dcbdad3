"""How long rows are kept: whole months of partitioned tables are taken away at once; what was counted stays.

A model says `kept_by = "KEEP_MESSAGES_MONTHS"`: the setting with the number of months, 0 for ever.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import OperationalError, connection, models

from console import ids, locks
from console.partitions import month_start, partitioned_models

log = structlog.get_logger()

# Stands at a table that is being taken away: killed between taking it off and dropping it, the next run knows it again
# from what somebody took off to keep.
GOING = "Posthorn: older than it is kept, to be dropped"

# Asked with the range of ids of a month: why it can't go yet, or "".
in_use: list[Callable[[int, int], str]] = []


@dataclass(frozen=True, slots=True)
class Old:
    """A partition that is older than its table is kept. `why_not`: what still needs it; `rows`: about."""

    table: str
    parent: str
    month: dt.datetime
    bytes: int
    rows: int
    why_not: str


def old(*, now: dt.datetime) -> list[Old]:
    """The partitions to be taken away, oldest first."""
    found = []
    for model in partitioned_models():
        months = getattr(settings, getattr(model, "kept_by", ""), 0)
        if months > 0:
            # The month that has just begun counts as one: nothing younger than so many months goes.
            found += _before(model, month_start(now, -months))
    return sorted(found, key=lambda one: (one.month, one.table))


def _before(model: type[models.Model], first_kept: dt.datetime) -> list[Old]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint
            FROM pg_class c LEFT JOIN pg_inherits i ON c.oid = i.inhrelid
            WHERE c.relkind = 'r' AND starts_with(c.relname, %s)
              AND (i.inhparent = %s::regclass OR i.inhrelid IS NULL AND obj_description(c.oid, 'pg_class') = %s)
            """,
            [model._meta.db_table, model._meta.db_table, GOING],
        )
        partitions = cursor.fetchall()
    found = []
    for name, size, rows in partitions:
        match = re.fullmatch(rf"{model._meta.db_table}_(\d{{4}})(\d\d)", name)
        if match is None:
            continue
        month = dt.datetime(int(match[1]), int(match[2]), 1, tzinfo=dt.UTC)
        if month < first_kept:
            low, high = ids.id_at(month), ids.id_at(month_start(month, 1))
            why_not = next(filter(None, (ask(low, high) for ask in in_use)), "")
            found.append(Old(name, model._meta.db_table, month, size, rows, why_not))
    return found


def prune(*, now: dt.datetime) -> list[Old]:
    """Take away what is old and not in use any more; give it. Must not be called in a transaction."""
    gone = []
    for one in old(now=now):
        if one.why_not:
            log.info("partition_kept", table=one.table, why=one.why_not)
            continue
        try:
            _take_away(one)
        except OperationalError as error:
            # Somebody reads it for longer than we wait.
            log.warning("partition_busy", table=one.table, error=str(error).strip())
            continue
        log.info("partition_dropped", table=one.table, bytes=one.bytes)
        gone.append(one)
    return gone


def _take_away(one: Old) -> None:
    with locks.brief(), connection.cursor() as cursor:
        # CONCURRENTLY: the table goes on being read and written. One that was interrupted is finished first.
        cursor.execute("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = %s::regclass", [one.table])
        row = cursor.fetchone()
        if row is not None:
            how = "FINALIZE" if row[0] else "CONCURRENTLY"
            cursor.execute(f'ALTER TABLE "{one.parent}" DETACH PARTITION "{one.table}" {how}')
        cursor.execute(f'DROP TABLE "{one.table}"')
