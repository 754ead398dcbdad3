"""What is known of a message from its recipient, for the timeline on its page."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from console import ids
from delivery.models import Message
from delivery.timeline import Entry
from suppression.models import UnsubscribeReason
from tracking.feedback import shown
from tracking.models import Event

# A mail that is passed around may be opened thousands of times.
MAX_EVENTS = 200


def events(message: Message) -> Iterator[Entry]:
    """The message's first events, in order of time. One query."""
    found = list(Event.objects.filter(message_id=message.pk).order_by("id")[: MAX_EVENTS + 1])
    for event in found[:MAX_EVENTS]:
        yield entry_of(event)
    if len(found) > MAX_EVENTS:
        text = _("The first %s events are shown here.") % MAX_EVENTS
        yield Entry(ids.time_of(found[MAX_EVENTS].pk), _("More opens and clicks"), "calm", "dots", text)


def entry_of(event: Event) -> Entry:
    """One event in words."""
    if event.kind in shown.KINDS:
        return shown.entry(event)
    who = [str(event.ip or ""), event.user_agent]
    at = ids.time_of(event.pk)
    if event.kind == Event.Kind.CLICK:
        return Entry(at, _("Clicked"), "ok", "pointer", _facts(event.link, *who))
    if event.kind == Event.Kind.UNSUBSCRIBE:
        return Entry(at, _("Unsubscribed"), "warn", "ban", _facts(_how(event), _reason(event), *who))
    if event.kind == Event.Kind.RESUBSCRIBE:
        return Entry(at, _("Unsubscription taken back"), "ok", "check", _facts(_("on the page"), *who))
    if event.kind == Event.Kind.COMPLAINT:
        by = _("on the unsubscribe page") if event.detail.get("source") == "page" else _("by a feedback loop")
        kind = str(event.detail.get("feedback_type") or "")
        return Entry(at, _("Reported as spam"), "bad", "alert-triangle", _facts(by, kind, _reason(event), *who))
    return Entry(at, _("Opened"), "ok", "mail-opened", _facts(*who))


def _how(event: Event) -> str:
    ways = {
        "one_click": _("by the mail program's button (one-click)"),
        "mail": _("by a mail to us"),
        "page": _("on the page"),
    }
    return ways.get(event.detail.get("how", ""), "")


def _reason(event: Event) -> str:
    """The answer that was given on the unsubscribe page, in its words."""
    given = event.detail.get("reason")
    return str(UnsubscribeReason(given).label) if given in UnsubscribeReason.values else ""


def _facts(*parts: str) -> str:
    return " · ".join(filter(None, parts))
