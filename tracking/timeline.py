"""What is known of a message from its recipient, for the timeline on its page."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from console import ids
from delivery.models import Message
from delivery.timeline import Entry
from tracking.models import Event

# A mail that is passed around may be opened thousands of times.
MAX_EVENTS = 200


def events(message: Message) -> Iterator[Entry]:
    """The message's first events, in order of time. One query."""
    found = list(Event.objects.filter(message_id=message.pk).order_by("id")[: MAX_EVENTS + 1])
    for event in found[:MAX_EVENTS]:
        yield _entry(event)
    if len(found) > MAX_EVENTS:
        text = _("The first %s events are shown here.") % MAX_EVENTS
        yield Entry(ids.time_of(found[MAX_EVENTS].pk), _("More opens and clicks"), "calm", "dots", text)


def _entry(event: Event) -> Entry:
    who = [str(event.ip or ""), event.user_agent]
    at = ids.time_of(event.pk)
    if event.kind == Event.Kind.CLICK:
        return Entry(at, _("Clicked"), "ok", "pointer", _facts(event.link, *who))
    if event.kind == Event.Kind.UNSUBSCRIBE:
        how = _("by the mail program's button (one-click)") if event.detail.get("one_click") else _("on the page")
        return Entry(at, _("Unsubscribed"), "warn", "ban", _facts(how, *who))
    return Entry(at, _("Opened"), "ok", "mail-opened", _facts(*who))


def _facts(*parts: str) -> str:
    return " · ".join(filter(None, parts))
