"""Sending again: a new task over the soft failures of one that has ended, and over nobody else."""

from __future__ import annotations

from collections import Counter

import pytest
from django.test import Client
from django.utils import timezone

from delivery.models import Message, Status, Task, TaskStatus, Waiting
from delivery.services import again, tasks
from delivery.services.again import CannotSendAgain, send_again
from delivery.services.counts import end_tasks, move_counts
from suppression import services as suppression
from tests.factories.delivery import GroupFactory
from tests.factories.sending import new_task

pytestmark = pytest.mark.django_db


def ended(people: int = 6, failed: int = 4) -> Task:
    """A task of which the first so many failed softly, and the rest was delivered."""
    task = tasks.create_task(new_task(group=GroupFactory(people=people), label="spring", defaults={"shop": "ours"}))
    tasks.expand(task.pk, now=timezone.now())
    ids = list(Message.objects.filter(task=task).order_by("id").values_list("pk", flat=True))
    Waiting.objects.filter(task_id=task.pk).delete()
    for part, status in ((ids[:failed], Status.SOFT_BOUNCE), (ids[failed:], Status.DELIVERED)):
        Message.objects.filter(pk__in=part).update(status=status)
        move_counts([(task.pk, "sending", -len(part)), (task.pk, status.value, len(part))])
    end_tasks([task.pk], now=timezone.now())
    return Task.objects.get(pk=task.pk)


def expanded(task: Task) -> Task:
    tasks.expand(task.pk, now=timezone.now())
    return Task.objects.get(pk=task.pk)


def recipients(task: Task) -> Counter[str]:
    return Counter(Message.objects.filter(task=task).values_list("recipient", flat=True))


def test_the_new_task_mails_the_soft_failures_once_each_with_what_was_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 3)
    old = ended(people=12, failed=7)
    new = expanded(send_again(old, by="ann"))
    assert recipients(new) == Counter(f"success+p{n}@simulator.test" for n in range(7))
    assert (new.requested, new.expanded, new.status, new.created_by) == (7, True, TaskStatus.SENDING, "ann")
    assert (new.version_id, new.subject, new.label, new.defaults) == (
        old.version_id,
        old.subject,
        "spring",
        old.defaults,
    )
    assert set(Message.objects.filter(task=new).values_list("subject", flat=True)) == {
        f"News for Person {n}" for n in range(7)
    }


def test_who_is_suppressed_by_now_is_left_out() -> None:
    old = ended(failed=2)
    suppression.unsubscribe("success+p0@simulator.test", api_user_id=old.api_user_id, now=timezone.now())
    new = expanded(send_again(old))
    assert tasks.counts_of([new.pk])[new.pk] == {"sending": 1, "invalid": 1}


def test_it_needs_neither_the_group_nor_the_template_any_more() -> None:
    old = ended(failed=2)
    assert old.group is not None
    old.group.delete()
    assert sum(recipients(expanded(send_again(Task.objects.get(pk=old.pk)))).values()) == 2


def test_what_has_not_ended_or_failed_nowhere_cannot_be_sent_again() -> None:
    with pytest.raises(CannotSendAgain, match="No mail of this task failed softly"):
        send_again(ended(failed=0))
    under_way = tasks.create_task(new_task())
    with pytest.raises(CannotSendAgain, match="not ended"):
        send_again(under_way)


def test_pressing_twice_makes_one_task_and_after_its_end_another_can_be_made() -> None:
    old = ended()
    first = send_again(old)
    with pytest.raises(CannotSendAgain, match=f"Task {first.pk} is sending"):
        send_again(old)
    Task.objects.filter(pk=first.pk).update(status=TaskStatus.DONE, ended_at=timezone.now())
    assert send_again(old).pk != first.pk


def test_an_unverified_domain_is_said() -> None:
    old = ended()
    assert old.sender_address is not None
    domain = old.sender_address.domain
    domain.verified_at = None
    domain.save()
    assert "not verified" in again.obstacle(Task.objects.get(pk=old.pk))


def test_the_page_asks_and_then_makes_it(operator: Client) -> None:
    old = ended()
    assert f"/tasks/{old.pk}/again/" in operator.get(f"/tasks/{old.pk}/").content.decode()
    assert f"/tasks/{old.pk}/again/" in operator.get("/tasks/").content.decode()
    asked = operator.get(f"/tasks/{old.pk}/again/")
    assert "4 mails" in asked.content.decode()
    assert Task.objects.count() == 1
    operator.post(f"/tasks/{old.pk}/again/")
    new = Task.objects.get(again_of=old)
    assert f"/tasks/{new.pk}/" in operator.get(f"/tasks/{old.pk}/").content.decode()
    again_asked = operator.get(f"/tasks/{old.pk}/again/", follow=True)
    assert f"Task {new.pk} is sending to them again already." in again_asked.content.decode()


def test_a_viewer_cannot(viewer: Client) -> None:
    old = ended()
    assert viewer.post(f"/tasks/{old.pk}/again/").status_code == 403
    assert "/again/" not in viewer.get(f"/tasks/{old.pk}/").content.decode()
