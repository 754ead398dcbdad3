"""Messages and attempts lie in a partition a month, made ahead, and a window looks into its own months only."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import connection
from django.db.utils import IntegrityError
from django.utils import timezone

from console import locks, partitions
from console.ids import id_at
from console.models import ApiUser
from delivery.models import Attempt, Message
from tests.exports.files import beside
from tests.factories.sending import attempt, message

FAR = dt.datetime(2031, 11, 17, 8, tzinfo=dt.UTC)
MONTHS = ["203110", "203111", "203112", "203201", "203202"]


def tables() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition")
        return {row[0] for row in cursor.fetchall()}


def plan(query: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {query}")
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.django_db
def test_partitions_are_made_from_last_month_to_months_ahead() -> None:
    made = partitions.ensure(FAR)
    assert sorted(made) == sorted(
        f"{model._meta.db_table}_{month}" for model in partitions.partitioned_models() for month in MONTHS
    )
    assert {"delivery_message_203111", "delivery_attempt_203202"} <= set(made) <= tables()
    assert partitions.ensure(FAR) == []
    assert {name[-6:] for name in partitions.ensure(FAR + dt.timedelta(days=30))} == {"203203"}


@pytest.mark.django_db
def test_this_months_and_the_next_ones_are_there_from_the_start() -> None:
    assert partitions.ensure(timezone.now()) == []


def test_months_begin_at_midnight_utc_over_the_turn_of_the_year() -> None:
    assert partitions.month_start(FAR) == dt.datetime(2031, 11, 1, tzinfo=dt.UTC)
    assert partitions.month_start(FAR, 2) == dt.datetime(2032, 1, 1, tzinfo=dt.UTC)
    assert partitions.month_start(dt.datetime(2032, 1, 31, tzinfo=dt.UTC), -1) == dt.datetime(
        2031, 12, 1, tzinfo=dt.UTC
    )


@pytest.mark.django_db
def test_rows_land_in_their_month_and_attempts_beside_their_message() -> None:
    partitions.ensure(FAR)
    start = partitions.month_start(FAR, 1)
    moments = [FAR, start - dt.timedelta(milliseconds=1), start]
    for moment in moments:
        attempt(message(at=moment))
    with connection.cursor() as cursor:
        for table, key in (("delivery_message", "id"), ("delivery_attempt", "message_id")):
            cursor.execute(f"SELECT tableoid::regclass::text FROM {table} ORDER BY {key}")
            assert [row[0] for row in cursor.fetchall()] == [f"{table}_203111"] * 2 + [f"{table}_203112"]
    assert Message.objects.count() == Attempt.objects.count() == 3


@pytest.mark.django_db
def test_a_window_looks_into_its_own_months_only() -> None:
    partitions.ensure(FAR)
    low, high = id_at(FAR), id_at(FAR + dt.timedelta(days=7))
    seen = plan(f"SELECT * FROM delivery_message WHERE id >= {low} AND id < {high} ORDER BY id DESC LIMIT 50")
    assert "delivery_message_203111" in seen
    assert seen.count("delivery_message_2") == seen.count("delivery_message_203111")
    two = plan(f"SELECT * FROM delivery_message WHERE id >= {low} AND id < {id_at(FAR + dt.timedelta(days=20))}")
    assert "delivery_message_203111" in two
    assert "delivery_message_203112" in two
    assert "delivery_message_203110" not in two


@pytest.mark.django_db
def test_a_row_without_a_partition_is_refused_not_lost() -> None:
    ApiUser.console(ApiUser.Type.TRIGGER)
    with pytest.raises(IntegrityError, match="no partition"):
        message(at=dt.datetime(2040, 1, 1, tzinfo=dt.UTC))


@pytest.mark.django_db(transaction=True)
def test_making_one_waits_for_nobody_who_reads_or_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an export does that takes half an hour: all others would wait behind whoever waits for it."""
    monkeypatch.setattr(locks, "TIMEOUT", "200ms")
    parents = ", ".join(model._meta.db_table for model in partitions.partitioned_models())
    try:
        with beside() as other, other.transaction(), locks.brief():
            other.execute(f"LOCK TABLE {parents} IN ROW EXCLUSIVE MODE".encode())
            assert "delivery_message_203305" in partitions.ensure(dt.datetime(2033, 5, 1, tzinfo=dt.UTC))
    finally:
        _drop_2033()


@pytest.mark.django_db
def test_one_that_is_made_ahead_has_what_the_others_have() -> None:
    partitions.ensure(FAR)
    with connection.cursor() as cursor:
        for parent in ("delivery_message", "delivery_attempt", "tracking_event"):
            cursor.execute(
                """
                SELECT (SELECT count(*) FROM pg_index WHERE indrelid = t.oid AND indisvalid),
                       (SELECT array_agg(conname::text ORDER BY conname) FROM pg_constraint
                        WHERE conrelid = t.oid AND contype = 'c'),
                       (SELECT array_agg((attname, attnotnull, atttypid, attstorage, pg_get_expr(adbin, adrelid))::text
                                         ORDER BY attnum)
                        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                        WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped)
                FROM pg_class t WHERE relname IN (%s, %s) ORDER BY relname
                """,
                [parent, f"{parent}_203201"],
            )
            whole, one = cursor.fetchall()
            assert one == whole


@pytest.mark.django_db(transaction=True)
def test_two_that_make_the_same_partitions_do_not_fail() -> None:
    far = dt.datetime(2033, 5, 1, tzinfo=dt.UTC)
    begin, failed = threading.Barrier(2), []

    def work() -> None:
        try:
            begin.wait()
            partitions.ensure(far)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert {"delivery_message_203305", "delivery_attempt_203308"} <= tables()
    finally:
        _drop_2033()


def _drop_2033() -> None:
    with connection.cursor() as cursor:
        for name in sorted(one for one in tables() if "_2033" in one):
            cursor.execute(f"DROP TABLE {name}")
