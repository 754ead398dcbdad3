"""An index is added to a partitioned table in use, partition by partition, and once more where that was interrupted."""

from __future__ import annotations

import datetime as dt

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.migrations.state import ProjectState

from console.partitions import AddIndexToPartitions, ensure, partitioned_models
from tracking.models import Event

FAR = dt.datetime(2034, 2, 1, tzinfo=dt.UTC)
NAME = "event_for_a_test"
INDEX = models.Index(fields=["kind", "id"], name=NAME, condition=models.Q(kind__in=["a", "b"]))


def add() -> None:
    operation = AddIndexToPartitions("event", INDEX)
    before = ProjectState.from_apps(apps)
    after = before.clone()
    operation.state_forwards("tracking", after)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("tracking", editor, before, after)


def run(sql: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def states() -> tuple[bool, list[tuple[object, ...]]]:
    """Whether the whole is valid, and the partitions with whether each has the index."""
    whole = run(f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{NAME}'::regclass")[0][0]
    return bool(whole), run(
        f"""
        SELECT p.inhrelid::regclass::text, EXISTS (
            SELECT FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid
            WHERE i.inhparent = '{NAME}'::regclass AND x.indrelid = p.inhrelid AND x.indisvalid)
        FROM pg_inherits p WHERE p.inhparent = '{Event._meta.db_table}'::regclass
        """
    )


@pytest.mark.django_db(transaction=True)
def test_every_partition_has_it_however_often_it_is_begun() -> None:
    try:
        add()
        whole, partitions = states()
        assert whole
        assert len(partitions) > 1
        assert all(has for _name, has in partitions)
        add()
        assert states() == (whole, partitions)
        # Interrupted: the whole stands, one partition's index is half made and none of its own.
        run(f"DROP INDEX {NAME}")
        table = Event._meta.db_table
        run(f"CREATE INDEX {NAME} ON ONLY {table} (kind, id) WHERE kind IN ('a', 'b')")
        run(f"CREATE INDEX {partitions[0][0]}_{NAME} ON {partitions[0][0]} (kind, id) WHERE kind IN ('a', 'b')")
        run(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{partitions[0][0]}_{NAME}'::regclass")
        add()
        assert states() == (whole, partitions)
        # Interrupted, and then the job that makes months ahead made one more: it has an index already.
        run(f"DROP INDEX {NAME}")
        run(f"CREATE INDEX {NAME} ON ONLY {table} (kind, id) WHERE kind IN ('a', 'b')")
        ensure(FAR, months_ahead=0, months_back=0)
        add()
        whole, partitions = states()
        assert whole
        assert all(has for _name, has in partitions)
    finally:
        run(f"DROP TABLE IF EXISTS {', '.join(f'{m._meta.db_table}_{FAR:%Y%m}' for m in partitioned_models())}")
        run(f"DROP INDEX IF EXISTS {NAME}")
