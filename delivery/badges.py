"""What became of a message or a task, as a person sees it: the one table from status to tone, icon and word."""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Badge
from console.templatetags.posthorn import clock
from delivery.models import HeldBy, Message, PauseCause, Reason, Standing, Status, Task, TaskStatus

MESSAGE: dict[str, Badge] = {
    Status.HELD: Badge("calm", "clock-pause", Status.HELD.label),
    Status.SENDING: Badge("busy", "circle-dashed", Status.SENDING.label),
    Status.SENT: Badge("calm", "arrow-right", Status.SENT.label),
    Status.DELIVERED: Badge("ok", "check", Status.DELIVERED.label),
    Status.SOFT_BOUNCE: Badge("warn", "arrow-back-up", Status.SOFT_BOUNCE.label),
    Status.INVALID: Badge("bad", "x", Status.INVALID.label),
    Status.CONTROL_GROUP: Badge("calm", "circle-dashed", Status.CONTROL_GROUP.label),
    Status.CANCELLED: Badge("calm", "player-stop", Status.CANCELLED.label),
}
QUEUE: dict[str, Badge] = {
    Standing.Status.PAUSED: Badge("warn", "player-pause", Standing.Status.PAUSED.label),
    Standing.Status.RUNNING: Badge("ok", "player-play", Standing.Status.RUNNING.label),
    Standing.Status.IDLE: Badge("calm", "minus", Standing.Status.IDLE.label),
    # For more than two days.
    "too_long": Badge("bad", "player-pause", Standing.Status.PAUSED.label),
}
# Not a status of its own: `sending` after an attempt was put off.
DEFERRED = Badge("busy", "clock", gettext_lazy("Deferred"))

TASK: dict[str, Badge] = {
    TaskStatus.WAITING: Badge("calm", "clock", TaskStatus.WAITING.label),
    TaskStatus.SENDING: Badge("busy", "circle-dashed", TaskStatus.SENDING.label),
    TaskStatus.PAUSED: Badge("warn", "player-pause", TaskStatus.PAUSED.label),
    TaskStatus.DONE: Badge("ok", "check", TaskStatus.DONE.label),
    TaskStatus.STOPPED: Badge("calm", "player-stop", TaskStatus.STOPPED.label),
    TaskStatus.FAILED: Badge("bad", "x", TaskStatus.FAILED.label),
}


def message_badge(message: Message, due: dt.datetime | None = None) -> Badge:
    """The status of a message. `due`: when it is tried again, if it waits (Waiting.due)."""
    badge = MESSAGE[message.status]
    if message.status == Status.SENDING and message.attempts:
        return DEFERRED.but(_("until %s") % clock(due)) if due else DEFERRED
    if message.status == Status.HELD and message.held_by:
        return badge.but(HeldBy(message.held_by).label, title=_("Held: %s") % HeldBy(message.held_by).label)
    if message.reason:
        return badge.but(Reason(message.reason).label)
    return badge


def task_badge(task: Task) -> Badge:
    badge = TASK[task.status]
    if task.status == TaskStatus.PAUSED and task.pause_cause:
        return badge.but(title=PauseCause(task.pause_cause).label)
    if task.status == TaskStatus.FAILED:
        return badge.but(title=task.failure)
    return badge
