"""The database in the middle of an export: begun anew where it went away, and an end in words where it refuses."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from exports import making, tidying
from exports.models import Export, State
from tests.exports import worker
from tests.exports.files import ask, beside, files, many, nothing_to_read, one_again
from tests.factories.sending import message
from tests.installation import until

pytestmark = pytest.mark.django_db
AWAY_SECONDS = 0.5


def go_away() -> Callable[[], None]:
    """End all sessions, as a server that stops does, and let nobody in. Gives what ends that."""
    name = connection.settings_dict["NAME"]

    def let_in(yes: bool) -> None:
        with beside("postgres") as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {yes}'.encode())
            if not yes:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    let_in(False)
    return lambda: let_in(True)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_restarted_in_the_middle_has_it_begun_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(10_000)
    real = making.Progress.tell
    for format in ("csv", "xlsx"):
        export, back = making.claim(ask("messages", format)), list[threading.Timer]()

        def interrupt(self: Any, rows: int, back: list[threading.Timer] = back) -> None:
            if not back:
                back.append(threading.Timer(AWAY_SECONDS, go_away()))
                back[0].start()
            real(self, rows)

        monkeypatch.setattr(making.Progress, "tell", interrupt)
        making.make(export)
        back[0].join()
        export.refresh_from_db()
        assert export.state == State.WAITING
        assert "connection to the database was lost" in export.problem
        Export.objects.filter(pk=export.pk).update(format="csv")  # faster
    assert files(folder) == []
    assert making.make_next()
    assert making.make_next()
    for export in Export.objects.all():
        assert (export.state, export.rows, export.tries, export.problem) == (State.DONE, 10_001, 2, "")


@contextmanager
def another_column(other: psycopg.Connection[Any]) -> Iterator[None]:
    other.execute("ALTER TABLE delivery_message RENAME subject TO topic")
    yield
    other.execute("ALTER TABLE delivery_message RENAME topic TO subject")


@contextmanager
def too_slow(other: psycopg.Connection[Any]) -> Iterator[None]:
    with connection.cursor() as cursor, nothing_to_read():
        cursor.execute("SET statement_timeout = 200")
        yield
    connection.close()


@contextmanager
def full_disk(other: psycopg.Connection[Any]) -> Iterator[None]:
    """Where many rows are sorted, they lie there for a while."""
    other.execute(
        "CREATE FUNCTION full_disk() RETURNS bool LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not write to file' USING ERRCODE = 'disk_full'; END $$"
    )
    other.execute("ALTER TABLE delivery_message RENAME TO there")
    other.execute("CREATE VIEW delivery_message AS SELECT * FROM there WHERE full_disk()")
    yield
    other.execute("DROP VIEW delivery_message")
    other.execute("ALTER TABLE there RENAME TO delivery_message")
    other.execute("DROP FUNCTION full_disk")


@pytest.mark.django_db(transaction=True)
def test_what_the_database_refuses_whenever_it_is_asked_fails_at_once_in_words(folder: Path) -> None:
    message("ann@example.org")
    refusals = [
        (another_column, "csv", "The database refused: column delivery_message.subject does not exist. Ask for it"),
        (another_column, "xlsx", "The database refused: column delivery_message.subject does not exist. Ask for it"),
        (too_slow, "csv", "The database refused: canceling statement due to statement timeout. Ask for it"),
        (full_disk, "csv", "There is no room left on the disk of the database. Make room, then run it again."),
    ]
    with beside() as other:
        for happens, format, words in refusals:
            export = making.claim(ask("messages", format))
            with happens(other):
                making.make(export)
            export.refresh_from_db()
            assert (export.state, export.tries) == (State.FAILED, 1)
            assert export.problem.startswith(words)
    assert files(folder) == []


def test_three_losses_are_enough_and_the_last_is_told(folder: Path) -> None:
    export = ask("messages")
    Export.objects.filter(pk=export.pk).update(tries=3, problem="The connection to the database was lost (gone).")
    assert making.make_next()
    export.refresh_from_db()
    assert export.state == State.FAILED
    assert export.problem == "It was begun 3 times. The last time: The connection to the database was lost (gone)."


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_half_way_leaves_the_export_to_another(folder: Path) -> None:
    many(30_000)
    export = ask("messages", "xlsx")
    first = worker.begin(folder)
    until(lambda: any(path.stat().st_size > 50_000 for path in folder.rglob("*.xml")), "half a file", pause=0.01)
    first.kill()
    first.communicate()
    export.refresh_from_db()
    assert export.state == State.RUNNING
    assert not making.make_next()  # it may be alive yet
    assert len(files(folder)) == 1
    Export.objects.update(claimed_until=timezone.now() - dt.timedelta(seconds=1))
    one_again()
    assert making.make_next()
    export.refresh_from_db()
    assert (export.state, export.rows, export.tries) == (State.DONE, 1, 2)
    tidying.tidy(now=timezone.now() + dt.timedelta(hours=2))
    assert files(folder) == [export.file]
