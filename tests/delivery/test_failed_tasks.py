"""A task that can't be expanded to its end: what was made goes its way, and what a person said of it stands."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from delivery import jobs
from delivery.models import HeldBy, PauseCause, Task, TaskStatus, Waiting
from delivery.services import holding, tasks
from tests.factories.delivery import GroupFactory
from tests.factories.sending import new_task

pytestmark = pytest.mark.django_db


def half_made(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task with two of its six rows, whose group is gone."""
    monkeypatch.setattr(tasks, "CHUNK", 2)
    group = GroupFactory(people=6)
    task = tasks.create_task(new_task(group=group))
    tasks.start(task.pk, now=timezone.now())
    tasks._expand_chunk(task.pk, now=timezone.now())
    group.delete()
    return task


def expanded(task: Task) -> Task:
    tasks.expand(task.pk, now=timezone.now())
    task.refresh_from_db()
    return task


def test_a_task_fails_where_its_group_is_gone_and_what_was_made_goes_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    task = expanded(half_made(monkeypatch))
    assert (task.status, task.requested) == (TaskStatus.FAILED, 2)
    assert Waiting.objects.filter(task_id=task.pk, state=Waiting.State.READY).count() == 2


@pytest.mark.parametrize("cause", [PauseCause.OPERATOR, PauseCause.QUOTA, PauseCause.ACCOUNT])
def test_a_paused_task_does_not_fail_before_it_goes_on_so_that_its_mail_is_not_held_for_ever(
    monkeypatch: pytest.MonkeyPatch, cause: PauseCause
) -> None:
    task = half_made(monkeypatch)
    tasks.pause(task, cause=cause, by="ann")
    holding.hold_task(task.pk)
    assert expanded(task).status == TaskStatus.PAUSED
    assert set(Waiting.objects.values_list("held_by", flat=True)) <= set(HeldBy) - {""}
    tasks.resume(task)
    holding.release_task(task.pk)
    assert expanded(task).status == TaskStatus.FAILED
    assert Waiting.objects.filter(task_id=task.pk, state=Waiting.State.READY).count() == 2


def test_a_task_that_is_stopped_as_it_fails_stays_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    task = half_made(monkeypatch)
    real = tasks._fail_now

    def stopped_before(*args: Any) -> None:
        tasks.stop(task, by="ann", now=timezone.now())
        real(*args)

    monkeypatch.setattr(tasks, "_fail_now", stopped_before)
    assert expanded(task).status == TaskStatus.STOPPED
    holding.cancel_task(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert (task.acted_by, task.ended_at is not None) == ("ann", True)


def test_mail_of_a_task_that_goes_on_is_taken_up_though_the_job_for_it_was_lost() -> None:
    paused, resumed = (tasks.create_task(new_task()) for _task in range(2))
    for task in (paused, resumed):
        expanded(task)
        tasks.pause(task, cause=PauseCause.OPERATOR)
        holding.hold_task(task.pk)
    Task.objects.filter(pk=resumed.pk).update(status=TaskStatus.SENDING, pause_cause="")
    jobs.tidy()
    held = Waiting.objects.filter(held_by=HeldBy.TASK_PAUSED).values_list("task_id", flat=True)
    assert set(held) == {paused.pk}


def test_a_failed_task_can_be_stopped_while_its_mail_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    task = expanded(half_made(monkeypatch))
    assert task.may_be_stopped
    tasks.stop(task, by="ann", now=timezone.now())
    holding.cancel_task(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert (task.status, task.ended_at is not None) == (TaskStatus.STOPPED, True)
    assert not Waiting.objects.filter(task_id=task.pk).exists()
    with pytest.raises(tasks.TaskRefused):
        tasks.stop(task, by="ann", now=timezone.now())
