"""A task has ended when each of its rows is final, and not a moment earlier, whoever works on it at the same time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone

from delivery.engine.claim import Claimed
from delivery.engine.settle import Settled, settle
from delivery.models import Message, PauseCause, Status, Task, TaskStatus, Waiting
from delivery.services import holding, tasks
from tests.engine.world import claim_all, delivered, group_of, started
from tests.factories.delivery import AddressFactory
from tests.factories.sending import new_task

PEOPLE = 300


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("restless", [False, True], ids=["plain", "paused and resumed meanwhile"])
def test_a_task_ends_once_with_all_rows_final_while_it_is_expanded_and_settled_side_by_side(
    monkeypatch: pytest.MonkeyPatch, restless: bool
) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 10)
    monkeypatch.setattr(holding, "CHUNK", 10)
    monkeypatch.setattr(tasks, "RETRY_SECONDS", ())  # two that wait for each other are a fault, not bad luck
    task = tasks.create_task(
        new_task(group=group_of([f"a{n}@example.org" for n in range(PEOPLE)]), sender_address=AddressFactory())
    )
    faults: list[BaseException | str] = []
    over = threading.Event()

    def look() -> None:
        if Task.objects.filter(pk=task.pk, ended_at__isnull=False).exists():
            over.set()
            if open_rows := Message.objects.filter(status__in=["sending", "held"]).count():
                faults.append(f"ended with {open_rows} rows to settle")

    def expand() -> None:
        tasks.expand(task.pk, now=timezone.now())

    def engine() -> None:
        chooser = random.Random(threading.get_ident())
        while not over.is_set():
            settle([fate(one, chooser) for one in claim_all(chooser.randint(1, 20))], now=timezone.now())
            look()

    def operator() -> None:
        while not over.is_set():
            try:
                tasks.pause(task, cause=PauseCause.OPERATOR)
                holding.hold_task(task.pk)
                tasks.resume(task)
            except tasks.TaskRefused:
                break
            # The jobs that resuming asks for.
            holding.release_task(task.pk)
            tasks.expand(task.pk, now=timezone.now())
            tasks.end_if_over(task.pk, now=timezone.now())
            look()

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            faults.append(error)
            over.set()
        finally:
            connection.close()

    jobs = [expand, engine, engine, *([operator] if restless else [])]
    threads = [threading.Thread(target=guarded, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    over.wait(60)
    over.set()
    for thread in threads:
        thread.join()

    assert not faults
    task.refresh_from_db()
    assert (task.status, task.requested, task.ended_at is not None) == (TaskStatus.DONE, PEOPLE, True)
    counts = tasks.counts_of([task.pk])[task.pk]
    assert sum(counts.values()) == PEOPLE
    for status, count in counts.items():
        assert Message.objects.filter(status=status).count() == count
    assert not Waiting.objects.exists()


def fate(one: Claimed, chooser: random.Random) -> Settled:
    """Mostly delivered; now and then given back, as an engine that ends does."""
    if chooser.random() < 0.1:
        return Settled(one, Status.SENDING)
    if chooser.random() < 0.1:
        return Settled(one, Status.INVALID, reason="unsubscribe")
    return delivered(one)


@pytest.mark.django_db
def test_a_task_that_fails_half_way_ends_with_the_last_row_that_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 2)
    address = AddressFactory()
    task = tasks.create_task(new_task(group=group_of([f"a{n}@example.org" for n in range(5)]), sender_address=address))
    tasks.start(task.pk, now=timezone.now())
    tasks._expand_chunk(task.pk, now=timezone.now())
    address.delete()
    tasks.expand(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert (task.status, task.ended_at, task.requested) == (TaskStatus.FAILED, None, 2)
    assert "deleted" in task.failure
    settle([delivered(one) for one in claim_all()], now=timezone.now())
    task.refresh_from_db()
    assert (task.status, task.ended_at is not None) == (TaskStatus.FAILED, True)
    assert tasks.expand(task.pk, now=timezone.now()) == 0


@pytest.mark.django_db
def test_what_ended_unseen_is_ended_by_the_tidying_job() -> None:
    from delivery import jobs

    task = started(["a@example.org"], AddressFactory())
    settle([delivered(one) for one in claim_all()], now=timezone.now())
    Task.objects.update(status=TaskStatus.SENDING, ended_at=None)
    jobs.tidy()
    task.refresh_from_db()
    assert (task.status, task.ended_at is not None) == (TaskStatus.DONE, True)
