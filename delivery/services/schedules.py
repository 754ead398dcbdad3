"""What the clock does to tasks: a scheduled one begins, a series makes its next run, a send window opens or shuts.

Called every half second by each supervisor, and cheap when nothing is due. Every step is a transaction of its own on
a row that is locked or matched, so that it can be done twice, by two at once, or late.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from contextlib import suppress

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from console.models import Account
from delivery.models import HeldBy, PauseCause, Task, TaskStatus
from delivery.schedule import local_moment, next_run
from delivery.services import holding, tasks
from delivery.services.tasks import TaskRefused

log = structlog.get_logger()

# Tasks begun in one pass; the next one is half a second later.
AT_ONCE = 50
_UNDER_WAY = Q(status=TaskStatus.SENDING) | Q(
    status__in=[TaskStatus.STOPPED, TaskStatus.FAILED], ended_at=None
)  # with mail that may go
# What a run takes over from its series.
_INHERITED = (
    *("api_user_id", "subject", "group_id", "group_name", "template_id", "template_name", "sender_address_id"),
    *("sender", "sender_name", "defaults", "label", "control_percent", "window_opens", "window_closes"),
    *("created_by", "request_ip"),
)


def tick() -> None:
    """What the supervisor calls. An error here must not end it."""
    try:
        keep(now=timezone.now())
    except (OperationalError, InterfaceError):
        raise  # the database is away, which the supervisor waits out
    except Exception:
        log.exception("schedules_failed")


def keep(*, now: dt.datetime) -> None:
    """Bring all tasks in line with the clock and with the account's switch."""
    account = Account.current()
    keep_account(account)
    keep_windows(account, now=now)
    # What comes due while all sending is stopped begins when it goes on: once, as after any other standstill.
    follow_zone(account)
    if account.sending_stopped_at is None:
        start_due(account, now=now)
    end_series(now=now)


# --- starting


def follow_zone(account: Account) -> None:
    """Where the account's zone was changed, what waits for the clock keeps its day and its local time. What has passed
    in the new zone begins at once, as after a standstill."""
    planned = Task.objects.filter(next_run_at__isnull=False, start_time__isnull=False)
    for task_id in planned.exclude(planned_in=account.time_zone).values_list("pk", flat=True):
        with transaction.atomic():
            task = Task.objects.select_for_update(of=("self",), no_key=True).filter(pk=task_id).first()
            if task is None or task.next_run_at is None or task.start_time is None:
                continue
            day = task.next_run_at.astimezone(zoneinfo.ZoneInfo(task.planned_in or account.time_zone)).date()
            task.next_run_at = local_moment(day, task.start_time, account.zone)
            task.planned_in = account.time_zone
            task.save(update_fields=["next_run_at", "planned_in"])


def start_due(account: Account, *, now: dt.datetime) -> int:
    """Begin what is due; give the number of tasks begun."""
    due = Task.objects.filter(next_run_at__lte=now, status=TaskStatus.WAITING).order_by("next_run_at")
    begun = 0
    for task_id in due.values_list("pk", flat=True)[:AT_ONCE]:
        begun += _begin(task_id, account, now)
    return begun


def _begin(task_id: int, account: Account, now: dt.datetime) -> bool:
    with transaction.atomic():
        task = (
            Task.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
            .select_related("group", "template", "sender_address")
            .filter(pk=task_id, next_run_at__lte=now, status=TaskStatus.WAITING)
            .first()
        )
        if task is None:
            return False
        begins = _run_of(task, account, now) if task.is_series else task
        if begins is task:
            task.next_run_at = None
        task.save(update_fields=["next_run_at", "planned_in", "status", "failure", "ended_at"])
        if begins is None:
            return False
        transaction.on_commit(lambda: tasks.ask_for_expansion(begins.pk))
    return True


