"""Messages, one row per recipient for ever, and the attempts to deliver them.

Both are partitioned by the message's id, a month each (console/partitions.py). Foreign keys into and out of them
have no database constraint: the rows outlive what they point at, and a check per row would halve the request rate.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.contrib.postgres.indexes import BrinIndex, OpClass
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from console import ids
from console.models import ApiUser
from delivery.models.domain import SenderDomain
from delivery.models.queue import ReceivingDomain
from delivery.models.status import HeldBy, Reason, Status
from delivery.models.task import Task
from delivery.models.template import TemplateVersion


def loose(to: type[models.Model], name: Any, *, null: bool = False) -> Any:
    """A key into or out of a partitioned table: no constraint, no index."""
    return models.ForeignKey(
        to,
        null=null,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=name,
    )


class Message(models.Model):
    partition_by = "id"
    kept_by = "KEEP_MESSAGES_MONTHS"

    id = models.BigIntegerField(primary_key=True, default=ids.new_id, editable=False)
    api_user = loose(ApiUser, _("API user"))
    task = loose(Task, _("task"), null=True)
    version = loose(TemplateVersion, _("template"))
    sender_domain = loose(SenderDomain, _("sender domain"))
    receiving_domain = loose(ReceivingDomain, _("receiving domain"))
    recipient = models.TextField(_("recipient"))
    sender = models.TextField(_("sender"))
    sender_name = models.TextField(blank=True)
    subject = models.TextField(_("subject"))
    label = models.TextField(_("label"), blank=True)
    # The whole To field of a regular mail, addresses joined with ", "; empty: the recipient alone.
    to_field = models.TextField(blank=True)
    # What the recipient's own row brought; the task's defaults stand behind it.
    variables: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)

    status = models.TextField(_("status"), choices=Status)
    reason = models.TextField(_("reason"), choices=Reason, blank=True)
    held_by = models.TextField(choices=HeldBy, blank=True)
    attempts = models.SmallIntegerField(_("attempts"), default=0)
    # The remote server's own words at the last attempt, or why it was not tried.
    last_reply = models.TextField(_("last reply"), blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True)
    # By a person, as far as can be told; a machine that loaded it has a time of its own.
    opened_at = models.DateTimeField(_("opened"), null=True)
    opened_by_machine_at = models.DateTimeField(_("opened by a machine"), null=True)
    clicked_at = models.DateTimeField(_("clicked"), null=True)
    request_ip = models.GenericIPAddressField(_("request IP"), null=True)
    send_ip = models.GenericIPAddressField(_("send IP"), null=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering: ClassVar = ["-id"]
        # Few, for each costs every request. Columns that change when mail is delivered are not among them, so that
        # settling updates in place: the reason changes only when it is not, and a summary of pages (BRIN) is in the way
        # of none (from PostgreSQL 16 on). Other filters walk the window by id.
        indexes: ClassVar = [
            models.Index(OpClass(Lower("recipient"), "text_pattern_ops"), "id", name="message_recipient"),
            models.Index(fields=["task", "id"], name="message_task", condition=models.Q(task__isnull=False)),
            models.Index(fields=["receiving_domain", "id"], name="message_receiver"),
            # Asked without a period, too: opens and clicks are found by the messages of an API user.
            models.Index(fields=["api_user", "id"], name="message_user"),
            models.Index(fields=["label", "id"], name="message_label", condition=~models.Q(label="")),
            models.Index(fields=["version", "id"], name="message_version"),
            models.Index(fields=["reason", "id"], name="message_reason", condition=~models.Q(reason="")),
            # Which few values each four pages hold: what is rare in a window, or not there, needs no walk through it.
            BrinIndex(
                fields=["id", "status", "api_user", "sender_domain", "sender"],
                opclasses=[
                    "int8_minmax_ops",
                    "text_bloom_ops(n_distinct_per_range=16)",
                    "int8_minmax_multi_ops(values_per_range=32)",
                    "int8_minmax_multi_ops(values_per_range=32)",
                    "text_bloom_ops(n_distinct_per_range=32)",
                ],
                pages_per_range=4,
                name="message_pages",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.recipient}"

    @property
    def requested_at(self) -> dt.datetime:
        return ids.time_of(self.id)


class Attempt(models.Model):
    """One try to deliver one message: the send log."""

    partition_by = "message"
    kept_by = "KEEP_MESSAGES_MONTHS"

    pk = models.CompositePrimaryKey("message_id", "number")
    message = loose(Message, _("message"))
    number = models.SmallIntegerField()
    at = models.DateTimeField(_("time"))
    seconds = models.FloatField(_("seconds"))
    outcome = models.TextField()
    reason = models.TextField(choices=Reason, blank=True)
    rule = models.TextField(blank=True)
    phase = models.TextField(blank=True)
    code = models.SmallIntegerField(default=0)
    enhanced = models.TextField(blank=True)
    reply = models.TextField(blank=True)
    mx_host = models.TextField(blank=True)
    remote_ip = models.GenericIPAddressField(null=True)
    send_ip = models.GenericIPAddressField(null=True)
    tls = models.TextField(blank=True)
    # Of the server: "mx.example.org, issued by Example CA, until 2027-01-31, checked".
    certificate = models.TextField(blank=True, default="")
    # [[phase, reply], …] in the order of the SMTP session.
    conversation: models.JSONField[list[Any], list[Any]] = models.JSONField(default=list)
    next_at = models.DateTimeField(_("next attempt"), null=True)

    class Meta:
        verbose_name = _("attempt")
        ordering: ClassVar = ["message_id", "number"]

    def __str__(self) -> str:
        return f"{self.message_id} #{self.number}"
