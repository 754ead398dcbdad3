"""An event out of a mail that came back, as the message's page shows it: plain words, and what was said verbatim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import ids
from console.badges import Tone
from delivery.models import Reason
from delivery.timeline import Entry, Said
from tracking.models import Event

# Kind → title, tone, icon.
_LOOKS: dict[str, tuple[Any, Tone, str]] = {
    Event.Kind.BOUNCE: (gettext_lazy("Returned by a bounce mail"), "warn", "arrow-back-up"),
    Event.Kind.DELAY: (gettext_lazy("Delay warning: the other server is still trying"), "busy", "hourglass"),
    Event.Kind.SUCCESS: (gettext_lazy("Success notice: it arrived"), "ok", "checks"),
    Event.Kind.REPLY: (gettext_lazy("Automatic reply"), "calm", "mail-forward"),
}
KINDS = frozenset(_LOOKS)


def entry(event: Event) -> Entry:
    """`event` is of one of KINDS."""
    title, tone, icon = _LOOKS[event.kind]
    detail = event.detail
    said: Sequence[Said] = ()
    if words := detail.get("said"):
        who = _words(detail, "remote-mta") or _words(detail, "reporting-mta") or _("bounce mail")
        said = [Said(who.rpartition(";")[2].strip(), str(words), deciding=event.kind == Event.Kind.BOUNCE)]
    more = [f"{name}: {value}" for name, value in detail.get("facts", {}).items()]
    at = ids.time_of(event.pk)
    return Entry(at, str(title), tone, icon, " · ".join(_facts(event)), said, _("What the mail says"), more)


def _facts(event: Event) -> list[str]:
    detail = event.detail
    found: list[str] = []
    if event.kind == Event.Kind.BOUNCE and detail.get("reason") in Reason.values:
        found.append(str(Reason(detail["reason"]).label))
    if detail.get("status"):
        found.append(str(detail["status"]))
    if detail.get("recipient"):
        found.append(str(detail["recipient"]))
    return [*found, *filter(None, [str(event.ip or ""), event.user_agent])]


def _words(detail: dict[str, Any], name: str) -> str:
    return str(detail.get("facts", {}).get(name, ""))
