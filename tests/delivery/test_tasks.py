"""Batch tasks: checked before they are made, expanded without missing or repeating anyone, paused, resumed, stopped."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from console import heartbeat
from console.models import ApiUser, Heartbeat
from delivery.models import HeldBy, Message, PauseCause, Status, Task, TaskStatus, Template, Waiting
from delivery.services import holding, tasks
from delivery.services.as_sent import mail_as_sent
from delivery.services.counts import end_tasks, move_counts
from delivery.services.tasks import TaskRefused, create_task, expand
from suppression import services as suppression
from tests.factories.delivery import AddressFactory, DomainFactory, GroupFactory
from tests.factories.sending import new_task, template


def recipients(task: Task) -> Counter[str]:
    return Counter(Message.objects.filter(task=task).values_list("recipient", flat=True))


def everyone(count: int) -> Counter[str]:
    return Counter(f"success+p{n}@simulator.test" for n in range(count))


def made(**changed: Any) -> Task:
    task = create_task(new_task(**changed))
    expand(task.pk, now=timezone.now())
    task.refresh_from_db()
    return task


def settle(task: Task, status: Status = Status.DELIVERED) -> None:
    """As the engine does when mail has ended."""
    waiting = list(Waiting.objects.filter(task_id=task.pk).values_list("message_id", flat=True))
    old = dict(Message.objects.filter(pk__in=waiting).values_list("pk", "status"))
    Waiting.objects.filter(message_id__in=waiting).delete()
    Message.objects.filter(pk__in=waiting).update(status=status)
    move_counts(delta for pk in waiting for delta in ((task.pk, old[pk], -1), (task.pk, status.value, 1)))
    end_tasks([task.pk], now=timezone.now())


# --- checks


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"subject": "For {{who}}"}, "defaults", "who"),
        ({"template": "<p>{{name}} {{tier}} {{points}}</p>"}, "defaults", "tier, points"),
        ({"sender_address": {"sender_name": "{{shop}}"}}, "defaults", "shop"),
        ({"sender_address": {"domain": None}}, "sender_address", "not verified"),
        ({"group": 0}, "group", "no recipients"),
        ({"subject": "Hi\r\nBcc: a@b.example"}, "subject", "one line"),
        ({"subject": "Hi {% name %}"}, "subject", "unknown syntax"),
        ({"defaults": {"name": {}}}, "defaults", "name"),
        ({"control_percent": 51}, "control_percent", "50"),
        ({"label": "x" * 65}, "label", "64"),
    ],
)
def test_what_is_wrong_is_named_beside_its_field_and_nothing_is_made(
    changed: dict[str, Any], field: str, words: str
) -> None:
    if "template" in changed:
        changed = {"template": template(changed["template"])}
    if "sender_address" in changed:
        given = changed["sender_address"]
        pending = {"domain": DomainFactory(verified_at=None)} if "domain" in given else given
        changed = {"sender_address": AddressFactory(**pending)}
    if "group" in changed:
        changed = {"group": GroupFactory()}
    with pytest.raises(TaskRefused, match=words) as error:
        create_task(new_task(**changed))
    assert error.value.field == field
    assert not Task.objects.exists()


@pytest.mark.django_db
def test_a_variable_may_come_from_the_defaults() -> None:
    task = create_task(
        new_task(template=template("<p>{{name}} {{store}} {{unsubscribe_url}}</p>"), defaults={"store": "all"})
    )
    assert task.defaults == {"store": "all"}


@pytest.mark.django_db
def test_a_template_put_away_cannot_be_sent() -> None:
    put_away = template()
    put_away.deleted_at = timezone.now()
    put_away.save()
    with pytest.raises(TaskRefused):
        create_task(new_task(template=put_away))


# --- expansion


@pytest.mark.django_db
def test_a_task_makes_one_row_for_each_recipient_with_their_own_subject() -> None:
    task = made()
    assert recipients(task) == everyone(3)
    assert set(Message.objects.values_list("subject", flat=True)) == {f"News for Person {n}" for n in range(3)}
    assert (task.status, task.requested, task.expanded) == (TaskStatus.SENDING, 3, True)
    assert tasks.counts_of([task.pk]) == {task.pk: {"sending": 3}}
    assert Waiting.objects.filter(task_id=task.pk, priority=Waiting.Priority.BATCH).count() == 3


@pytest.mark.django_db
def test_a_crash_between_chunks_neither_misses_nor_repeats_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 4)
    task = create_task(new_task(group=GroupFactory(people=11)))
    real, calls = tasks.make_messages, []

    class Killed(BaseException):
        """Not an Exception: a process that dies handles nothing."""

    def dies(*args: Any, **kwargs: Any) -> Any:
        done = real(*args, **kwargs)
        calls.append(1)
        # After the rows went in, before the chunk is committed: the worst moment.
        if len(calls) % 2 == 0:
            raise Killed
        return done

    monkeypatch.setattr(tasks, "make_messages", dies)
    for _attempt in range(10):
        try:
            expand(task.pk, now=timezone.now())
        except Killed:
            continue
        break
    task.refresh_from_db()
    assert recipients(task) == everyone(11)
    assert (task.requested, task.expanded) == (11, True)
    assert tasks.counts_of([task.pk])[task.pk] == {"sending": 11}


@pytest.mark.django_db
def test_a_long_expansion_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 2)
    monkeypatch.setattr(heartbeat, "_again_at", 0.0)
    made(group=GroupFactory(people=5))
    assert not Heartbeat.objects.exists(), "by a command, nobody waits for them"
    monkeypatch.setenv("Q_CLUSTER_NAME", "jobs")
    made(group=GroupFactory(people=5))
    assert Heartbeat.objects.get().part == "jobs"


@pytest.mark.django_db(transaction=True)
def test_two_expanders_of_one_task_neither_miss_nor_repeat_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 3)
    task = create_task(new_task(group=GroupFactory(people=60)))
    begin = threading.Barrier(3)

    def work() -> None:
        try:
            begin.wait()
            expand(task.pk, now=timezone.now())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whoever found the row locked has left; asked again, what is left is made.
    expand(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert recipients(task) == everyone(60)
    assert (task.requested, task.expanded, task.status) == (60, True, TaskStatus.SENDING)


@pytest.mark.django_db
def test_who_is_imported_after_the_start_is_not_in_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 2)
    group = GroupFactory(people=3)
    task = create_task(new_task(group=group))
    tasks.start(task.pk, now=timezone.now())
    group.recipients.create(address="late@example.org", key="late@example.org", domain="example.org")
    expand(task.pk, now=timezone.now())
    assert recipients(task) == everyone(3)


@pytest.mark.django_db
def test_the_version_is_the_one_of_the_start() -> None:
    task = made()
    assert task.template is not None
    Template.objects.filter(pk=task.template_id).update(current=None)
    assert set(Message.objects.values_list("version_id", flat=True)) == {task.version_id}


@pytest.mark.django_db
def test_the_suppressed_and_the_control_group_have_rows_but_do_not_wait() -> None:
    user = ApiUser.console(ApiUser.Type.BATCH)
    suppression.unsubscribe("success+p0@simulator.test", api_user_id=user.pk, now=timezone.now())
    task = made(group=GroupFactory(people=60), control_percent=50)
    counts = tasks.counts_of([task.pk])[task.pk]
    assert sum(counts.values()) == 60
    assert counts["invalid"] == 1
    assert 10 <= counts["control_group"] <= 50
    assert Waiting.objects.count() == counts["sending"]


@pytest.mark.django_db
def test_a_deleted_group_fails_the_task_and_says_why() -> None:
    task = create_task(new_task())
    assert task.group is not None
    task.group.delete()
    expand(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert task.status == TaskStatus.FAILED
    assert "deleted" in task.failure
    assert task.ended_at is not None


@pytest.mark.django_db
def test_a_task_ends_when_all_its_rows_are_final() -> None:
    task = made()
    settle(task)
    task.refresh_from_db()
    assert (task.status, task.ended_at is not None) == (TaskStatus.DONE, True)


@pytest.mark.django_db
def test_an_empty_cell_takes_the_default() -> None:
    group = GroupFactory(people=1)
    group.recipients.update(variables={"name": ""})
    made(group=group, defaults={"name": "friend"})
    message = Message.objects.get()
    assert message.subject == "News for friend"
    assert "Hello friend" in mail_as_sent(message).text


# --- pause, resume, stop


@pytest.mark.django_db
def test_a_pause_holds_what_waits_and_resuming_takes_it_up_again() -> None:
    task = made()
    tasks.pause(task, cause=PauseCause.OPERATOR, by="ann")
    holding.hold_task(task.pk)
    task.refresh_from_db()
    assert (task.status, task.pause_cause, task.acted_by) == ("paused", "operator", "ann")
    assert set(Message.objects.values_list("status", "held_by")) == {("held", HeldBy.TASK_PAUSED.value)}
    assert tasks.counts_of([task.pk])[task.pk] == {"held": 3}
    tasks.resume(task)
    holding.release_task(task.pk)
    task.refresh_from_db()
    assert (task.status, task.pause_cause) == ("sending", "")
    assert set(Message.objects.values_list("status", "held_by")) == {("sending", "")}
    assert set(Waiting.objects.values_list("state", flat=True)) == {Waiting.State.READY.value}


@pytest.mark.django_db
def test_a_task_paused_before_it_began_begins_when_it_is_resumed() -> None:
    task = create_task(new_task())
    tasks.pause(task, cause=PauseCause.OPERATOR)
    assert expand(task.pk, now=timezone.now()) == 0
    task.refresh_from_db()
    assert (task.status, task.failure, task.requested) == ("paused", "", 0)
    tasks.resume(task)
    assert expand(task.pk, now=timezone.now()) == 3


@pytest.mark.django_db
def test_a_paused_task_ends_only_after_it_is_resumed() -> None:
    task = made()
    tasks.pause(task, cause=PauseCause.OPERATOR)
    settle(task)
    task.refresh_from_db()
    assert task.status == TaskStatus.PAUSED
    tasks.resume(task)
    tasks.end_if_over(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert task.status == TaskStatus.DONE


@pytest.mark.django_db
def test_only_what_caused_a_pause_or_an_operator_ends_it() -> None:
    task = made()
    tasks.pause(task, cause=PauseCause.DOMAIN)
    with pytest.raises(TaskRefused):
        tasks.resume(task, cause=PauseCause.QUOTA)
    tasks.resume(task, cause=PauseCause.DOMAIN)
    tasks.pause(task, cause=PauseCause.DOMAIN)
    tasks.resume(task)


@pytest.mark.django_db
def test_stopping_cancels_what_was_not_tried_and_lets_the_rest_end() -> None:
    task = made()
    tried = Waiting.objects.filter(task_id=task.pk).first()
    assert tried is not None
    Waiting.objects.filter(pk=tried.pk).update(attempts=1, state=Waiting.State.LATER)
    tasks.stop(task, by="ann", now=timezone.now())
    holding.cancel_task(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert (task.status, task.acted_by, task.ended_at) == ("stopped", "ann", None)
    assert tasks.counts_of([task.pk])[task.pk] == {"sending": 1, "cancelled": 2}
    settle(task)
    task.refresh_from_db()
    assert task.status == TaskStatus.STOPPED
    assert task.ended_at is not None


@pytest.mark.django_db
def test_stopping_a_paused_task_cancels_what_was_held() -> None:
    task = made()
    tasks.pause(task, cause=PauseCause.OPERATOR)
    holding.hold_task(task.pk)
    tasks.stop(task, now=timezone.now())
    holding.cancel_task(task.pk, now=timezone.now())
    task.refresh_from_db()
    assert tasks.counts_of([task.pk])[task.pk] == {"cancelled": 3}
    assert task.ended_at is not None
    assert not Waiting.objects.exists()


@pytest.mark.django_db
def test_a_stopped_task_is_expanded_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 2)
    task = create_task(new_task(group=GroupFactory(people=6)))
    tasks.start(task.pk, now=timezone.now())
    tasks._expand_chunk(task.pk, now=timezone.now())
    tasks.stop(task, now=timezone.now())
    assert expand(task.pk, now=timezone.now()) == 0
    holding.cancel_task(task.pk, now=timezone.now())
    assert tasks.counts_of([task.pk])[task.pk] == {"cancelled": 2}


@pytest.mark.django_db
@pytest.mark.parametrize("status", [TaskStatus.DONE, TaskStatus.STOPPED, TaskStatus.FAILED])
def test_what_has_ended_can_be_neither_paused_resumed_nor_stopped(status: TaskStatus) -> None:
    task = create_task(new_task())
    Task.objects.filter(pk=task.pk).update(status=status, ended_at=timezone.now())
    with pytest.raises(TaskRefused):
        tasks.pause(task, cause=PauseCause.OPERATOR)
    with pytest.raises(TaskRefused):
        tasks.resume(task)
    with pytest.raises(TaskRefused):
        tasks.stop(task, now=timezone.now())
    task.refresh_from_db()
    assert task.status == status


@pytest.mark.django_db
def test_a_running_task_cannot_be_resumed_and_a_paused_one_not_paused_again() -> None:
    task = made()
    with pytest.raises(TaskRefused):
        tasks.resume(task)
    tasks.pause(task, cause=PauseCause.OPERATOR, by="ann")
    with pytest.raises(TaskRefused):
        tasks.pause(task, cause=PauseCause.QUOTA)
    task.refresh_from_db()
    assert task.pause_cause == PauseCause.OPERATOR
