"""Callback addresses: where other systems hear what became of mail, and what each was or is to be told."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from console import ids
from delivery.models.address import SenderAddress


class Happening(models.TextChoices):
    """The events that are told, by the names that receivers already parse."""

    DELIVERED = "delivered", _("Delivered")
    DROPPED = "dropped", _("Dropped")
    BOUNCE = "bounce", _("Bounce")
    DEFERRED = "deferred", _("Deferred")
    OPEN = "open", _("Opened")
    CLICK = "click", _("Clicked")
    SPAMREPORT = "spamreport", _("Spam report")
    UNSUBSCRIBE = "unsubscribe", _("Unsubscribed")


def every_happening() -> list[str]:
    return list(Happening.values)


class Callback(models.Model):
    """One address that is told: the account's, or that of one sender address, which then wins."""

    address = models.OneToOneField(
        SenderAddress,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="callback",
        verbose_name=_("sender address"),
    )
    url = models.CharField(_("URL"), max_length=1000)
    happenings: models.JSONField[list[str], list[str]] = models.JSONField(_("events"), default=every_happening)
    # Encrypted (services/dkim_keys.py). After a rotation the old one signs as well until `old_secret_until`.
    secret = models.BinaryField(editable=False)
    old_secret = models.BinaryField(editable=False, default=b"")
    old_secret_until = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    # Since when nothing has been taken; an hour of that suspends it: one event is tried now and then until one is.
    failing_since = models.DateTimeField(null=True, editable=False)
    suspended_at = models.DateTimeField(null=True, editable=False)
    # Nothing is tried before, after failures in a row.
    rest_until = models.DateTimeField(null=True, editable=False)
    last_problem = models.CharField(max_length=300, blank=True, editable=False)
    # One sender at a time, so that events of one message go in their order.
    leased_until = models.DateTimeField(null=True, editable=False)
    lease = models.BigIntegerField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("callback address")
        verbose_name_plural = _("callback addresses")
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(address=None), name="one_callback_for_the_account"
            )
        ]

    def __str__(self) -> str:
        return self.url


class CallbackEvent(models.Model):
    """Something that is told, written in the transaction in which it happened. It is kept for some days."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        TAKEN = "taken", _("Taken")
        GIVEN_UP = "given_up", _("Given up")

    id = models.BigIntegerField(primary_key=True, default=ids.new_id, editable=False)
    callback = models.ForeignKey(Callback, on_delete=models.CASCADE, related_name="events")
    # Null: a test event.
    message_id = models.BigIntegerField(null=True)
    kind = models.TextField(_("event"), choices=Happening)
    at = models.DateTimeField(_("time"))
    # What is known of it beyond the message: reason, link, user agent.
    detail: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)
    state = models.TextField(_("status"), choices=State, default=State.WAITING, db_default=State.WAITING)
    due = models.DateTimeField(_("next attempt"), null=True)
    attempts = models.SmallIntegerField(_("attempts"), default=0, db_default=0)
    # What was sent and answered at the last attempt.
    request = models.TextField(blank=True, default="", db_default="")
    status_code = models.SmallIntegerField(_("answer"), null=True)
    answer = models.TextField(blank=True, default="", db_default="")
    problem = models.TextField(blank=True, default="", db_default="")
    seconds = models.FloatField(null=True)
    tried_at = models.DateTimeField(_("last attempt"), null=True)

    class Meta:
        verbose_name = _("callback event")
        verbose_name_plural = _("callback events")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["callback", "due", "id"], name="callback_due", condition=models.Q(state="waiting")),
            models.Index(
                fields=["callback", "message_id", "id"], name="callback_order", condition=models.Q(state="waiting")
            ),
            models.Index(fields=["callback", "id"], name="callback_events"),
            # What a list of them is asked for and few are. Deliveries are the most by far, and leave these alone.
            models.Index(fields=["id"], name="callback_given_up", condition=models.Q(state="given_up")),
            models.Index(fields=["kind", "id"], name="callback_kind", condition=~models.Q(kind="delivered")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"
