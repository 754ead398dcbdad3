"""Scheduled and recurring tasks as time goes by: what begins when, once, and what a pause or a standstill changes."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import pytest
from django.utils import timezone

from console.models import Account
from delivery import jobs
from delivery.models import Message, PauseCause, Task, TaskStatus
from delivery.services import schedules, tasks
from delivery.services.tasks import TaskRefused, create_task, expand
from delivery.services.times import Times
from tests.factories.delivery import GroupFactory
from tests.factories.sending import new_task

pytestmark = pytest.mark.django_db

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def berlin() -> None:
    Account.current()
    Account.objects.update(time_zone="Europe/Berlin")


def at(text: str) -> dt.datetime:
    """A time of the clock in Berlin."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def scheduled(starts: str = "2026-12-01T09:00", *, made: str = "2026-11-21T12:00", **times: Any) -> Task:
    given = Times(**{"type": Task.Type.SCHEDULED, "starts": dt.datetime.fromisoformat(starts), **times})
    return create_task(new_task(times=given), now=at(made))


def weekly(starts: str = "2026-03-16T09:00", *, made: str = "2026-03-01T12:00", **times: Any) -> Task:
    return scheduled(starts, made=made, **{"type": Task.Type.RECURRING, "every_days": 7, **times})


def keep(now: str) -> None:
    schedules.keep(now=at(now))


def fresh(task: Task) -> Task:
    return Task.objects.get(pk=task.pk)


def planned(series: Task) -> list[str]:
    runs = series.runs.order_by("planned_at").values_list("planned_at", flat=True)
    return [f"{moment.astimezone(BERLIN):%m-%d %H:%M}" for moment in runs if moment]


# --- scheduled


def test_a_scheduled_task_waits_until_its_time_and_nothing_expands_it_before() -> None:
    task = scheduled()
    assert (task.status, task.next_run_at) == (TaskStatus.WAITING, at("2026-12-01T09:00"))
    keep("2026-12-01T08:59")
    jobs.tidy()
    assert expand(task.pk, now=at("2026-12-01T08:59")) == 0
    assert fresh(task).status == TaskStatus.WAITING
    assert not Message.objects.exists()


def test_at_its_time_a_scheduled_task_begins_and_asking_twice_changes_nothing() -> None:
    task = scheduled()
    keep("2026-12-01T09:00")
    keep("2026-12-01T09:00")
    assert fresh(task).next_run_at is None
    assert expand(task.pk, now=at("2026-12-01T09:00")) == 3
    assert expand(task.pk, now=at("2026-12-01T09:00")) == 0
    assert fresh(task).status == TaskStatus.SENDING


def test_who_is_imported_before_the_start_is_in_the_task() -> None:
    task = scheduled()
    assert task.group is not None
    task.group.recipients.create(address="late@example.org", key="late@example.org", domain="example.org")
    keep("2026-12-01T09:00")
    assert expand(task.pk, now=at("2026-12-01T09:00")) == 4


def test_a_scheduled_task_that_was_stopped_never_begins() -> None:
    task = scheduled()
    tasks.stop(task, now=at("2026-11-30T09:00"))
    jobs.cancel_task(task.pk)
    keep("2026-12-02T09:00")
    assert expand(task.pk, now=at("2026-12-02T09:00")) == 0
    assert fresh(task).status == TaskStatus.STOPPED
    assert fresh(task).ended_at is not None


def test_a_scheduled_task_paused_over_its_time_begins_when_it_is_resumed() -> None:
    task = scheduled()
    tasks.pause(task, cause=PauseCause.OPERATOR)
    keep("2026-12-01T09:00")
    assert fresh(task).status == TaskStatus.PAUSED
    schedules.resume(task, now=at("2026-12-01T10:00"))
    assert fresh(task).status == TaskStatus.WAITING
    keep("2026-12-01T10:00")
    assert expand(task.pk, now=at("2026-12-01T10:00")) == 3


def test_one_paused_and_resumed_before_its_time_goes_on_waiting() -> None:
    task = scheduled()
    tasks.pause(task, cause=PauseCause.OPERATOR)
    schedules.resume(task, now=at("2026-11-30T09:00"))
    assert expand(task.pk, now=at("2026-11-30T09:00")) == 0
    assert (fresh(task).status, fresh(task).next_run_at) == (TaskStatus.WAITING, at("2026-12-01T09:00"))


# --- recurring


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("2026-03-16T09:00", ["03-16 09:00", "03-23 09:00", "03-30 09:00", "04-06 09:00"]),
        ("2026-10-12T09:00", ["10-12 09:00", "10-19 09:00", "10-26 09:00", "11-02 09:00"]),
    ],
)
def test_a_weekly_task_runs_at_the_same_local_time_over_both_clock_changes(first: str, expected: list[str]) -> None:
    series = weekly(first)
    now = at(first) - dt.timedelta(hours=3)
    for _turn in range(8 * 22):
        schedules.keep(now=now)
        now += dt.timedelta(hours=3)
    assert planned(series) == expected


