"""Unsubscribing by the link of a mail, and taking it back. Each is one short transaction, which may be repeated."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from django.db import transaction
from django.db.models import Exists, OuterRef

from console.models import ApiUser
from delivery.callbacks import outbox
from delivery.models import Happening, Message
from delivery.services.deltas import Deltas, Of
from suppression import address
from suppression import services as suppression
from suppression.models import Entry, UnsubscribeReason
from tracking import complaints
from tracking.models import Event
from tracking.visitors import MAX_USER_AGENT, Visitor

# How it was asked for: with the page's button, by the mail program's own (RFC 8058), or by a mail to us (RFC 2369).
How = Literal["page", "one_click", "mail"]
# Who gives one of these reports the mail as well.
REPORTS = frozenset({UnsubscribeReason.SPAM, UnsubscribeReason.FRAUD})


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The message whose link was used. `changed` is False when it had been used before and still holds."""

    message: Message
    changed: bool


def unsubscribe(
    message_id: int, visitor: Visitor, *, now: dt.datetime, how: How = "page", reason: str = ""
) -> Unsubscribed | None:
    """Put the message's recipient on the unsubscriptions of the API user that sent it. None: no such message.

    `reason` is an UnsubscribeReason or empty; "this is spam" and "fraud" file a complaint too. Asked again for the same
    message, nothing changes, unless an operator or its owner has taken the address off in the meantime.
    """
    done = _unsubscribe(message_id, visitor, now=now, how=how, reason=reason)
    if done and reason in REPORTS:
        # A transaction of its own, asked for each time: killed in between, whoever presses again is heard in full.
        complaints.complain(done.message, now=now, source="page", detail={"reason": reason}, visitor=visitor)
    return done


def _unsubscribe(message_id: int, visitor: Visitor, *, now: dt.datetime, how: How, reason: str) -> Unsubscribed | None:
    with transaction.atomic():
        message = _locked(message_id)
        if message is None:
            return None
        used = Event.objects.filter(message_id=message_id, kind=Event.Kind.UNSUBSCRIBE).exists()
        if used and (not message.sends or is_unsubscribed(message)):
            return Unsubscribed(message, changed=False)
        if message.sends:
            suppression.unsubscribe(
                address.key_of(message.recipient),
                api_user_id=message.api_user_id,
                now=now,
                reason=reason,
                message_id=message.pk,
            )
        _write(message, Event.Kind.UNSUBSCRIBE, visitor, {"how": how, "reason": reason})
        if not used:
            changed = Deltas()
            changed.add(Of.message(message), unsubscriptions=1)
            changed.write()
            told = {"user_agent": visitor.user_agent[:MAX_USER_AGENT]}
            outbox.tell([outbox.Happened(message.pk, Happening.UNSUBSCRIBE, now, told)])
    return Unsubscribed(message, changed=True)


def take_back(message_id: int, visitor: Visitor, *, now: dt.datetime) -> Unsubscribed | None:
    """Undo what the message's link did, and what was reported with it. None: no such message.

    `changed` is False when the link was not used, or its use is undone already: an address that came to the list in
    another way stays on it.
    """
    with transaction.atomic():
        message = _locked(message_id)
        if message is None:
            return None
        if not may_take_back(message):
            return Unsubscribed(message, changed=False)
        suppression.take_back_unsubscription(address.key_of(message.recipient), api_user_id=message.api_user_id)
        complaints.withdraw(message)
        _write(message, Event.Kind.RESUBSCRIBE, visitor, {})
    return Unsubscribed(message, changed=True)


def may_take_back(message: Message) -> bool:
    """Whether it was this message's link that unsubscribed its recipient, and it still holds."""
    last = (
        Event.objects.filter(message_id=message.pk, kind__in=[Event.Kind.UNSUBSCRIBE, Event.Kind.RESUBSCRIBE])
        .order_by("-id")
        .values_list("kind", flat=True)
        .first()
    )
    return last == Event.Kind.UNSUBSCRIBE and is_unsubscribed(message)


def is_unsubscribed(message: Message) -> bool:
    """Whether the message's recipient is on the unsubscriptions of the API user that sent it."""
    return Entry.objects.filter(
        key=address.key_of(message.recipient), list=Entry.List.UNSUBSCRIPTION, api_user_id=message.api_user_id
    ).exists()


def is_stopped(message: Message, *, now: dt.datetime) -> bool:
    """Whether anything keeps mail of the message's API user from its recipient."""
    key = address.key_of(message.recipient)
    return bool(suppression.stopped([key], api_user_id=message.api_user_id, now=now))


def _locked(message_id: int) -> Any:
    """The message with `sends`: whether its API user is still there; a deleted one sends nothing that could be stopped.

    The lock lets of two requests at once (a mail program and its owner) only the first act. What the first did is
    asked for in a statement of its own: one that waited for a lock still sees the rows of before.
    """
    return (
        Message.objects.select_for_update(no_key=True)
        .annotate(sends=Exists(ApiUser.objects.filter(pk=OuterRef("api_user_id"))))
        .filter(pk=message_id)
        .first()
    )


def _write(message: Message, kind: Event.Kind, visitor: Visitor, detail: dict[str, str]) -> None:
    Event.objects.create(
        message_id=message.pk,
        sender_domain_id=message.sender_domain_id,
        receiving_domain_id=message.receiving_domain_id,
        kind=kind,
        ip=visitor.ip,
        user_agent=visitor.user_agent[:MAX_USER_AGENT],
        detail=detail,
    )
