"""`manage.py send_task`."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from delivery.models import Message, Status, Task, Waiting
from delivery.services.counts import end_tasks, move_counts
from delivery.services.tasks import expand
from tests.factories.delivery import AddressFactory, GroupFactory
from tests.factories.sending import template


def send(**changed: Any) -> str:
    GroupFactory(name="Readers", people=3)
    letter = template()
    sender = AddressFactory()
    out = io.StringIO()
    given = {"group": "Readers", "template": str(letter.pk), "sender": sender.address, "subject": "For {{name}}"}
    given |= changed
    options = [
        f"--{'from' if name == 'sender' else name}={value}" for name, value in given.items() if value is not True
    ]
    flags = [f"--{name}" for name, value in given.items() if value is True]
    call_command("send_task", *options, *flags, stdout=out, stderr=io.StringIO())
    return out.getvalue()


@pytest.mark.django_db
def test_it_makes_a_task_and_prints_its_id() -> None:
    printed = send(label="spring", control="10", defaults='{"store": "ours"}')
    task = Task.objects.get()
    assert printed == f"{task.pk}\n"
    assert (task.label, task.control_percent, task.defaults) == ("spring", 10, {"store": "ours"})
    assert task.created_by == "send_task"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"group": "Nobody"}, "no recipient group “Nobody”"),
        ({"template": "99999"}, "no email template"),
        ({"sender": "x@example.net"}, "is no sender address"),
        ({"sender": "x y@example.net"}, "--from"),
        ({"subject": "For {{who}}"}, "defaults: .*who"),
        ({"defaults": "[]"}, "no object"),
        ({"defaults": "{"}, "not JSON"),
        ({"control": "60"}, "control_percent"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(changed: dict[str, str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        send(**changed)
    assert not Task.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_the_end_and_prints_the_counts() -> None:
    stop = threading.Event()

    def work() -> None:
        """What the workers do."""
        try:
            while not stop.wait(0.05):
                for task in Task.objects.filter(ended_at=None):
                    expand(task.pk, now=timezone.now())
                    done = list(Waiting.objects.values_list("message_id", flat=True))
                    Waiting.objects.all().delete()
                    Message.objects.filter(pk__in=done).update(status=Status.DELIVERED)
                    move_counts([(task.pk, "sending", -len(done)), (task.pk, "delivered", len(done))])
                    end_tasks([task.pk], now=timezone.now())
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        printed = send(wait=True)
    finally:
        stop.set()
        worker.join()
    assert printed.splitlines()[1:] == ["delivered 3"]
