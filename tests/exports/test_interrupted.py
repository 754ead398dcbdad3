"""Exports that can't come to their end: each ends in a clear state, and none leaves half a file."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from delivery.models import Message
from exports import making, storage, writers
from exports.models import Export, State
from tests.exports.files import ask, made, table
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_full_disk_says_so_and_leaves_nothing(folder: Path, settings: Any) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("There is no /dev/full here to be full.")
    message("ann@example.org")
    export = ask("messages")
    making.claim(export)
    # What is written goes to a device that is always full.
    real = writers.write_csv

    def onto_full(path: Path, *args: Any) -> int:
        path.symlink_to("/dev/full")
        return real(path, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writers, "write_csv", onto_full)
        making.make(export)
    export.refresh_from_db()
    assert (export.state, export.file) == (State.FAILED, "")
    assert "no room left" in export.problem
    assert files(folder) == []


def test_any_other_fault_of_the_disk_is_named(folder: Path, settings: Any) -> None:
    message("ann@example.org")
    (folder / "done").write_text("a file where the folder should be")
    export = made("messages")
    assert export.state == State.FAILED
    assert "could not be written" in export.problem


def many(count: int) -> None:
    """More rows than fit into what lies between the server and us."""
    one = message("ann@example.org")
    names = [field.column for field in Message._meta.concrete_fields if field.column not in ("id", "subject")]
    columns = ", ".join(names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO delivery_message (id, subject, {columns}) "
            f"SELECT id + n, repeat('x', 500), {columns} FROM delivery_message, generate_series(1, %s) n WHERE id = %s",
            [count, one.pk],
        )


@pytest.mark.django_db(transaction=True)
def test_a_database_that_ends_our_session_in_the_middle_has_it_begun_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(50_000)
    export = making.claim(ask("messages"))
    real, hung_up = making.Progress.tell, list[int]()

    def hang_up(self: Any, rows: int) -> None:
        if not hung_up:
            hung_up.append(rows)
            with ThreadPoolExecutor(1) as beside:
                beside.submit(_end_copies).result()
        real(self, rows)

    monkeypatch.setattr(making.Progress, "tell", hang_up)
    making.make(export)
    export.refresh_from_db()
    assert export.state == State.WAITING
    assert files(folder) == []
    assert making.make_next()
    export.refresh_from_db()
    assert (export.state, export.rows, export.tries) == (State.DONE, 50_001, 2)


def _end_copies() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s", ["COPY (SELECT%"])
    connection.close()


def test_a_worker_that_died_is_replaced_when_its_lease_is_over_and_three_deaths_are_enough() -> None:
    message("ann@example.org")
    export = making.claim(ask("messages"))
    assert not making.make_next()
    over = timezone.now() - dt.timedelta(seconds=1)
    Export.objects.filter(pk=export.pk).update(claimed_until=over)
    assert making.make_next()
    export.refresh_from_db()
    assert (export.state, export.tries) == (State.DONE, 2)
    poison = making.claim(ask("messages"))
    Export.objects.filter(pk=poison.pk).update(claimed_until=over, tries=3)
    assert making.make_next()
    poison.refresh_from_db()
    assert poison.state == State.FAILED
    assert "3 times" in poison.problem


def test_who_lost_the_lease_writes_nothing_down(folder: Path) -> None:
    message("ann@example.org")
    first = making.claim(ask("messages"))
    Export.objects.filter(pk=first.pk).update(claim=1)
    making.make(first)
    assert Export.objects.get().state == State.RUNNING
    assert files(folder) == []


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_one_stops_within_a_second_or_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        message(f"p{number}@example.org")
    monkeypatch.setattr(writers, "TELL_ROWS", 1)
    monkeypatch.setattr(making, "TELL_SECONDS", 0.05)
    export = making.claim(ask("messages"))
    asked, go_on = threading.Event(), threading.Event()
    real = making.Progress.tell

    def wait(self: Any, rows: int) -> None:
        asked.set()
        go_on.wait(0.1)
        real(self, rows)

    monkeypatch.setattr(making.Progress, "tell", wait)
    worker = threading.Thread(target=lambda: (making.make(export), connection.close()))
    worker.start()
    assert asked.wait(10)
    assert making.cancel(Export.objects.get())
    worker.join(20)
    assert Export.objects.get().state == State.CANCELLED
    assert files(folder) == []


def test_a_list_that_was_removed_and_filters_that_are_gone_are_said() -> None:
    gone, filtered = ask("messages"), ask("messages")
    Export.objects.filter(pk=gone.pk).update(page="no-such-list")
    Export.objects.filter(pk=filtered.pk).update(params={"from": ["2020-01-01"], "to": ["2026-01-01"]})
    for _export in range(2):
        making.make_next()
    gone.refresh_from_db()
    filtered.refresh_from_db()
    assert (gone.state, gone.problem) == (State.FAILED, "This list is no longer there.")
    assert filtered.state == State.FAILED
    assert "ask for it anew" in filtered.problem


def test_who_may_no_longer_see_the_list_gets_no_file() -> None:
    nobody = get_user_model().objects.create_user("nobody")
    export = made("messages", by=nobody.pk)
    assert export.state == State.FAILED
    assert "may not see" in export.problem


def test_two_at_once_of_the_same_list_are_two_files() -> None:
    message("ann@example.org")
    first, second = ask("messages"), ask("messages")
    assert making.make_next()
    assert making.make_next()
    assert not making.make_next()
    names = set(Export.objects.values_list("file", flat=True))
    assert len(names) == 2
    for export in Export.objects.filter(pk__in=[first.pk, second.pk]):
        assert len(table(export)) == 1


def test_after_seven_days_the_file_goes_and_later_its_row(folder: Path) -> None:
    message("ann@example.org")
    export = made("messages")
    assert making.tidy(now=timezone.now() + dt.timedelta(days=6, hours=23)) == 0
    assert making.tidy(now=timezone.now() + dt.timedelta(days=7, minutes=1)) == 1
    export.refresh_from_db()
    assert (export.state, export.file) == (State.EXPIRED, "")
    assert files(folder) == []
    making.tidy(now=timezone.now() + dt.timedelta(days=31))
    assert not Export.objects.exists()


def test_a_file_of_no_export_is_deleted_when_it_is_no_longer_young(folder: Path) -> None:
    kept = folder / "done"
    kept.mkdir()
    for name, age in (("old.csv", 7200), ("young.csv", 60)):
        (kept / name).write_text("x")
        then = timezone.now().timestamp() - age
        os.utime(kept / name, (then, then))
    making.tidy(now=timezone.now())
    assert files(kept) == ["young.csv"]
    assert storage.store().exists("young.csv")


def test_before_the_first_file_there_is_nothing_to_clear_away(folder: Path) -> None:
    assert making.tidy(now=timezone.now()) == 0


@pytest.mark.django_db(transaction=True)
def test_a_file_that_takes_long_to_put_away_stays_its_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket at the other end of a slow line."""
    message("ann@example.org")
    monkeypatch.setattr(making, "LEASE", dt.timedelta(seconds=1))
    monkeypatch.setattr(making, "TELL_SECONDS", 0.2)
    real = storage.put

    def slowly(path: Path, suffix: str) -> str:
        threading.Event().wait(2)
        return real(path, suffix)

    monkeypatch.setattr(storage, "put", slowly)
    export = making.claim(ask("messages"))
    worker = threading.Thread(target=lambda: (making.make(export), connection.close()))
    worker.start()
    taken = []
    while worker.is_alive():
        taken += Export.objects.filter(making.claimable(timezone.now()))
        worker.join(0.1)
    assert taken == []
    export.refresh_from_db()
    assert (export.state, export.tries) == (State.DONE, 1)


def test_a_workbook_that_is_given_up_leaves_nothing_in_the_systems_folder_either(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = folder / "tmp"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    monkeypatch.setattr(writers, "TELL_ROWS", 1)
    for name in ("ann", "bob"):
        message(f"{name}@example.org")
    export = making.claim(ask("messages", "xlsx"))

    def cancelled(self: Any, rows: int) -> None:
        raise making.Stopped

    monkeypatch.setattr(making.Progress, "tell", cancelled)
    making.make(export)
    assert files(folder) == []


def test_one_that_is_still_written_to_is_not_swept_away_however_long_it_takes(folder: Path) -> None:
    """A command has no time limit."""
    long_ago = timezone.now().timestamp() - 7200
    for name, age in (("1-running", timezone.now().timestamp()), ("2-dead", long_ago)):
        aside = folder / "making" / name
        aside.mkdir(parents=True)
        (aside / "export.csv").write_text("x")
        os.utime(aside / "export.csv", (age, age))
        os.utime(aside, (long_ago, long_ago))
    making.tidy(now=timezone.now())
    assert [path.name for path in (folder / "making").iterdir()] == ["1-running"]
