"""Pausing tasks whose mail is over a daily cap, and taking them up again by themselves once it may go.

A job looks every minute: which day it is, and what is left of it, stand in the database, so a restart changes nothing.
Only as much as may go is taken up; the rest of a large task stays held, untouched.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence

from django.db import connection
from django.db.models import Exists, OuterRef

from console.models import Account, ApiUser
from delivery.engine.claim import Claimed
from delivery.models import HeldBy, PauseCause, SenderDomain, Status, Task, TaskStatus, Waiting
from delivery.models.status import TASK_BEGUN, TASK_MAIL_GOES
from delivery.services import holding, quota, tasks
from delivery.services.tasks import TaskRefused

DAILY = (HeldBy.QUOTA, HeldBy.DOMAIN_BLOCKED)
CAUSES = {HeldBy.QUOTA: PauseCause.QUOTA, HeldBy.DOMAIN_BLOCKED: PauseCause.DOMAIN}
# Taken up beyond what may go: the engine meets the cap with it and pauses the task again at once.
MARGIN = 300


def over_quota(batch: Sequence[Claimed], *, now: dt.datetime, account: Account | None = None) -> dict[int, str]:
    """What the engine asks of mail in hand: counts it for today, and gives what must be held, with why. The tasks of
    the latter are paused."""
    over = quota.reserve(batch, now=now, account=account)
    causes = {one.task_id: CAUSES[HeldBy(over[one.message_id])] for one in batch if one.message_id in over}
    for task in Task.objects.filter(pk__in=[task_id for task_id in causes if task_id]):
        _pause(task, causes[task.pk])
    return over


def _pause(task: Task, cause: PauseCause) -> None:
    # It may have been paused or ended meanwhile.
    with contextlib.suppress(TaskRefused):
        tasks.pause(task, cause=cause)


def go_on(*, now: dt.datetime) -> int:
    """Begin the day where it has changed, and take up what may go; gives the number of rows taken up."""
    quota.open_days(now=now)
    if Account.current().sending_stopped_at is not None:
        return 0
    return _enabled_again() + _without_credits(now) + _paused_tasks(now) + _tasks_held_in_part(now) + _regular(now)


def _paused_tasks(now: dt.datetime) -> int:
    moved = 0
    for task in Task.objects.filter(status=TaskStatus.PAUSED, pause_cause__in=CAUSES.values()).select_related(
        "api_user"
    ):
        left, _why = _left(task, now)
        if not left:
            continue
        try:
            tasks.resume(task, cause=PauseCause(task.pause_cause), release=False)
        except TaskRefused:
            continue
        moved += holding.release_task(task.pk, most=left + MARGIN)
        tasks.end_if_over(task.pk, now=now)
    return moved


def _tasks_held_in_part(now: dt.datetime) -> int:
    """Tasks that go on: more may go than was taken up, or the day was used up without anything being over."""
    moved = 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.id, coalesce(s.count, 0) FROM delivery_task t
            LEFT JOIN delivery_taskcount s ON s.task_id = t.id AND s.status = 'sending'
            WHERE (t.status = ANY(%s) OR t.status = %s AND t.pause_cause = %s) AND t.ended_at IS NULL
                AND EXISTS (SELECT FROM delivery_waiting w
                WHERE w.task_id = t.id AND w.state = 2 AND w.held_by = ANY(%s))
            """,
            # What has a credit goes its way while others want one.
            [list(TASK_MAIL_GOES), TaskStatus.PAUSED, PauseCause.CREDITS, list(DAILY)],
        )
        under_way = dict(cursor.fetchall())
    for task in Task.objects.filter(pk__in=under_way).select_related("api_user"):
        left, why = _left(task, now)
        if not left and why in CAUSES:
            _pause(task, CAUSES[HeldBy(why)])
        elif left and under_way[task.pk] < MARGIN:
            moved += holding.release_task(task.pk, most=left + MARGIN)
    return moved


def _regular(now: dt.datetime) -> int:
    """Mail of no task."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT m.sender_domain_id, m.api_user_id
            FROM delivery_waiting w JOIN delivery_message m ON m.id = w.message_id
            WHERE w.state = 2 AND w.held_by = ANY(%s) AND w.task_id IS NULL AND m.status = %s GROUP BY 1, 2
            """,
            [list(DAILY), Status.HELD],
        )
        pairs = cursor.fetchall()
    users = ApiUser.objects.in_bulk({user_id for _domain, user_id in pairs})
    moved = 0
    for domain_id, user_id in pairs:
        user = users.get(user_id)
        left, _why = quota.left_today(domain_id, user, now=now) if user else (0, "")
        if left:
            moved += holding.release_regular(domain_id, user_id, DAILY, most=left)
    return moved


def _without_credits(now: dt.datetime) -> int:
    moved = 0
    if Waiting.objects.filter(state=Waiting.State.HELD, held_by=HeldBy.CREDITS).exists():
        moved = holding.release_for_credits(now=now)
    wanting = Waiting.objects.filter(task_id=OuterRef("pk"), state=Waiting.State.HELD, held_by=HeldBy.CREDITS)
    under_way = Task.objects.filter(status__in=TASK_BEGUN).annotate(wants=Exists(wanting))
    for task in under_way.filter(wants=False, pause_cause=PauseCause.CREDITS):
        # Rows that are still to be made find out for themselves.
        with contextlib.suppress(TaskRefused):
            tasks.resume(task, cause=PauseCause.CREDITS, release=False)
            tasks.end_if_over(task.pk, now=now)
    for task in under_way.filter(wants=True, status=TaskStatus.SENDING):
        _pause(task, PauseCause.CREDITS)
    return moved


def _enabled_again() -> int:
    """Mail of API users that are enabled again, however that came about."""
    if not Waiting.objects.filter(state=Waiting.State.HELD, held_by=HeldBy.API_USER).exists():
        return 0
    return holding.release_all(
        HeldBy.API_USER,
        "state = 2 AND EXISTS (SELECT FROM delivery_queue q JOIN console_apiuser u ON u.id = q.api_user_id "
        "WHERE q.id = queue_id AND u.enabled)",
    )


def _left(task: Task, now: dt.datetime) -> tuple[int, str]:
    domain = SenderDomain.objects.filter(name=task.sender.rpartition("@")[2], verified_at__isnull=False).first()
    return quota.left_today(domain.pk, task.api_user, now=now) if domain else (0, "")