def _run_of(series: Task, account: Account, now: dt.datetime) -> Task | None:
    """The run that is due; the series gets the time of the one after it. Runs that were missed are passed over."""
    template = series.template
    if series.group is None or series.sender_address is None or template is None or template.current_id is None:
        series.status, series.ended_at, series.next_run_at = TaskStatus.FAILED, now, None
        series.failure = _("The group, the template or the sender address was deleted. No further run begins.")
        return None
    inherited = {name: getattr(series, name) for name in _INHERITED}
    due = {"parent": series, "planned_at": series.next_run_at}
    # Clocks that are a day apart (Honolulu, Kiritimati) show the same time at the moment of a run that there was.
    run = None if Task.objects.filter(**due).exists() else Task(type=Task.Type.RECURRING, **due, **inherited)
    if run is not None:
        run.save()
    series.next_run_at, series.planned_in = _after(series, account, now), account.time_zone
    return run


def _after(series: Task, account: Account, now: dt.datetime) -> dt.datetime | None:
    if series.starts_on is None or series.start_time is None or not series.every_days:
        return None
    return next_run(series.starts_on, series.start_time, series.every_days, account.zone, after=now, until=series.until)


def resume(task: Task, *, now: dt.datetime) -> None:
    """An operator ends a pause. A series goes on with the next run by the calendar: unlike a standstill, a pause was
    meant, and what it kept from running is not made up for."""
    with transaction.atomic():
        if task.is_series:
            missed = Task.objects.select_for_update().filter(pk=task.pk, status=TaskStatus.PAUSED, next_run_at__lte=now)
            for series in missed:
                account = Account.current()
                following = _after(series, account, now)
                Task.objects.filter(pk=series.pk).update(next_run_at=following, planned_in=account.time_zone)
        tasks.resume(task)


def end_series(*, now: dt.datetime) -> None:
    """A series is done when its last run is."""
    over = Task.objects.filter(
        type=Task.Type.RECURRING, parent=None, status=TaskStatus.WAITING, next_run_at=None
    ).exclude(pk__in=Task.objects.filter(parent__isnull=False, ended_at=None).values("parent_id"))
    over.update(status=TaskStatus.DONE, ended_at=now)


# --- the account's switch


def keep_account(account: Account) -> None:
    """Stopped for the account: what sends is paused for that. Going on: exactly those go on."""
    if account.sending_stopped_at is not None:
        for task in Task.objects.filter(status=TaskStatus.SENDING):
            with suppress(TaskRefused):  # ended meanwhile
                tasks.pause(task, cause=PauseCause.ACCOUNT, by=account.sending_stopped_by)
    else:
        for task in Task.objects.filter(status=TaskStatus.PAUSED, pause_cause=PauseCause.ACCOUNT):
            with suppress(TaskRefused):
                tasks.resume(task, cause=PauseCause.ACCOUNT)


# --- send windows


def keep_windows(account: Account, *, now: dt.datetime) -> None:
    """Where a window has opened or shut since it was looked at last, its waiting mail is taken up or put aside."""
    for task in Task.objects.filter(_UNDER_WAY, window_opens__isnull=False):
        assert task.window is not None
        shut = not task.window.is_open(now, account.zone)
        if shut == task.window_shut:
            continue
        if Task.objects.filter(pk=task.pk, window_shut=not shut).update(window_shut=shut):
            async_task("delivery.jobs.keep_window", task.pk, cluster="jobs")


def keep_window(task_id: int) -> int:
    """Hold or take up the waiting mail of a task as its window is now; give the number moved."""
    task = Task.objects.get(pk=task_id)
    if task.window_shut:
        return holding.hold_all(HeldBy.WINDOW, "task_id = %s", [task_id])
    return holding.release_all(HeldBy.WINDOW, "task_id = %s", [task_id])


def tidy_windows() -> None:
    """What was held by somebody who saw the window shut, just after it opened."""
    for task in Task.objects.filter(_UNDER_WAY, window_opens__isnull=False):
        keep_window(task.pk)
