"""What is killed, by whoever, whenever: no mail is missed, and only what was on the wire may come twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from delivery.engine import claim, run
from delivery.models import Message, SenderAddress, Task, TaskStatus, Waiting
from delivery.services import tasks
from delivery.simulator.server import Simulator
from tests import other_process
from tests.engine.world import deliver, fates, group_of, started, taken
from tests.factories.delivery import AddressFactory
from tests.factories.sending import new_task

SHORT = {"CLAIM_SECONDS": 4, "LEASE_SECONDS": 1.5}


def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until it is so; a test that waits in vain fails."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def short_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = SHORT["CLAIM_SECONDS"]
    for name, value in {"CLAIM_SECONDS": seconds, "MARGIN_SECONDS": seconds / 6, "GRACE_SECONDS": seconds / 6}.items():
        monkeypatch.setattr(claim, name, value)


@contextmanager
def engine_elsewhere(**changed: Any) -> Iterator[psutil.Process]:
    """An engine in a process of its own, with short claims; it is gone at the end."""
    own = ("DNS_SERVERS", "MX_PORT", "JOURNAL_DIR", "SIMULATOR", "EHLO_NAME")
    order = {"do": "deliver", "settings": {**{name: getattr(settings, name) for name in own}, **SHORT, **changed}}
    process = other_process.begin(json.loads(json.dumps(order, default=str)))
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def on_the_wire(engine: psutil.Process) -> int:
    return sum(bool(one.raddr) and one.raddr.port == settings.MX_PORT for one in engine.net_connections("tcp4"))


def in_a_transaction() -> int:
    """Others' sessions that have begun a transaction and ask for nothing in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND state LIKE 'idle in transaction%%'"
        )
        return int(cursor.fetchone()[0])


