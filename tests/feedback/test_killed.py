"""kill -9 of the listener and of the worker while bounce mails come in: each is acted on once, and none is lost."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from delivery.models import Message, TaskCount
from delivery.services import tasks
from suppression.models import Entry
from tests.factories.delivery import GroupFactory
from tests.factories.sending import new_task
from tests.feedback import traffic
from tests.installation import free_port, until
from tests.other_process import begin
from tracking.models import Event, FeedbackMail

COUNT = 120


class Respawned:
    """A process that is started again whenever it is killed, as the supervisor does."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.process: subprocess.Popen[bytes] = begin(order)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = begin(self.order)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def waiting() -> int:
    return FeedbackMail.objects.filter(state=FeedbackMail.State.WAITING).count()


@pytest.mark.django_db(transaction=True)
def test_whoever_is_killed_meanwhile_each_bounce_mail_is_acted_on_once() -> None:
    task = tasks.create_task(new_task(group=GroupFactory(people=COUNT)))
    tasks.expand(task.pk, now=timezone.now())
    traffic.settled(COUNT, tasks_id=task.pk)
    port = free_port()
    settings = {"FEEDBACK_PORT": port, "FEEDBACK_HOST": "127.0.0.1", "JOB_WORKERS": 3}
    listener = Respawned({"do": "listen", "settings": settings})
    workers = [Respawned({"do": "process", "lease": 2, "settings": settings}) for _n in range(2)]
    mails = traffic.bounces(task.pk)
    # Each comes twice: its sender did not hear our 250.
    bringing = threading.Thread(target=lambda: traffic.bring_all(port, [*mails, *mails], connections=4, seconds=240))
    bringing.start()
    kills: list[tuple[Callable[[], int], int, Callable[[], None]]] = [
        (FeedbackMail.objects.count, COUNT // 4, listener.kill),
        (Event.objects.count, COUNT // 4, workers[0].kill),
        (Event.objects.count, COUNT // 3, workers[1].kill),
    ]
    try:
        for seen, enough, kill in kills:
            until(lambda seen=seen, enough=enough: seen() >= enough, "work is under way", 120)
            kill()
        bringing.join(240)
        assert not bringing.is_alive()
        until(lambda: FeedbackMail.objects.count() == COUNT and not waiting(), "all is acted on", 120)
    finally:
        for one in (listener, *workers):
            one.end()
    assert Counter(FeedbackMail.objects.values_list("outcome", flat=True)) == {"corrected": COUNT}
    assert Counter(Message.objects.values_list("status", "reason")) == {("soft_bounce", "not_exist"): COUNT}
    events = Counter(Event.objects.values_list("message_id", "kind"))
    assert len(events) == COUNT and set(events.values()) == {1}
    assert Counter(Entry.objects.values_list("list", "hits")) == {("bounce", 1): COUNT}
    assert {
        name: count for name, count in TaskCount.objects.filter(task=task).values_list("status", "count") if count
    } == {"soft_bounce": COUNT}
