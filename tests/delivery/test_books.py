"""`manage.py check_books`: finds what does not agree, each kind of it, and nothing where all does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.utils import timezone

from delivery.models import Credits, HeldBy, Message, Status, Task, TaskCount, TaskStatus, Waiting
from delivery.services import books, credits, holding, tasks
from tests.engine.world import started
from tests.factories.delivery import AddressFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> Task:
    """To four people, of whom one has been cancelled and one is held."""
    credits.top_up(10, by="ann", now=timezone.now())
    made = started([f"ann{n}@example.org" for n in range(4)], AddressFactory())
    holding.hold_all(HeldBy.WINDOW, "message_id = %s", [Waiting.objects.order_by("pk")[0].pk])
    last = Waiting.objects.order_by("-pk")[0].pk
    holding._in_chunks("message_id = %s", [last], new=Status.CANCELLED, now=timezone.now())
    return made


def found() -> list[tuple[str, int]]:
    return [(fault.what.partition(" (")[0], fault.count) for fault in books.faults()]


def test_where_everything_agrees_it_is_said(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_books")
    assert "Everything agrees" in capsys.readouterr().out


def one(status: str) -> int:
    return Message.objects.filter(status=status).order_by("pk")[0].pk


HARMS: dict[str, tuple[Callable[[Task], object], set[str]]] = {
    "a waiting row is lost": (
        lambda task: Waiting.objects.filter(pk=one("held")).delete(),
        {"messages that have not ended, and nothing waits for them"},
    ),
    "a message is gone": (
        lambda task: Message.objects.filter(pk=one("held")).delete(),
        {
            "rows that wait for a message that has ended, or that there is none of",
            "tasks whose counts are not those of their messages",
        },
    ),
    "a message ended alone": (
        lambda task: Message.objects.filter(pk=one("sending")).update(status="delivered"),
        {
            "rows that wait for a message that has ended, or that there is none of",
            "tasks whose counts are not those of their messages",
        },
    ),
    "a row is held alone": (
        lambda task: Waiting.objects.filter(pk=one("sending")).update(state=2, held_by="window"),
        {"messages that are held while their row may be tried, or the other way round"},
    ),
    "a count is off": (
        lambda task: TaskCount.objects.filter(task=task, status="sending").update(count=9),
        {
            "tasks whose counts are not those of their messages",
            "tasks that requested another number than they have messages",
        },
    ),
    "a task ended early": (
        lambda task: Task.objects.update(status=TaskStatus.DONE, ended_at=timezone.now()),
        {"tasks that have ended though some of their mail has not"},
    ),
    "the balance is off": (
        lambda task: Credits.objects.update(balance=5000),
        {"credits: the balance is not what the ledger adds up to"},
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_does_not_agree_is_named_with_what_it_is(
    harm: str, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    do, names = HARMS[harm]
    do(task)
    assert {what for what, _count in found()} == names
    with pytest.raises(SystemExit) as end:
        call_command("check_books")
    assert end.value.code == 1
    assert sorted(names)[0] in capsys.readouterr().out


def test_a_task_that_has_nothing_left_and_does_not_end_is_found(task: Task) -> None:
    holding._in_chunks("task_id = %s", [task.pk], new=Status.CANCELLED, now=timezone.now())
    assert found() == [("tasks that have not ended though all of their mail has", 1)]
    tasks.end_if_over(task.pk, now=timezone.now())
    assert found() == []