def end_connections() -> None:
    """As a restart of PostgreSQL does to everybody but this thread."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def all_delivered(task: Task, everyone: list[str]) -> None:
    assert fates(task) == dict.fromkeys(everyone, ("delivered", ""))
    task.refresh_from_db()
    assert (task.status, tasks.counts_of([task.pk])[task.pk]) == (TaskStatus.DONE, {"delivered": len(everyone)})


def doubled(outside: Simulator, everyone: list[str]) -> int:
    mails = taken(outside)
    assert set(mails) == set(everyone), "nobody is missed"
    return sum(mails.values()) - len(everyone)


EVERYONE = [f"reader{n}@a.sink.test" for n in range(500)]


@pytest.mark.usefixtures("short_claims")
def test_an_engine_killed_in_mid_batch_leaves_nothing_undone(outside: Simulator, sender: SenderAddress) -> None:
    task = started(EVERYONE, sender)
    with engine_elsewhere() as engine:
        until(lambda: len(outside.accepted()) >= 30)
        engine.suspend()
        in_flight = on_the_wire(engine)
        engine.kill()
    assert Message.objects.filter(status="sending").exists()
    deliver()
    all_delivered(task, EVERYONE)
    # What a server had answered stood in the journal; only what was on the wire in that instant may come again.
    assert doubled(outside, EVERYONE) <= in_flight


@pytest.mark.usefixtures("short_claims")
def test_of_a_machine_gone_for_good_no_more_comes_twice_than_it_had_not_settled(
    outside: Simulator, sender: SenderAddress, tmp_path: Path
) -> None:
    task = started(EVERYONE, sender)
    journal = tmp_path / "elsewhere"
    with engine_elsewhere(JOURNAL_DIR=journal, MACHINE_NAME="elsewhere") as engine:
        until(lambda: len(outside.accepted()) >= 30)
        engine.kill()
    shutil.rmtree(journal)
    unsettled = Waiting.objects.filter(state=Waiting.State.CLAIMED).count()
    deliver()
    all_delivered(task, EVERYONE)
    assert doubled(outside, EVERYONE) <= unsettled


@pytest.mark.usefixtures("short_claims")
def test_an_engine_frozen_past_its_claims_doubles_only_what_it_had_on_the_wire(
    outside: Simulator, sender: SenderAddress
) -> None:
    task = started(EVERYONE, sender)
    with engine_elsewhere() as engine:
        until(lambda: len(outside.accepted()) >= 30)
        engine.suspend()
        in_flight = on_the_wire(engine)
        until(lambda: not in_a_transaction())
        deliver()
        all_delivered(task, EVERYONE)
        # It finds that others have done its work, and does not do it again.
        engine.resume()
        until(lambda: not on_the_wire(engine))
    all_delivered(task, EVERYONE)
    assert doubled(outside, EVERYONE) <= in_flight


@pytest.mark.usefixtures("short_claims")
def test_an_engine_goes_on_when_postgresql_was_away(outside: Simulator, sender: SenderAddress) -> None:
    everyone = [f"reader{n}@a.sink.test" for n in range(400)]
    task = started(everyone, sender)
    engine = threading.Thread(target=lambda: run.deliver(seconds=60, idle_seconds=3))
    engine.start()
    try:
        for accepted in (1, 100, 250):
            until(lambda accepted=accepted: len(outside.accepted()) >= accepted)
            end_connections()
    finally:
        engine.join()
    deliver()
    assert fates(task) == dict.fromkeys(everyone, ("delivered", ""))
    assert taken(outside) == dict.fromkeys(everyone, 1)
    assert tasks.counts_of([task.pk])[task.pk] == {"delivered": 400}


# --- expansion


def one_each(task: Task, count: int) -> None:
    task.refresh_from_db()
    assert (task.status, task.requested, task.expanded) == (TaskStatus.SENDING, count, True)
    recipients = list(Message.objects.filter(task=task).values_list("recipient", flat=True))
    assert len(recipients) == len(set(recipients)) == count
    assert Waiting.objects.filter(task_id=task.pk).count() == count
    assert tasks.counts_of([task.pk])[task.pk] == {"sending": count}


def expand_until_done(task: Task) -> None:
    def expanded() -> bool:
        tasks.expand(task.pk, now=timezone.now())
        task.refresh_from_db()
        return task.expanded

    until(expanded)


@pytest.mark.django_db(transaction=True)
def test_an_expansion_that_is_killed_neither_misses_nor_repeats_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks.create_task(
        new_task(group=group_of([f"a{n}@example.org" for n in range(600)]), sender_address=AddressFactory())
    )
    for wanted in (1, 200):
        process = other_process.begin({"do": "expand", "task": task.pk, "chunk": 5})
        until(lambda wanted=wanted: Message.objects.count() >= wanted)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    expand_until_done(task)
    one_each(task, 600)


@pytest.mark.django_db(transaction=True)
def test_an_expansion_goes_on_when_postgresql_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 5)
    monkeypatch.setattr(tasks, "RETRY_SECONDS", (0.05,) * 50)
    task = tasks.create_task(
        new_task(group=group_of([f"a{n}@example.org" for n in range(600)]), sender_address=AddressFactory())
    )

    def expand() -> None:
        try:
            tasks.expand(task.pk, now=timezone.now())
        finally:
            connection.close()

    expander = threading.Thread(target=expand)
    expander.start()
    for wanted in (1, 50, 100, 150, 200, 250, 300):
        until(lambda wanted=wanted: Message.objects.count() >= wanted or not expander.is_alive())
        end_connections()
    expander.join()
    one_each(task, 600)


def test_journal_pages_of_the_dead_are_gone_after_the_next_engine(outside: Simulator, tmp_path: Path) -> None:
    settings.JOURNAL_DIR.mkdir()
    page = settings.JOURNAL_DIR / "1-1.journal"
    page.write_text('{"id": 1, "torn": \nno json at all\n{"id":')
    deliver()
    assert not page.exists()
