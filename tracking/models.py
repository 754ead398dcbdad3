"""Events: what recipients, their programs and their servers did after a mail was delivered. And how we answer them."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex, OpClass
from django.db import models
from django.db.models.functions import Left
from django.utils.translation import gettext_lazy as _

from console import ids
from delivery.models import ReceivingDomain, SenderDomain
from delivery.models.message import loose

# So many characters of a link are looked up by an index.
LINK_INDEXED = 200


class Event(models.Model):
    """Partitioned by its own id, a month each. `message_id` has no constraint, as in delivery/models/message.py."""

    class Kind(models.TextChoices):
        OPEN = "open", _("Opened")
        CLICK = "click", _("Clicked")
        UNSUBSCRIBE = "unsubscribe", _("Unsubscribed")
        RESUBSCRIBE = "resubscribe", _("Unsubscription taken back")
        COMPLAINT = "complaint", _("Reported as spam")
        BOUNCE = "bounce", _("Bounce mail")
        DELAY = "delay", _("Delay warning")
        SUCCESS = "success", _("Success notice")
        REPLY = "reply", _("Automatic reply")

    partition_by = "id"
    kept_by = "KEEP_EVENTS_MONTHS"

    id = models.BigIntegerField(primary_key=True, default=ids.new_id, editable=False)
    message_id = models.BigIntegerField()
    # Of what recipients did, as the message has them: so that a page over events need not look into the messages.
    sender_domain = loose(SenderDomain, _("sender domain"), null=True)
    receiving_domain = loose(ReceivingDomain, _("receiving domain"), null=True)
    sent_at = models.DateTimeField(_("sent"), null=True)
    kind = models.TextField(choices=Kind)
    link = models.TextField(blank=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.TextField(blank=True)
    # The program that the user agent names, as people know it.
    client = models.TextField(blank=True, default="", db_default="")
    # Of opens and clicks: the rule by which it was a machine; empty: a person, as far as can be told.
    automatic = models.TextField(blank=True, default="", db_default="")
    detail: models.JSONField[Any, Any] = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["message_id", "id"], name="event_message"),
            # Counted by period. Opens and clicks are the most by far, and leave it alone.
            models.Index(
                fields=["kind", "id"], name="event_response", condition=models.Q(kind__in=["complaint", "unsubscribe"])
            ),
            # A link may be longer than an index takes.
            models.Index(
                OpClass(Left("link", LINK_INDEXED), "text_pattern_ops"),
                "id",
                name="event_link",
                condition=models.Q(kind="click"),
            ),
            models.Index(fields=["receiving_domain", "id"], name="event_receiver"),
            # Which few values each eight pages hold: as in delivery/models/message.py.
            BrinIndex(
                fields=["id", "sender_domain"],
                opclasses=["int8_minmax_ops", "int8_minmax_multi_ops(values_per_range=32)"],
                pages_per_range=8,
                name="event_senders",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"

    @property
    def at(self) -> dt.datetime:
        return ids.time_of(self.id)


class UnsubscribePage(models.Model):
    """What the account says on the page that recipients unsubscribe on: row 1. What is empty is said in our words, in
    the language that the browser asks for."""

    heading = models.CharField(_("heading"), max_length=100, blank=True)
    before = models.TextField(_("text on the page that asks"), max_length=1000, blank=True)
    after = models.TextField(_("text when it is done"), max_length=1000, blank=True)
    # Measured when it was uploaded (images.py). The digest stands in its URL, which is kept by browsers for ever.
    logo = models.BinaryField(null=True, editable=False)
    logo_type = models.CharField(max_length=10, blank=True, editable=False)
    logo_width = models.PositiveSmallIntegerField(default=0, editable=False)
    logo_height = models.PositiveSmallIntegerField(default=0, editable=False)
    logo_digest = models.CharField(max_length=32, blank=True, editable=False)
    changed_at = models.DateTimeField(_("changed"), null=True, editable=False)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        verbose_name = _("unsubscribe page")
        verbose_name_plural = _("unsubscribe page")

    def __str__(self) -> str:
        return str(_("Unsubscribe page"))

    @classmethod
    def current(cls) -> UnsubscribePage:
        """The row, without the picture's bytes; one that says nothing where none was saved."""
        return cls.objects.filter(pk=1).defer("logo").select_related("changed_by").first() or cls(pk=1)


class FeedbackMail(models.Model):
    """A mail that came back, as it was taken in, and what was done about it. Kept for settings.FEEDBACK_KEEP_DAYS."""

    class State(models.IntegerChoices):
        WAITING = 0, _("waiting")
        DONE = 1, _("done")
        # Tried often enough: nothing could be done with it.
        FAILED = 2, _("failed")

    id = models.BigIntegerField(primary_key=True, default=ids.new_id, editable=False)
    # Of where it went and what it is (feedback/store.py): a mail that comes a second time is known by it.
    digest = models.BinaryField(max_length=32, unique=True)
    received_at = models.DateTimeField(_("received"))
    envelope_to = models.TextField(_("to"), blank=True)
    # "" is the null sender of bounces; null: not known.
    envelope_from = models.TextField(_("from"), null=True)  # noqa: DJ001  (the two mean different things)
    client_ip = models.GenericIPAddressField(null=True)
    # The beginning; `size` is that of the whole mail.
    raw = models.BinaryField()
    size = models.PositiveIntegerField(_("size"))

    state = models.PositiveSmallIntegerField(_("state"), choices=State, default=State.WAITING)
    # How often somebody began to work on it, counted before they begin; and when the next may.
    tries = models.PositiveSmallIntegerField(default=0)
    due = models.DateTimeField()
    type = models.TextField(_("type"), blank=True)
    message_id = models.BigIntegerField(null=True)
    outcome = models.TextField(_("outcome"), blank=True)
    done_at = models.DateTimeField(null=True)
    # What the last who failed at it said; empty: nobody could say anything any more.
    error = models.TextField(_("error"), blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("returned mail")
        verbose_name_plural = _("returned mail")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["due", "id"], name="feedback_waiting", condition=models.Q(state=0)),
            # Few, among all that were filed.
            models.Index(fields=["id"], name="feedback_failed", condition=models.Q(state=2)),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.envelope_to}"
