"""Batch tasks: one template to one group, and the counts of what became of each recipient."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from console.models import ApiUser
from delivery.models.address import SenderAddress
from delivery.models.group import RecipientGroup
from delivery.models.status import TASK_UNDER_WAY, PauseCause, Status, TaskStatus
from delivery.models.template import Template, TemplateVersion
from delivery.schedule import SendWindow


class Task(models.Model):
    """A sending task. Who is in it, and with which template version, is fixed when it starts."""

    class Type(models.TextChoices):
        BATCH = "batch", _("Batch")
        SCHEDULED = "scheduled", _("Scheduled")
        RECURRING = "recurring", _("Recurring")

    type = models.CharField(_("type"), max_length=9, choices=Type, default=Type.BATCH)
    api_user = models.ForeignKey(ApiUser, on_delete=models.PROTECT, related_name="+")
    subject = models.CharField(_("subject"), max_length=500)
    # Set null when the thing is deleted: what a task was stays readable by the names beside.
    group = models.ForeignKey(
        RecipientGroup, null=True, on_delete=models.SET_NULL, related_name="tasks", verbose_name=_("recipient group")
    )
    group_name = models.CharField(max_length=100)
    template = models.ForeignKey(
        Template, null=True, on_delete=models.SET_NULL, related_name="tasks", verbose_name=_("template")
    )
    template_name = models.CharField(max_length=100)
    version = models.ForeignKey(TemplateVersion, null=True, on_delete=models.SET_NULL, related_name="+")
    sender_address = models.ForeignKey(
        SenderAddress, null=True, on_delete=models.SET_NULL, related_name="tasks", verbose_name=_("from")
    )
    sender = models.CharField(_("sender"), max_length=320)
    sender_name = models.CharField(_("sender name"), max_length=100, blank=True)
    defaults: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(
        _("default variables"), default=dict, blank=True
    )
    label = models.CharField(_("label"), max_length=64, blank=True)
    control_percent = models.PositiveSmallIntegerField(
        _("control group"), default=0, validators=[MaxValueValidator(50)]
    )

    # The wall clock of the first run, and of every later one; in the account's zone of the day.
    starts_on = models.DateField(_("first day"), null=True)
    start_time = models.TimeField(_("start time"), null=True)
    every_days = models.PositiveSmallIntegerField(_("every so many days"), null=True)
    until = models.DateField(_("last day"), null=True)
    # When this waiting task begins or, for a series, its next run. Null: nothing waits for the clock (any more).
    next_run_at = models.DateTimeField(_("next run"), null=True)
    # The zone by whose clock that was worked out.
    planned_in = models.CharField(max_length=64, blank=True, default="", db_default="")
    # A series is a recurring task without a parent: it has no mail of its own, but a child for each run.
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="runs")
    # Which run of the series this is; the moment for which it was planned.
    planned_at = models.DateTimeField(null=True)
    # Its recipients are the soft failures of that task.
    again_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="sent_again")
    window_opens = models.TimeField(null=True)
    window_closes = models.TimeField(null=True)
    # What was done last: its waiting mail was held because the window closed.
    window_shut = models.BooleanField(default=False)

    status = models.CharField(_("status"), max_length=8, choices=TaskStatus, default=TaskStatus.WAITING)
    pause_cause = models.CharField(max_length=8, choices=PauseCause, blank=True)
    failure = models.CharField(max_length=500, blank=True)
    acted_by = models.CharField(max_length=150, blank=True, help_text="who paused or stopped it")

    # Expansion: recipients with cursor < id <= cursor_end are still to come. Moved in the chunk's own transaction.
    cursor = models.BigIntegerField(default=0)
    cursor_end = models.BigIntegerField(null=True)
    expanded = models.BooleanField(default=False)
    requested = models.PositiveIntegerField(_("requests"), default=0)
    # Start-time fair queueing: where this task's rows begin among those that wait (models/queue.py, Waiting.turn).
    first_turn = models.BigIntegerField(default=0)

    created_by = models.CharField(_("created by"), max_length=150, blank=True)
    # Whence it was asked for; null: by a command.
    request_ip = models.GenericIPAddressField(_("request IP"), null=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("batch task")
        verbose_name_plural = _("batch tasks")
        ordering: ClassVar = ["-id"]
        permissions: ClassVar = [("send", _("Can send mail"))]
        indexes: ClassVar = [
            models.Index(
                fields=["id"], name="task_under_way", condition=models.Q(status__in=["waiting", "sending", "paused"])
            ),
            models.Index(
                fields=["next_run_at"], name="task_by_next_run", condition=models.Q(next_run_at__isnull=False)
            ),
        ]
        constraints: ClassVar = [models.UniqueConstraint(fields=["parent", "planned_at"], name="one_child_a_run")]

    def __str__(self) -> str:
        return self.subject

    @property
    def may_be_stopped(self) -> bool:
        """Under way; or failed, while the mail that was made before is."""
        return self.status in TASK_UNDER_WAY or (self.status == TaskStatus.FAILED and self.ended_at is None)

    @property
    def is_series(self) -> bool:
        return self.type == self.Type.RECURRING and self.parent_id is None

    @property
    def window(self) -> SendWindow | None:
        if self.window_opens is None or self.window_closes is None:
            return None
        return SendWindow(self.window_opens, self.window_closes)


class TaskCount(models.Model):
    """How many rows of a task are in a status: moved by whatever moves the rows, in the same transaction."""

    pk = models.CompositePrimaryKey("task_id", "status")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="counts", db_index=False)
    status = models.CharField(max_length=13, choices=Status)
    count = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.status} {self.count}"
