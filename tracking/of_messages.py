"""Events that are found by what is known of their messages alone: whose label, task, template or API user it is.

The period is that of the events, and a mail may be opened a year later: no partition of the messages can be left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from delivery.models import Message

# So many messages are looked up before their events are, and so many events before their messages: more is left to the
# database's planner.
MOST_MESSAGES = 1000
MOST_EVENTS = 5000
# Of more values it is not asked when they were used.
MOST_VALUES = 10


def of_messages(events: QuerySet[Any], field: str, values: Sequence[Any]) -> QuerySet[Any]:
    """The events of all messages with one of these values. `field`: one that messages are indexed by, with the id."""
    messages = Message.objects.filter(**{f"{field}__in": values})
    few = of_few(events, messages)
    if few is not None:
        return few
    found = events.filter(of_one(messages))
    lived = _lived(field, values)
    if lived is None:
        return found
    # Of what was sent long ago, little is opened now. Sorted, all that came since would be gone through for it.
    near = events.filter(message_id__range=lived)
    if len(near.order_by().values_list("pk", flat=True)[: MOST_EVENTS + 1]) > MOST_EVENTS:
        return found.filter(message_id__range=lived)
    keys = list(found.filter(message_id__range=lived).order_by().values_list("pk", flat=True))
    return events.filter(pk__in=keys or [0])


def of_few(events: QuerySet[Any], messages: QuerySet[Message]) -> QuerySet[Any] | None:
    """The events of these messages; None: they are too many to be named."""
    found = list(messages.order_by().values_list("pk", flat=True)[: MOST_MESSAGES + 1])
    # 0 is nobody's: what can't be found is asked for as well.
    return None if len(found) > MOST_MESSAGES else events.filter(message_id__in=found or [0])


def of_one(messages: QuerySet[Message]) -> Exists:
    """Whether the event's message is among these."""
    return Exists(messages.filter(pk=OuterRef("message_id")))


def _lived(field: str, values: Sequence[Any]) -> tuple[int, int] | None:
    """The first and the last message with one of these values; None: too many to ask."""
    if len(values) > MOST_VALUES:
        return None
    ends: list[int] = []
    for value in values:
        # Not `= value`, for which the planner may walk by the ids alone: so only the index by both gives them in order.
        rows = Message.objects.filter(**{f"{field}__gte": value, f"{field}__lte": value}).values_list("pk", flat=True)
        for order in ((field, "pk"), (f"-{field}", "-pk")):
            ends += rows.order_by(*order)[:1]
    return (min(ends), max(ends)) if ends else None
