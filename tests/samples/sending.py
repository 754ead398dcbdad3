"""Tasks and messages."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from delivery.models import Status, Task, TaskCount, TaskStatus
from delivery.services import schedules
from delivery.services.tasks import create_task, expand
from delivery.services.times import Times
from tests.factories.sending import message, new_task
from tests.samples import rows, url_of


def _task(**times: Any) -> Task:
    return create_task(new_task(times=Times(**times)))


def _series() -> Task:
    """Every week, with a run under way."""
    starts = (timezone.now() + dt.timedelta(days=2)).replace(tzinfo=None)
    series = _task(type=Task.Type.RECURRING, starts=starts, every_days=7)
    schedules.keep(now=timezone.now() + dt.timedelta(days=4))
    expand(series.runs.get().pk, now=timezone.now())
    return Task.objects.get(pk=series.pk)


@rows("tasks")
def tasks(n: int) -> None:
    for number in range(n):
        _series() if number % 3 == 0 else _task()


@url_of("task-again")
def ended_task() -> dict[str, Any]:
    task = _task()
    Task.objects.filter(pk=task.pk).update(
        status=TaskStatus.DONE, ended_at=timezone.now(), version=task.template.current if task.template else None
    )
    TaskCount.objects.create(task=task, status=Status.SOFT_BOUNCE, count=3)
    return {"pk": task.pk}


@rows("messages")
def messages(n: int) -> None:
    for number in range(n):
        message(f"person{number}@example.org")


@url_of("task", "task-pause", "task-resume", "task-stop")
def task() -> dict[str, Any]:
    return {"pk": _task().pk}


@url_of("message", "message-mail", "message-source", "message-frame")
def one_message() -> dict[str, Any]:
    return {"pk": message().pk}
