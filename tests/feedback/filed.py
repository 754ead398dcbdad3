"""Mails that have come back: put down as the listener does, and worked off as the jobs do."""

from __future__ import annotations

from django.utils import timezone

from delivery.models import Message
from tracking.feedback import process, store
from tracking.feedback.store import Mail
from tracking.models import Event, FeedbackMail


def came(mail: bytes, to: str, sender: str | None = "") -> FeedbackMail:
    """The row of a mail that has come, waiting."""
    store.keep([Mail(mail, len(mail), to, sender, "192.0.2.9")], now=timezone.now())
    return FeedbackMail.objects.order_by("-pk")[0]


def processed(mail: bytes, to: str, sender: str | None = "") -> FeedbackMail:
    row = came(mail, to, sender)
    process.process()
    row.refresh_from_db()
    return row


def fate(of: Message) -> tuple[str, str, str]:
    of.refresh_from_db()
    return of.status, of.reason, of.last_reply


def events(of: Message) -> list[str]:
    return list(Event.objects.filter(message_id=of.pk).order_by("pk").values_list("kind", flat=True))
