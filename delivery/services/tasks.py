"""Batch tasks: made, started, expanded in chunks, paused, resumed, stopped.

Expanding moves its cursor in the transaction that makes the chunk's rows, so a crash neither misses nor repeats
anyone; a second expander of the same task finds the row locked and leaves.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import Max, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from console import heartbeat, ids
from console.models import Account, ApiUser
from delivery import templating
from delivery.models import (
    PauseCause,
    Recipient,
    RecipientGroup,
    SenderAddress,
    Task,
    TaskCount,
    TaskStatus,
    Template,
)
from delivery.models.status import OPEN, TASK_BEGUN, TASK_MAY_BE_PAUSED
from delivery.services import again, senders, texts
from delivery.services.counts import end_tasks
from delivery.services.holding import held_by_pause
from delivery.services.refused import Refused
from delivery.services.requests import Request, Wanted, make_messages
from delivery.services.times import Times, UnfitTimes
from delivery.values import merged

log = structlog.get_logger()

T = TypeVar("T")

CHUNK = 5000
# Between tries of a chunk that the database did not take.
RETRY_SECONDS = (0.1, 1.0, 5.0)


class TaskRefused(Refused):
    """The task can't be made or changed; the text says what to do. `field` is the form's field it belongs to."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a task is made from."""

    subject: str
    group: RecipientGroup
    template: Template
    sender_address: SenderAddress
    defaults: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    control_percent: int = 0
    created_by: str = ""
    request_ip: str | None = None
    times: Times = field(default_factory=Times)


def missing_variables(new: NewTask) -> list[str]:
    """Variables of template, subject and sender name that neither the group nor the defaults bring."""
    version = new.template.current
    wanted: list[str] = list(version.variables) if version else []
    for text in (new.subject, new.sender_address.sender_name):
        wanted += templating.variables(text)
    known = {*new.group.variables, *new.defaults, templating.UNSUBSCRIBE_URL}
    return [name for name in dict.fromkeys(wanted) if name not in known]


def check_task(new: NewTask, *, now: dt.datetime | None = None) -> NewTask:
    """Everything that must be right before a task is made; gives it back with its texts and times tidied. Raises
    TaskRefused."""
    if why := senders.obstacle(new.sender_address.domain, ApiUser.console(ApiUser.Type.BATCH)):
        raise TaskRefused(why, "sender_address")
    if new.template.usable is None:
        raise TaskRefused(str(texts.NO_BODY), "template")
    if not new.group.size:
        raise TaskRefused(_("This group has no recipients yet. Import some first."), "group")
    subject = _checked(texts.subject, new.subject, "subject")
    label = _checked(texts.label, new.label, "label")
    defaults: dict[str, str] = _checked(texts.values, new.defaults, "defaults")
    if not 0 <= new.control_percent <= 50:
        raise TaskRefused(_("The control group is 0 to 50 % of the recipients."), "control_percent")
    missing = missing_variables(new)
    if missing:
        raise TaskRefused(
            _("Neither the group nor the default variables have a value for: %(names)s. Add them to either.")
            % {"names": ", ".join(missing)},
            "defaults",
        )
    try:
        times = new.times.checked(zone=Account.current().zone, now=now or timezone.now())
    except UnfitTimes as unfit:
        raise TaskRefused(str(unfit), unfit.field) from None
    return replace(new, subject=subject, label=label, defaults=defaults, times=times)


def create_task(new: NewTask, *, now: dt.datetime | None = None) -> Task:
    """Check everything, then make the task and have it expanded, now or when its time comes (services/schedules.py).
    Raises TaskRefused; then nothing is made."""
    new = check_task(new, now=now)
    task = Task(
        **new.times.fields(Account.current().zone),
        api_user=ApiUser.console(ApiUser.Type.BATCH),
        subject=new.subject,
        group=new.group,
        group_name=new.group.name,
        template=new.template,
        template_name=new.template.name,
        sender_address=new.sender_address,
        sender=new.sender_address.address,
        sender_name=new.sender_address.sender_name,
        defaults=dict(new.defaults),
        label=new.label,
        control_percent=new.control_percent,
        created_by=new.created_by,
        request_ip=new.request_ip,
    )
    with transaction.atomic():
        task.save()
        transaction.on_commit(lambda: ask_for_expansion(task.pk))
    return task


def _checked(check: Callable[[Any], T], given: Any, field: str) -> T:
    try:
        return check(given)
    except texts.Unfit as unfit:
        raise TaskRefused(str(unfit), field) from None


def ask_for_expansion(task_id: int) -> None:
    async_task("delivery.jobs.expand_task", task_id, cluster="jobs")


