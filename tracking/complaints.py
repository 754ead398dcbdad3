"""Complaints: a recipient has reported one of our mails, by a feedback loop (RFC 5965) or on the unsubscribe page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

from django.db import connection, transaction
from django.db.models import F

from delivery.callbacks import outbox
from delivery.engine.retry import is_simulated
from delivery.models import DomainDay, Happening, Message
from delivery.services import quota
from delivery.services.deltas import Deltas, Of
from suppression import address
from suppression.models import Entry
from tracking.models import Event
from tracking.services import MAX_USER_AGENT, Visitor

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
    sender domain's day. `detail` is kept with the event: what the report says, within bounds of the caller's.
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
        before = set(
            Event.objects.filter(message_id=message.pk, kind=Event.Kind.COMPLAINT).values_list(
                "detail__source", flat=True
            )
        )
        if source in before:
            return False
        _list(address.key_of(message.recipient), message_id=message.pk, now=now)
        Event.objects.create(
            message_id=message.pk,
            kind=Event.Kind.COMPLAINT,
            ip=visitor.ip,
            user_agent=visitor.user_agent[:MAX_USER_AGENT],
            detail={**detail, "source": source},
        )
        if not before:
            changed = Deltas()
            changed.add(Of.message(message), complaints=1)
            changed.write()
            outbox.tell([outbox.Happened(message.pk, Happening.SPAMREPORT, now)])
        if counts and not before:
            DomainDay.objects.filter(domain_id=message.sender_domain_id, day=today).update(
                complaints=F("complaints") + 1
            )
    return True


def _list(key: str, *, message_id: int, now: dt.datetime) -> None:
    """For 180 days after the latest report, for every API user."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO suppression_entry (list, key, created_at, latest_at, expires_at, reason, hits, message_id)
            VALUES (%(list)s, %(key)s, %(now)s, %(now)s, %(now)s + interval '180 days', '', 1, %(message)s)
            ON CONFLICT (key, list, api_user_id) DO UPDATE SET
                latest_at = greatest(suppression_entry.latest_at, excluded.latest_at),
                expires_at = greatest(suppression_entry.expires_at, excluded.expires_at),
                hits = suppression_entry.hits + 1, message_id = excluded.message_id
            """,
            {"list": Entry.List.SPAM_REPORT, "key": key, "now": now, "message": message_id},
        )
