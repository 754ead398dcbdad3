"""Sending again: a new task over the soft failures of one that has ended, with the mail as it was."""

from __future__ import annotations

from django.db import connection, transaction
from django.utils.translation import gettext as _

from delivery.models import Message, Status, Task, TaskCount
from delivery.models.status import TASK_UNDER_WAY
from delivery.services import senders
from suppression.address import parse


class CannotSendAgain(ValueError):
    """The text says why."""


def soft_failures(task: Task) -> int:
    """How many of the task's rows a new task could be made over."""
    counts = TaskCount.objects.filter(task=task, status=Status.SOFT_BOUNCE).values_list("count", flat=True)
    return sum(counts)


def obstacle(task: Task) -> str:
    """Why the task can't be sent again now, or ''."""
    if task.ended_at is None:
        return _("This task has not ended yet. Who fails softly until then can be sent to again afterwards.")
    if not soft_failures(task):
        return _("No mail of this task failed softly.")
    if task.sender_address is None or task.version_id is None:
        return _("Its sender address or its template was deleted. Create a new task instead.")
    if why := senders.obstacle(task.sender_address.domain, task.api_user):
        return why
    running = task.sent_again.filter(status__in=TASK_UNDER_WAY).first()
    if running is not None:
        return _("Task %s is sending to them again already.") % running.pk
    return ""


def send_again(task: Task, *, by: str = "", request_ip: str | None = None) -> Task:
    """Make the new task, with the same version, subject, sender and window. Who is suppressed by now is left out when
    its rows are made. Raises CannotSendAgain. Ask for its expansion when the transaction is through."""
    with transaction.atomic():
        # Locked, so that a second press finds the first one's task.
        old = (
            Task.objects.select_for_update(of=("self",), no_key=True)
            .select_related("sender_address__domain", "api_user")
            .get(pk=task.pk)
        )
        if why := obstacle(old):
            raise CannotSendAgain(why)
        return Task.objects.create(
            again_of=old,
            api_user_id=old.api_user_id,
            subject=old.subject,
            group_id=old.group_id,
            group_name=old.group_name,
            template_id=old.template_id,
            template_name=old.template_name,
            version_id=old.version_id,
            sender_address=old.sender_address,
            sender=old.sender,
            sender_name=old.sender_name,
            defaults=old.defaults,
            label=old.label,
            window_opens=old.window_opens,
            window_closes=old.window_closes,
            created_by=by,
            request_ip=request_ip,
        )


def last_row(task_id: int) -> int:
    """The newest soft failure of the task: whoever bounces later is not in the new one. 0: nobody."""
    failed = Message.objects.filter(task_id=task_id, status=Status.SOFT_BOUNCE)
    return failed.order_by("-id").values_list("pk", flat=True).first() or 0


def rows(task: Task, *, limit: int) -> list[tuple[int, str, str, str, str]]:
    """The next chunk of a task that sends again: (row, address, key, domain, variables as JSON text)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, recipient, variables::text FROM delivery_message "
            "WHERE task_id = %s AND id > %s AND id <= %s AND status = %s ORDER BY id LIMIT %s",
            [task.again_of_id, task.cursor, task.cursor_end, Status.SOFT_BOUNCE, limit],
        )
        found = []
        for row, recipient, variables in cursor.fetchall():
            address = parse(recipient)
            found.append((row, address.canonical, address.key, address.domain, variables))
        return found
