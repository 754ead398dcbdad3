"""Tasks and messages."""

from __future__ import annotations

from typing import Any

from delivery.models import Task
from delivery.services.tasks import create_task
from tests.factories.sending import message, new_task
from tests.samples import rows, url_of


def _task() -> Task:
    return create_task(new_task())


@rows("tasks")
def tasks(n: int) -> None:
    for _ in range(n):
        _task()


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
