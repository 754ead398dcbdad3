"""What is known of a message from its recipient, for the timeline on its page."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from console import ids
from delivery.models import Message
from delivery.timeline import Entry
from suppression.models import UnsubscribeReason
from tracking import automatic
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
    if event.kind in (Event.Kind.OPEN, Event.Kind.CLICK):
        return _hit(event)
    who = [str(event.ip or ""), event.user_agent]
    at = event.at
    if event.kind == Event.Kind.UNSUBSCRIBE:
        return Entry(at, _("Unsubscribed"), "warn", "ban", _facts(_how(event), _reason(event), *who))
    if event.kind == Event.Kind.RESUBSCRIBE:
        return Entry(at, _("Unsubscription taken back"), "ok", "check", _facts(_("on the page"), *who))
    if event.kind == Event.Kind.COMPLAINT:
        by = _("on the unsubscribe page") if event.detail.get("source") == "page" else _("by a feedback loop")
        kind = str(event.detail.get("feedback_type") or "")
        return Entry(at, _("Reported as spam"), "bad", "alert-triangle", _facts(by, kind, _reason(event), *who))
    return Entry(at, str(Event.Kind(event.kind).label), facts=_facts(*who))


def _hit(event: Event) -> Entry:
    """A person's, or a machine's with the rule that said so."""
    opened = event.kind == Event.Kind.OPEN
    facts = _facts(event.link, event.client, str(event.ip or ""), event.user_agent)
    if event.automatic:
        title = _("Opened by a machine") if opened else _("Clicked by a machine")
        return Entry(event.at, title, "calm", "robot", _facts(automatic.title(event.automatic), facts))
    return Entry(event.at, _("Opened") if opened else _("Clicked"), "ok", "mail-opened" if opened else "pointer", facts)


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