def start(task_id: int, *, now: dt.datetime) -> bool:
    """Fix who is in the task and with which template version. True when it may be expanded."""
    with transaction.atomic():
        task = (
            Task.objects.select_for_update(of=("self",), no_key=True)
            .select_related("group", "template")
            .get(pk=task_id)
        )
        if task.next_run_at is not None or task.is_series:
            return False
        if task.status == TaskStatus.WAITING:
            if task.again_of_id is not None:
                task.cursor_end = again.last_row(task.again_of_id)
            elif task.group is None or task.template is None or task.template.current_id is None:
                _fail(task, _("The group or the template was deleted before the task began."), now)
                return False
            else:
                task.version_id = task.template.current_id
                task.cursor_end = Recipient.objects.filter(group=task.group).aggregate(last=Max("id"))["last"] or 0
            task.first_turn = _line_head()
            task.status, task.started_at = TaskStatus.SENDING, now
            task.save()
        # One that was paused before it began is not started by being asked to: resuming asks again.
        begun = task.started_at is not None and task.status in TASK_BEGUN
        return begun and not task.expanded


def _line_head() -> int:
    """Where the line of batch mail stands: the least advanced task under way. A new task begins there, so that it
    shares with those before it and neither overtakes them nor waits for their end."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT min(t.first_turn + (SELECT coalesce(sum(count), 0) FROM delivery_taskcount c
                                       WHERE c.task_id = t.id AND c.status <> ALL(%s)))
            FROM delivery_task t WHERE t.status = %s
            """,
            [[status.value for status in OPEN], TaskStatus.SENDING],
        )
        return int(cursor.fetchone()[0] or 0)


def expand(task_id: int, *, now: dt.datetime) -> int:
    """Make the rows of a task, chunk after chunk, until its group is through; give the number made by this call."""
    if not start(task_id, now=now):
        return 0
    made = failures = 0
    while True:
        try:
            with transaction.atomic():
                count = _expand_chunk(task_id, now=now)
        except (DatabaseError, ids.NoNodeFree) as error:
            # Nothing was moved. What passes is waited for; after that the tidying job asks again within a minute.
            failures += 1
            log.warning("expansion_interrupted", task=task_id, error=str(error).strip())
            if failures > len(RETRY_SECONDS):
                raise
            connection.close_if_unusable_or_obsolete()
            time.sleep(RETRY_SECONDS[failures - 1])
            continue
        except TaskRefused as refused:
            _fail_now(task_id, str(refused), now)
            return made
        except Exception as error:
            log.exception("task_failed", task=task_id)
            _fail_now(task_id, f"{type(error).__name__}: {error}", now)
            return made
        if count is None:
            return made
        made, failures = made + count, 0
        heartbeat.at_work()


def _expand_chunk(task_id: int, *, now: dt.datetime) -> int | None:
    """One chunk; None when there is nothing left to do here (all done, stopped, or another expander is at it)."""
    task = (
        Task.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
        .select_related("api_user", "sender_address__domain", "version")
        .filter(pk=task_id)
        .first()
    )
    if task is None or task.expanded or task.status not in TASK_BEGUN:
        return None
    gone = task.group_id is None and task.again_of_id is None
    if task.sender_address is None or task.version_id is None or gone:
        raise TaskRefused(_("Its sender address, group or template was deleted."))
    if why := senders.restriction(task.sender_address.domain, task.api_user):
        raise TaskRefused(why)
    personal = bool(templating.variables(task.subject) or templating.variables(task.sender_name))
    rows = again.rows(task, limit=CHUNK) if task.again_of_id else _recipients(task)
    wanted: list[Wanted] = []
    subject = templating.fill_line(task.subject, task.defaults)
    name = templating.fill_line(task.sender_name, task.defaults)
    for _id, address, key, domain, variables in rows:
        if personal:
            values = merged(task.defaults, json.loads(variables))
            subject, name = templating.fill_line(task.subject, values), templating.fill_line(task.sender_name, values)
        wanted.append(Wanted(address, key, domain, subject, name, variables))
    request = Request(
        api_user=task.api_user,
        sender_domain=task.sender_address.domain,
        version_id=task.version_id,
        sender=task.sender,
        task_id=task.pk,
        label=task.label,
        request_ip=task.request_ip,
        control_percent=task.control_percent,
        turn=task.first_turn + task.requested,
        held_by=held_by_pause(task.pause_cause) if task.status == TaskStatus.PAUSED else "",
        window=task.window,
    )
    last = len(rows) < CHUNK
    if last:
        _lock_counts(task)
    made = make_messages(request, wanted, now=now)
    if made.unpaid and task.status == TaskStatus.SENDING:
        pause(task, cause=PauseCause.CREDITS)
    task.requested += len(rows)
    if rows:
        task.cursor = rows[-1][0]
    task.expanded = last
    task.save(update_fields=["requested", "cursor", "expanded"])
    if task.expanded:
        end_tasks([task.pk], now=now)
    return len(rows)


