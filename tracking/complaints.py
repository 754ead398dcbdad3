"""Complaints: a recipient has reported one of our mails, by a feedback loop (RFC 5965) or on the unsubscribe page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from django.db import transaction
from django.db.models import F

from delivery.callbacks import outbox
from delivery.engine.retry import is_simulated
from delivery.models import DomainDay, Happening, Message
from delivery.services import quota
from delivery.services.deltas import Deltas, Of
from suppression import address
from suppression import services as suppression
from suppression.models import Entry, UnsubscribeReason
from tracking.models import Event
from tracking.visitors import MAX_USER_AGENT, Visitor

Source = Literal["report", "page"]


def complain(
    message: Message,
    *,
    now: dt.datetime,
    source: Source,
    detail: Mapping[str, Any],
    visitor: Visitor | None = None,
) -> bool:
    """Put the message's recipient on the complaint list and write the complaint down. True when it was a new one.

    One short transaction, which may be repeated: a message is reported once by each source, and counts once for its
    sender domain's day. `detail` is kept with the event, within bounds of the caller's: of a report its
    `feedback_type`, of the page the `reason` given, and what else is known.
    """
    visitor = visitor or Visitor()
    # Begun outside: the day is made in a transaction of its own, before we hold the message.
    today = quota.local_day(now)
    counts = not is_simulated(address.receiving_domain(message.recipient))
    if counts:
        quota.open_day(message.sender_domain_id, today)
    with transaction.atomic():
        # Of two at once the second waits here, and then sees the first one's event: it asks in a later statement.
        if not Message.objects.select_for_update(no_key=True).filter(pk=message.pk).values_list("pk").first():
            return False
        before = _before(message)
        if source in _standing(before):
            return False
        suppression.complain(
            address.key_of(message.recipient),
            now=now,
            reason=_words(source, detail),
            message_id=message.pk,
            api_user_id=message.api_user_id,
        )
        Event.objects.create(
            message_id=message.pk,
            sender_domain_id=message.sender_domain_id,
            receiving_domain_id=message.receiving_domain_id,
            kind=Event.Kind.COMPLAINT,
            ip=visitor.ip,
            user_agent=visitor.user_agent[:MAX_USER_AGENT],
            detail={**detail, "source": source},
        )
        first = not any(kind == Event.Kind.COMPLAINT for kind, _source in before)
        if first:
            changed = Deltas()
            changed.add(Of.message(message), complaints=1)
            changed.write()
            outbox.tell([outbox.Happened(message.pk, Happening.SPAMREPORT, now)])
        if first and counts:
            DomainDay.objects.filter(domain_id=message.sender_domain_id, day=today).update(
                complaints=F("complaints") + 1
            )
    return True


def withdraw(message: Message) -> None:
    """Take back what was reported on the message's unsubscribe page. Within the caller's transaction, which holds the
    message. A feedback loop's report stands, and so does what other mail of ours was reported for."""
    if "report" in _standing(_before(message)):
        return
    Entry.objects.filter(
        list=Entry.List.SPAM_REPORT, key=address.key_of(message.recipient), message_id=message.pk, hits=1
    ).delete()


def _before(message: Message) -> list[tuple[str, str | None]]:
    """The message's complaints, and when they were taken back, in order: (kind, source)."""
    kinds = [Event.Kind.COMPLAINT, Event.Kind.RESUBSCRIBE]
    found = Event.objects.filter(message_id=message.pk, kind__in=kinds).order_by("id")
    return list(found.values_list("kind", "detail__source"))


def _standing(before: Iterable[tuple[str, str | None]]) -> set[str | None]:
    """The sources whose complaint has not been taken back."""
    standing: set[str | None] = set()
    for kind, source in before:
        if kind == Event.Kind.RESUBSCRIBE:
            standing.discard("page")
        else:
            standing.add(source)
    return standing


def _words(source: Source, detail: Mapping[str, Any]) -> str:
    """What stands in the list as the reason: of the page the answer that was given, of a report its type."""
    given = str(detail.get("reason") or "")
    if source == "page":
        return str(UnsubscribeReason(given).label) if given in UnsubscribeReason.values else ""
    return str(detail.get("feedback_type") or "")
