"""Tables partitioned by a time-ordered id, a month each.

A model says `partition_by = "id"` (or the column that holds such an id) and is created by `CreatePartitionedModel` in
its migration. Partitions are made ahead here; there is no default partition, which would have to be scanned whenever
one is added.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from django.db.migrations import AddIndex, CreateModel
from django.db.models.options import Options

from console import ids, locks

MONTHS_AHEAD = 3


class CreatePartitionedModel(CreateModel):
    """CreateModel whose table is `PARTITION BY RANGE (partition_by)`."""

    def __init__(self, *args: Any, partition_by: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.partition_by = partition_by

    def deconstruct(self) -> Any:
        name, args, kwargs = super().deconstruct()
        return name, args, {**kwargs, "partition_by": self.partition_by}

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        sql, params = schema_editor.table_sql(model)
        column = model._meta.get_field(self.partition_by).column
        schema_editor.execute(f"{sql} PARTITION BY RANGE ({schema_editor.quote_name(column)})", params or None)
        # Indexes on a parent are made on every partition that comes.
        for index in model._meta.indexes:
            schema_editor.add_index(model, index)


class AddIndexToPartitions(AddIndex):
    """AddIndex on a partitioned table in use: made partition by partition while rows are written, then joined.

    The migration says `atomic = False`. One that was interrupted is run again: what it left half made is made anew.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        quote, table = schema_editor.quote_name, model._meta.db_table
        made = str(self.index.create_sql(model, schema_editor))
        _head, on, rest = made.partition(f" ON {quote(table)} ")
        if not on:
            raise ValueError(f"cannot be made on partitions: {made}")
        schema_editor.execute(f"CREATE INDEX IF NOT EXISTS {quote(self.index.name)} ON ONLY {quote(table)} {rest}")
        for partition in _partitions(table):
            name = f"{partition}_{self.index.name}"
            if _joined(self.index.name, partition):
                # A partition that was made meanwhile got it by itself, under a name of PostgreSQL's.
                continue
            with locks.patient():
                if _half_made(name):
                    schema_editor.execute(f"DROP INDEX CONCURRENTLY {quote(name)}")
                schema_editor.execute(
                    f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {quote(name)} ON {quote(partition)} {rest}"
                )
            schema_editor.execute(f"ALTER INDEX {quote(self.index.name)} ATTACH PARTITION {quote(name)}")
            if self.index.expressions:
                # What the planner knows of an expression it learns by its index, and of an old month nobody else asks.
                schema_editor.execute(f"ANALYZE {quote(partition)}")


def _partitions(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass ORDER BY c.relname",
            [table],
        )
        return [row[0] for row in cursor.fetchall()]


def _joined(index: str, partition: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid "
            "WHERE i.inhparent = to_regclass(%s) AND x.indrelid = %s::regclass AND x.indisvalid",
            [index, partition],
        )
        return cursor.fetchone() is not None


def _half_made(index: str) -> bool:
    """Whether an index stands there that nothing uses: making it was interrupted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid", [index])
        return cursor.fetchone() is not None


def partitioned_models() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if hasattr(model, "partition_by")]


def names(*tables: type[models.Model]) -> list[str]:
    """The partitions of these tables."""
    return [name for table in tables for name in _partitions(table._meta.db_table)]


def first_month(model: type[models.Model]) -> dt.datetime | None:
    """The month of its oldest partition: from then on nothing was taken away."""
    months = sorted(name[-6:] for name in _partitions(model._meta.db_table) if name[-6:].isdecimal())
    return dt.datetime(int(months[0][:4]), int(months[0][4:]), 1, tzinfo=dt.UTC) if months else None


def month_start(moment: dt.datetime, offset: int = 0) -> dt.datetime:
    """Midnight UTC of the first day of the month `offset` months after `moment`'s."""
    months = moment.year * 12 + moment.month - 1 + offset
    return dt.datetime(months // 12, months % 12 + 1, 1, tzinfo=dt.UTC)


def ensure(now: dt.datetime, *, months_ahead: int = MONTHS_AHEAD, months_back: int = 1) -> list[str]:
    """Make the missing partitions from `months_back` before `now` to `months_ahead` after it; give their names."""
    made: list[str] = []
    with connection.cursor() as cursor:
        for model in partitioned_models():
            for offset in range(-months_back, months_ahead + 1):
                name = _ensure_one(cursor, model._meta, month_start(now, offset))
                if name:
                    made.append(name)
    return made


def _ensure_one(cursor: Any, meta: Options[Any], start: dt.datetime) -> str | None:
    name = f"{meta.db_table}_{start:%Y%m}"
    if _there(cursor, name):
        return None
    low, high = ids.id_at(start), ids.id_at(month_start(start, 1))
    # Two processes may make it at once: the advisory lock lets the second find it made.
    cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
    try:
        if _there(cursor, name):
            return None
        # As a table of its own that is joined when it is done: PARTITION OF would wait for everybody who reads or
        # writes the whole, and everybody else behind it. Indexes come with the joining.
        with transaction.atomic():
            # Rows are updated a few times in their first minutes: room on the page keeps those updates off the indexes.
            cursor.execute(
                f'CREATE TABLE "{name}" (LIKE "{meta.db_table}" INCLUDING ALL EXCLUDING INDEXES) WITH (fillfactor = 85)'
            )
            cursor.execute(
                f'ALTER TABLE "{meta.db_table}" ATTACH PARTITION "{name}" FOR VALUES FROM ({low}) TO ({high})'
            )
    finally:
        cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])
    return name


def _there(cursor: Any, name: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
    return bool(cursor.fetchone()[0])