def _recipients(task: Task) -> list[tuple[int, str, str, str, str]]:
    """The next chunk of the task's group: (row, address, key, domain, variables as JSON text)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, address, key, domain, variables::text FROM delivery_recipient "
            "WHERE group_id = %s AND id > %s AND id <= %s ORDER BY id LIMIT %s",
            [task.group_id, task.cursor, task.cursor_end, CHUNK],
        )
        return list(cursor.fetchall())


def _lock_counts(task: Task) -> None:
    """Whoever settles the last row looks whether the task is expanded, and we whether rows are left: this lock lets
    one of the two see what the other did. In the order in which move_counts locks, and before it."""
    list(TaskCount.objects.select_for_update().filter(task=task).order_by("status"))


def _fail_now(task_id: int, why: str, now: dt.datetime) -> None:
    with transaction.atomic():
        task = Task.objects.select_for_update(of=("self",), no_key=True).get(pk=task_id)
        # One that was stopped meanwhile stays so; one that is paused fails when it goes on, for what a pause holds is
        # taken up by the end of the pause alone.
        if task.status == TaskStatus.SENDING:
            _fail(task, why, now)


def _fail(task: Task, why: str, now: dt.datetime) -> None:
    """No more rows are made. Those that were go their way, and the task ends with the last of them."""
    task.status, task.failure, task.expanded = TaskStatus.FAILED, why[:500], True
    task.save(update_fields=["status", "failure", "expanded"])
    _lock_counts(task)
    end_tasks([task.pk], now=now)


def pause(task: Task, *, cause: PauseCause, by: str = "") -> None:
    """Pause a task that waits or sends. The engine heeds it at its next claim, within a second or two."""
    with transaction.atomic():
        changed = Task.objects.filter(pk=task.pk, status__in=TASK_MAY_BE_PAUSED).update(
            status=TaskStatus.PAUSED, pause_cause=cause, acted_by=by
        )
        if not changed:
            raise TaskRefused(_("Only a task that waits or sends can be paused."))
        transaction.on_commit(lambda: async_task("delivery.jobs.hold_task", task.pk, cluster="jobs"))


def resume(task: Task, *, cause: PauseCause | None = None, release: bool = True) -> None:
    """End a pause: an operator (no cause) ends any, everything else only the one that it caused. Without `release`
    the caller takes up what was held."""
    with transaction.atomic():
        paused = Task.objects.filter(pk=task.pk, status=TaskStatus.PAUSED)
        if cause is not None:
            paused = paused.filter(pause_cause=cause)
        elif account_stopped() and paused.filter(pause_cause=PauseCause.ACCOUNT).exists():
            raise TaskRefused(_("All sending is stopped for the account. Resume sending there; this task follows."))
        # One that was paused before it began waits again; expanding starts it, or the clock does.
        changed = paused.filter(started_at=None).update(status=TaskStatus.WAITING, pause_cause="") or paused.update(
            status=TaskStatus.SENDING, pause_cause=""
        )
        if not changed:
            raise TaskRefused(_("This task is not paused."))
        if release:
            transaction.on_commit(lambda: async_task("delivery.jobs.release_task", task.pk, cluster="jobs"))
        transaction.on_commit(lambda: ask_for_expansion(task.pk))


def stop(task: Task, *, by: str = "", now: dt.datetime) -> None:
    """Stop a task for good: what was not tried is cancelled."""
    with transaction.atomic():
        found = Task.objects.select_for_update(of=("self",), no_key=True).get(pk=task.pk)
        if not found.may_be_stopped:
            raise TaskRefused(_("This task has ended already."))
        Task.objects.filter(pk=task.pk).update(
            status=TaskStatus.STOPPED, pause_cause="", acted_by=by, expanded=True, next_run_at=None
        )
        transaction.on_commit(lambda: async_task("delivery.jobs.cancel_task", task.pk, cluster="jobs"))


def account_stopped() -> bool:
    return Account.current().sending_stopped_at is not None


def counts_of(task_ids: list[int]) -> dict[int, dict[str, int]]:
    """Task id → status → count, for any number of tasks in one query."""
    found: dict[int, dict[str, int]] = {task_id: {} for task_id in task_ids}
    for task_id, status, count in TaskCount.objects.filter(task_id__in=task_ids).values_list(
        "task_id", "status", "count"
    ):
        if count:
            found[task_id][status] = count
    return found


def counts_of_runs(series_id: int) -> dict[str, int]:
    """Status → count over all runs of a series."""
    counts = TaskCount.objects.filter(task__parent=series_id, count__gt=0).order_by().values_list("status")
    return dict(counts.annotate(n=Sum("count")))


def end_if_over(task_id: int, *, now: dt.datetime) -> None:
    """End a task whose last rows were settled while it was paused."""
    with transaction.atomic():
        end_tasks([task_id], now=now)


def prune(*, now: dt.datetime) -> None:
    """django-q2 never deletes its failures; a month of them is enough to look at."""
    from django_q.models import Failure

    Failure.objects.filter(started__lt=now - dt.timedelta(days=30)).delete()