def test_each_run_is_a_task_of_its_own_with_what_the_series_sends() -> None:
    series = weekly()
    keep("2026-03-16T09:00")
    run = series.runs.get()
    assert expand(run.pk, now=at("2026-03-16T09:00")) == 3
    run.refresh_from_db()
    assert (run.subject, run.group, run.status, run.type) == (series.subject, series.group, "sending", "recurring")
    assert expand(series.pk, now=at("2026-03-16T09:00")) == 0
    assert (fresh(series).status, fresh(series).requested) == (TaskStatus.WAITING, 0)


def test_a_run_missed_while_the_system_was_down_runs_once() -> None:
    series = weekly()
    keep("2026-04-08T12:00")
    keep("2026-04-08T12:01")
    assert planned(series) == ["03-16 09:00"]
    assert fresh(series).next_run_at == at("2026-04-13T09:00")


def moved_to(zone: str) -> None:
    account = Account.current()
    account.time_zone = zone
    account.save()


@pytest.mark.parametrize(
    ("zone", "moment"), [("Asia/Tokyo", "2026-11-30T00:00"), ("America/New_York", "2026-11-30T14:00")]
)
def test_when_the_accounts_zone_is_changed_what_is_planned_keeps_its_day_and_local_time(zone: str, moment: str) -> None:
    series, once = weekly("2026-11-30T09:00"), scheduled("2026-11-30T09:00")
    moved_to(zone)
    for _time in range(2):
        keep("2026-11-21T12:00")
    assert {fresh(series).next_run_at, fresh(once).next_run_at} == {
        dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    }


def test_a_zone_changed_and_changed_back_moves_nothing() -> None:
    task = scheduled("2026-12-01T23:30")
    for zone in ("Pacific/Auckland", "America/Los_Angeles", "Europe/Berlin"):
        moved_to(zone)
        keep("2026-11-21T12:00")
    assert fresh(task).next_run_at == at("2026-12-01T23:30")


def test_a_series_that_ran_already_runs_on_its_next_day_in_the_new_zone() -> None:
    series = weekly("2026-11-23T09:00")
    keep("2026-11-23T09:00")
    moved_to("America/New_York")
    keep("2026-11-23T09:01")
    assert series.runs.count() == 1
    assert fresh(series).next_run_at == dt.datetime(2026, 11, 30, 14, tzinfo=dt.UTC)


def test_the_last_day_ends_the_series_when_its_last_run_is_over() -> None:
    series = weekly(until=dt.date(2026, 3, 24))
    keep("2026-03-16T09:00")
    keep("2026-03-23T09:00")
    keep("2026-03-30T09:00")
    assert planned(series) == ["03-16 09:00", "03-23 09:00"]
    assert fresh(series).status == TaskStatus.WAITING
    series.runs.update(ended_at=timezone.now(), status=TaskStatus.DONE)
    keep("2026-03-30T09:00")
    assert fresh(series).status == TaskStatus.DONE
    assert fresh(series).ended_at is not None


def test_a_paused_series_makes_no_runs_and_none_is_made_up_for() -> None:
    series = weekly()
    keep("2026-03-16T09:00")
    tasks.pause(series, cause=PauseCause.OPERATOR)
    keep("2026-04-08T12:00")
    schedules.resume(series, now=at("2026-04-08T12:00"))
    keep("2026-04-08T12:00")
    assert planned(series) == ["03-16 09:00"]
    assert fresh(series).next_run_at == at("2026-04-13T09:00")
    keep("2026-04-13T09:00")
    assert planned(series) == ["03-16 09:00", "04-13 09:00"]


def test_a_stopped_series_makes_no_runs_and_leaves_the_run_under_way() -> None:
    series = weekly()
    keep("2026-03-16T09:00")
    expand(series.runs.get().pk, now=at("2026-03-16T09:00"))
    tasks.stop(series, now=at("2026-03-17T09:00"))
    jobs.cancel_task(series.pk)
    keep("2026-03-23T09:00")
    assert series.runs.get().status == TaskStatus.SENDING
    assert (fresh(series).status, fresh(series).next_run_at) == (TaskStatus.STOPPED, None)


def test_a_series_whose_group_was_deleted_fails_and_says_so() -> None:
    series = weekly()
    assert series.group is not None
    series.group.delete()
    keep("2026-03-16T09:00")
    assert fresh(series).status == TaskStatus.FAILED
    assert "deleted" in fresh(series).failure
    assert not series.runs.exists()


def test_an_expansion_that_was_lost_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    series = weekly()
    keep("2026-03-16T09:00")  # the process dies here, before anybody is asked
    asked: list[int] = []
    monkeypatch.setattr(tasks, "ask_for_expansion", asked.append)
    jobs.tidy()
    assert asked == [series.runs.get().pk]


