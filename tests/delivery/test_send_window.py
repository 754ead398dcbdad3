"""A send window: mail outside it is held and says so, and goes on by itself when the window opens."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from console.models import Account
from delivery import jobs
from delivery.models import HeldBy, Message, PauseCause, Task, TaskStatus, Waiting
from delivery.services import holding, schedules, tasks
from delivery.services.times import Times
from tests.factories.sending import new_task

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def utc(db: None) -> None:
    Account.current()
    Account.objects.update(time_zone="UTC")


def window(hours: int) -> Times:
    """A window of two hours that opens in so many hours; -1: it is open now."""
    opens = timezone.now() + dt.timedelta(hours=hours)
    return Times(opens=opens.time(), closes=(opens + dt.timedelta(hours=2)).time())


def held() -> set[tuple[str, str]]:
    return set(Message.objects.values_list("status", "held_by"))


def made(times: Times) -> Task:
    task = tasks.create_task(new_task(times=times))
    tasks.expand(task.pk, now=timezone.now())
    return Task.objects.get(pk=task.pk)


def test_rows_made_outside_the_window_are_held_from_the_start_and_go_when_it_opens() -> None:
    task = made(window(3))
    assert held() == {("held", HeldBy.WINDOW.value)}
    schedules.keep(now=timezone.now())
    task.refresh_from_db()
    assert (task.status, task.window_shut) == (TaskStatus.SENDING, True)
    schedules.keep(now=timezone.now() + dt.timedelta(hours=4))
    assert jobs.keep_window(task.pk) == 3
    assert held() == {("sending", "")}
    assert set(Waiting.objects.values_list("state", flat=True)) == {Waiting.State.READY.value}


def test_when_it_closes_what_waits_is_held_and_so_are_retries_until_they_are_due() -> None:
    task = made(window(-1))
    assert held() == {("sending", "")}
    retry = Waiting.objects.first()
    assert retry is not None
    later = timezone.now() + dt.timedelta(days=2)
    Waiting.objects.filter(pk=retry.pk).update(attempts=1, state=Waiting.State.LATER, due=later)
    schedules.keep(now=timezone.now() + dt.timedelta(hours=4))
    jobs.keep_window(task.pk)
    assert held() == {("held", HeldBy.WINDOW.value)}
    schedules.keep(now=timezone.now())
    jobs.keep_window(task.pk)
    assert held() == {("sending", "")}
    assert sorted(Waiting.objects.values_list("state", flat=True)) == [0, 0, Waiting.State.LATER]


def test_what_was_held_just_after_the_window_opened_is_not_forgotten() -> None:
    task = made(window(-1))
    holding.hold_all(HeldBy.WINDOW, "task_id = %s", [task.pk])
    jobs.tidy()
    assert held() == {("sending", "")}


def test_a_pause_outlasts_the_opening_of_the_window() -> None:
    task = made(window(3))
    schedules.keep(now=timezone.now())
    tasks.pause(task, cause=PauseCause.OPERATOR)
    schedules.keep(now=timezone.now() + dt.timedelta(hours=4))
    assert held() == {("held", HeldBy.WINDOW.value)}
    tasks.resume(task)
    jobs.release_task(task.pk)
    schedules.keep(now=timezone.now() + dt.timedelta(hours=4))
    jobs.keep_window(task.pk)
    assert held() == {("sending", "")}


def test_a_stopped_task_cancels_what_waited_for_its_window() -> None:
    task = made(window(3))
    tasks.stop(task, now=timezone.now())
    jobs.cancel_task(task.pk)
    task.refresh_from_db()
    assert tasks.counts_of([task.pk])[task.pk] == {"cancelled": 3}
    assert task.ended_at is not None
