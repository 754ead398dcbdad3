"""Exports that can't come to their end: each ends in a clear state, and none leaves half a file."""

from __future__ import annotations

import datetime as dt
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone
from django_q.exceptions import TimeoutException

from console import heartbeat
from console.models import Heartbeat
from exports import making, progress, storage, tidying
from exports.models import Export, State
from tests.exports.files import ask, files, made
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


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


def test_after_seven_days_the_file_goes_and_later_its_row(folder: Path) -> None:
    message("ann@example.org")
    export = made("messages")
    assert tidying.tidy(now=timezone.now() + dt.timedelta(days=6, hours=23)) == 0
    assert tidying.tidy(now=timezone.now() + dt.timedelta(days=7, minutes=1)) == 1
    export.refresh_from_db()
    assert (export.state, export.file) == (State.EXPIRED, "")
    assert files(folder) == []
    waiting = ask("messages")
    tidying.tidy(now=timezone.now() + dt.timedelta(days=31))
    # However old: what is not made yet is made.
    assert list(Export.objects.all()) == [waiting]


def test_one_that_can_not_be_deleted_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = made("messages"), made("messages")
    real = storage.remove

    def read_only(name: str) -> None:
        if name == first.file:
            raise PermissionError(name)
        real(name)

    monkeypatch.setattr(storage, "remove", read_only)
    later = timezone.now() + dt.timedelta(days=8)
    assert tidying.tidy(now=later) == 1
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.DONE, State.EXPIRED)
    monkeypatch.setattr(storage, "remove", real)
    assert tidying.tidy(now=later) == 1


def test_where_nothing_can_be_written_aside_that_is_said(folder: Path) -> None:
    (folder / "making").write_text("a file where the folder should be")
    export = made("messages")
    assert (export.state, export.tries) == (State.FAILED, 1)
    assert "could not be written" in export.problem


def test_one_that_takes_longer_than_its_worker_may_is_not_begun_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_long(*_: Any) -> None:
        raise TimeoutException  # from within, by a signal

    monkeypatch.setattr(making, "content", too_long)
    export = making.claim(ask("messages"))
    with pytest.raises(TimeoutException):
        making.make(export)
    export.refresh_from_db()
    assert (export.state, export.tries) == (State.FAILED, 1)
    assert "Ask for fewer rows" in export.problem
    assert files(folder) == []


def test_a_file_of_no_export_is_deleted_when_it_is_no_longer_young(folder: Path) -> None:
    kept = folder / "done"
    kept.mkdir()
    for name, age in (("old.csv", 7200), ("young.csv", 60)):
        (kept / name).write_text("x")
        then = timezone.now().timestamp() - age
        os.utime(kept / name, (then, then))
    tidying.tidy(now=timezone.now())
    assert files(kept) == ["young.csv"]
    assert storage.store().exists("young.csv")


def test_before_the_first_file_there_is_nothing_to_clear_away(folder: Path) -> None:
    assert tidying.tidy(now=timezone.now()) == 0


@pytest.mark.django_db(transaction=True)
def test_a_file_that_takes_long_to_put_away_stays_its_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket at the other end of a slow line. Its cluster is not taken for dead meanwhile."""
    message("ann@example.org")
    monkeypatch.setattr(heartbeat, "_again_at", 0.0)
    monkeypatch.setenv("Q_CLUSTER_NAME", "jobs")
    monkeypatch.setattr(progress, "LEASE", dt.timedelta(seconds=1))
    monkeypatch.setattr(progress, "TELL_SECONDS", 0.2)
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
    assert Heartbeat.objects.get().part == "jobs"


def test_one_that_is_still_written_to_is_not_swept_away_however_long_it_takes(folder: Path) -> None:
    """A command has no time limit."""
    long_ago = timezone.now().timestamp() - 7200
    for name, age in (("1-running", timezone.now().timestamp()), ("2-dead", long_ago)):
        aside = folder / "making" / name
        aside.mkdir(parents=True)
        (aside / "export.csv").write_text("x")
        os.utime(aside / "export.csv", (age, age))
        os.utime(aside, (long_ago, long_ago))
    tidying.tidy(now=timezone.now())
    assert [path.name for path in (folder / "making").iterdir()] == ["1-running"]