# --- what is refused


@pytest.mark.parametrize(
    ("times", "field", "words"),
    [
        ({"starts": None}, "starts", "when it begins"),
        ({"starts": dt.datetime(2026, 11, 21, 12, 0)}, "starts", "has passed"),
        ({"starts": dt.datetime(9999, 12, 31)}, "starts", "ten years"),
        ({"type": Task.Type.RECURRING, "every_days": None}, "every_days", "1 to 366"),
        ({"type": Task.Type.RECURRING, "every_days": 0}, "every_days", "1 to 366"),
        ({"type": Task.Type.RECURRING, "every_days": 7, "until": dt.date(2026, 11, 30)}, "until", "before the first"),
        ({"opens": dt.time(9)}, "window_closes", "both"),
        ({"closes": dt.time(9)}, "window_opens", "both"),
        ({"opens": dt.time(9), "closes": dt.time(9)}, "window_closes", "closes when it opens"),
    ],
)
def test_times_that_cannot_be_are_named_beside_their_field(times: dict[str, Any], field: str, words: str) -> None:
    GroupFactory(people=1)
    given = Times(**{"type": Task.Type.SCHEDULED, "starts": dt.datetime(2026, 12, 1, 9), **times})
    with pytest.raises(TaskRefused, match=words) as error:
        create_task(new_task(times=given), now=at("2026-11-21T12:00"))
    assert error.value.field == field
    assert not Task.objects.exists()


def test_a_batch_task_keeps_no_times_that_belong_to_other_types() -> None:
    task = scheduled(type=Task.Type.BATCH, every_days=7)
    assert (task.starts_on, task.every_days, task.next_run_at) == (None, None, None)


# --- stopping for the account


def test_stopping_for_the_account_pauses_what_sends_and_restarting_resumes_exactly_that() -> None:
    sends, by_operator = create_task(new_task()), create_task(new_task())
    for task in (sends, by_operator):
        expand(task.pk, now=timezone.now())
    tasks.pause(by_operator, cause=PauseCause.OPERATOR, by="ann")
    jobs.hold_task(by_operator.pk)
    Account.objects.update(sending_stopped_at=timezone.now(), sending_stopped_by="bob")
    schedules.keep(now=timezone.now())
    schedules.keep(now=timezone.now())
    jobs.hold_task(sends.pk)
    assert (fresh(sends).status, fresh(sends).pause_cause, fresh(sends).acted_by) == ("paused", "account", "bob")
    assert set(Message.objects.filter(task=sends).values_list("status", "held_by")) == {("held", "account")}
    assert (fresh(by_operator).pause_cause, fresh(by_operator).acted_by) == ("operator", "ann")
    with pytest.raises(TaskRefused, match="stopped for the account"):
        tasks.resume(sends)
    Account.objects.update(sending_stopped_at=None)
    schedules.keep(now=timezone.now())
    jobs.release_task(sends.pk)
    assert fresh(sends).status == TaskStatus.SENDING
    assert set(Message.objects.filter(task=sends).values_list("status", "held_by")) == {("sending", "")}
    assert (fresh(by_operator).status, fresh(by_operator).pause_cause) == ("paused", "operator")
    assert set(Message.objects.filter(task=by_operator).values_list("held_by", flat=True)) == {"task_paused"}


def test_what_comes_due_while_all_is_stopped_begins_once_afterwards() -> None:
    series = weekly()
    Account.objects.update(sending_stopped_at=timezone.now())
    keep("2026-03-16T09:00")
    keep("2026-03-24T09:00")
    assert not series.runs.exists()
    Account.objects.update(sending_stopped_at=None)
    keep("2026-03-25T09:00")
    assert planned(series) == ["03-16 09:00"]


def test_a_late_hold_leaves_alone_what_was_resumed_meanwhile() -> None:
    task = create_task(new_task())
    expand(task.pk, now=timezone.now())
    tasks.pause(task, cause=PauseCause.OPERATOR)
    tasks.resume(task)
    assert jobs.hold_task(task.pk) == 0


def test_a_zone_a_day_apart_does_not_run_twice_what_has_run_nor_stop_what_else_is_due() -> None:
    Account.objects.update(time_zone="Pacific/Honolulu")
    series = weekly("2026-12-01T09:00", every_days=1)
    honolulu = zoneinfo.ZoneInfo("Pacific/Honolulu")
    first = dt.datetime(2026, 12, 1, 9, tzinfo=honolulu)
    schedules.keep(now=first)
    # In Kiritimati it is the same time a day later: the next run would be planned for the same moment.
    Account.objects.update(time_zone="Pacific/Kiritimati")
    schedules.keep(now=first + dt.timedelta(minutes=1))
    assert series.runs.count() == 1
    assert fresh(series).next_run_at == first + dt.timedelta(days=1)
    schedules.keep(now=first + dt.timedelta(days=1))
    assert series.runs.count() == 2
