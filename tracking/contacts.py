"""What is known of one address: its mail, what it did, what keeps mail from it. Each is one statement."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, Max, Min, Q, QuerySet, Value
from django.db.models.functions import Lower

from console import ids
from delivery.models import Message, Reason, Status
from suppression.address import Address
from suppression.models import Entry
from tracking.models import Event

# The newest messages whose events are looked for, and the newest events shown.
MAX_MESSAGES = 100
MAX_EVENTS = 50
# The newest messages that the figures are made of.
MAX_COUNTED = 10_000
# Unsubscriptions are one for each API user.
MAX_ENTRIES = 50


@dataclass(frozen=True, slots=True)
class Figures:
    """Over the newest 10,000 messages. `first_id`: of the oldest among them; `more`: there are older ones."""

    messages: int
    delivered: int
    opened: int
    clicked: int
    not_exist: int
    opened_at: dt.datetime | None
    clicked_at: dt.datetime | None
    first_id: int | None

    @property
    def since(self) -> dt.datetime | None:
        return None if self.first_id is None else ids.time_of(self.first_id)

    @property
    def more(self) -> bool:
        return self.messages >= MAX_COUNTED


def spellings(address: Address) -> list[str]:
    """How the address may stand in lower case: one for nearly every address. A final sigma has two small forms, and
    the database lower-cases each letter by itself."""
    return sorted({address.key, address.key.upper().lower()} if not address.ascii else {address.key})


def only(rows: QuerySet[Message], address: Address) -> QuerySet[Message]:
    """Its messages among these, by the index message_recipient of each partition."""
    known = spellings(address)
    rows = rows.alias(lower_recipient=Lower("recipient"))
    if len(known) == 1:
        return rows.filter(lower_recipient=Lower(Value(known[0])))
    return rows.filter(lower_recipient__in=known)


def newest(address: Address, most: int) -> QuerySet[Message]:
    return only(Message.objects.all(), address).order_by("-pk")[:most]


def entries_of(address: Address) -> list[Entry]:
    """What stands on the lists for it or its whole domain, over or in force."""
    keys = [address.key, f"@{address.domain}"]
    rows = Entry.objects.filter(key__in=keys).select_related("api_user", "origin", "changed_by")
    return list(rows.order_by("list", "-latest_at")[:MAX_ENTRIES])


def figures_of(address: Address) -> Figures:
    return Figures(
        **newest(address, MAX_COUNTED).aggregate(
            messages=Count("pk"),
            delivered=Count("pk", filter=Q(status=Status.DELIVERED)),
            opened=Count("opened_at"),
            clicked=Count("clicked_at"),
            not_exist=Count("pk", filter=Q(reason=Reason.NOT_EXIST)),
            opened_at=Max("opened_at"),
            clicked_at=Max("clicked_at"),
            first_id=Min("pk"),
        )
    )


def events_of(message_ids: Sequence[int]) -> list[Event]:
    """The newest of what these messages' recipients, their programs and their servers did, newest first.

    Asked message by message, each by the index event_message: the planner would sooner walk all events backwards.
    """
    if not message_ids:
        return []
    return list(
        Event.objects.raw(
            """
            SELECT e.* FROM unnest(%s::bigint[]) AS asked(message_id) CROSS JOIN LATERAL (
                SELECT * FROM tracking_event WHERE message_id = asked.message_id AND id >= asked.message_id
                ORDER BY id DESC LIMIT %s
            ) e ORDER BY e.id DESC LIMIT %s
            """,
            [list(message_ids), MAX_EVENTS, MAX_EVENTS],
        )
    )


def complaints_of(message_ids: Sequence[int]) -> int:
    """How many of these messages were reported, whether or not the address is on the list still."""
    found = Event.objects.filter(message_id__in=list(message_ids), kind=Event.Kind.COMPLAINT)
    return found.aggregate(reported=Count("message_id", distinct=True))["reported"]


def subjects(message_ids: Iterable[int]) -> dict[int, str]:
    """Message → subject, of those that are still kept."""
    return dict(Message.objects.filter(pk__in=set(message_ids)).values_list("pk", "subject"))
