"""Unsubscribing by the link of a mail. One short transaction, which may be repeated."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef

from console.models import ApiUser
from delivery.callbacks import outbox
from delivery.models import Happening, Message
from delivery.services.deltas import Deltas, Of
from suppression import address
from suppression import services as suppression
from suppression.models import Entry
from tracking.models import Event
from tracking.services import MAX_USER_AGENT, Visitor


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The message whose link was used. `changed` is False when it had been used before and still holds."""

    message: Message
    changed: bool


def unsubscribe(message_id: int, visitor: Visitor, *, now: dt.datetime, one_click: bool = False) -> Unsubscribed | None:
    """Put the message's recipient on the unsubscriptions of the API user that sent it. None: no such message.

    Asked again for the same message, nothing changes, unless an operator has taken the address off in the meantime.
    """
    with transaction.atomic():
        # The lock lets of two requests at once (a mail program and its owner) only the first act. What the first did is
        # asked for in a statement of its own: one that waited for a lock still sees the rows of before.
        message = (
            Message.objects.select_for_update(no_key=True)
            # The API user has no constraint behind it, and a deleted one sends nothing that could be stopped.
            .annotate(sends=Exists(ApiUser.objects.filter(pk=OuterRef("api_user_id"))))
            .filter(pk=message_id)
            .first()
        )
        if message is None:
            return None
        used = Event.objects.filter(message_id=message_id, kind=Event.Kind.UNSUBSCRIBE).exists()
        if used and (not message.sends or is_unsubscribed(message)):
            return Unsubscribed(message, changed=False)
        if message.sends:
            suppression.unsubscribe(address.key_of(message.recipient), api_user_id=message.api_user_id, now=now)
        Event.objects.create(
            message_id=message.pk,
            kind=Event.Kind.UNSUBSCRIBE,
            ip=visitor.ip,
            user_agent=visitor.user_agent[:MAX_USER_AGENT],
            detail={"one_click": one_click},
        )
        if not used:
            changed = Deltas()
            changed.add(Of.message(message), unsubscriptions=1)
            changed.write()
            told = {"user_agent": visitor.user_agent[:MAX_USER_AGENT]}
            outbox.tell([outbox.Happened(message.pk, Happening.UNSUBSCRIBE, now, told)])
    return Unsubscribed(message, changed=True)


def is_unsubscribed(message: Message) -> bool:
    """Whether the message's recipient is on the unsubscriptions of the API user that sent it."""
    return Entry.objects.filter(
        key=address.key_of(message.recipient), list=Entry.List.UNSUBSCRIPTION, api_user_id=message.api_user_id
    ).exists()
