"""Writing down what comes back, and acting on it. Each is one short transaction; all of it may be repeated."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from console import ids
from console.models import ApiUser
from delivery.models import Message
from suppression import address
from suppression import services as suppression
from suppression.models import Entry
from tracking.models import Event

MAX_LINK = 2000
MAX_USER_AGENT = 500


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who came, as far as a request tells. `ip` is None where it is not known."""

    ip: str | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The message whose link was used. `changed` is False when it had been used before and still holds."""

    message: Message
    changed: bool


def record_hit(
    message_id: int,
    kind: Literal[Event.Kind.OPEN, Event.Kind.CLICK],
    visitor: Visitor,
    *,
    now: dt.datetime,
    link: str = "",
) -> bool:
    """Write an open or a click down; the message keeps the time of the first. True when it was the first.

    One statement. Of a message that is no longer kept nothing is written.
    """
    column = "opened_at" if kind == Event.Kind.OPEN else "clicked_at"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH known AS (SELECT id FROM delivery_message WHERE id = %(message)s),
            hit AS (
                INSERT INTO tracking_event (id, message_id, kind, link, ip, user_agent, detail)
                SELECT %(id)s, id, %(kind)s, %(link)s, %(ip)s::inet, %(agent)s, '{{}}' FROM known
            ), first AS (
                UPDATE delivery_message SET {column} = %(now)s WHERE id = %(message)s AND {column} IS NULL
                RETURNING sender_domain_id, receiving_domain_id
            ), counted AS ({_COUNT_OPEN if kind == Event.Kind.OPEN else "SELECT"})
            SELECT count(*) FROM first
            """,  # noqa: S608 (one of two constants)
            {
                "id": ids.new_id(),
                "message": message_id,
                "kind": kind.value,
                "link": link[:MAX_LINK],
                "ip": visitor.ip,
                "agent": visitor.user_agent[:MAX_USER_AGENT],
                "now": now,
                "simulator": settings.SIMULATOR,
                "simulator_domain": settings.SIMULATOR_DOMAIN,
            },
        )
        return bool(cursor.fetchone()[0])


# A first open counts for the warm-up of the sender domain, on the day on which it came (delivery/services/quota.py).
_COUNT_OPEN = """
    UPDATE delivery_domainday d SET opens = opens + 1
    FROM first JOIN delivery_receivingdomain r ON r.id = first.receiving_domain_id, console_account a
    WHERE d.domain_id = first.sender_domain_id AND d.day = (%(now)s AT TIME ZONE a.time_zone)::date
      AND NOT (%(simulator)s AND (r.name = %(simulator_domain)s OR r.name LIKE '%%.moods.test'))
"""


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
    return Unsubscribed(message, changed=True)


def is_unsubscribed(message: Message) -> bool:
    """Whether the message's recipient is on the unsubscriptions of the API user that sent it."""
    return Entry.objects.filter(
        key=address.key_of(message.recipient), list=Entry.List.UNSUBSCRIPTION, api_user_id=message.api_user_id
    ).exists()
