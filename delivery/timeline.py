"""What happened to one message, in order of time. Other floors add what they know: `timeline_sources.append(…)`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from console.badges import Tone
from console.templatetags.posthorn import span
from delivery.engine.hop import RELAY_RULE
from delivery.models import Attempt, Message, QueuePause, Reason, Status
from delivery.models.status import FAILED

if TYPE_CHECKING:
    from delivery.models import Task

# A phase of the session → what stands beside its reply.
PHASES = {
    "dns": "DNS",
    "connect": "connect",
    "greeting": "greeting",
    "ehlo": "EHLO",
    "tls": "STARTTLS",
    "auth": "AUTH",
    "mail": "MAIL",
    "rcpt": "RCPT",
    "data": "DATA",
    "body": "body",
    "dot": "end of mail",
    "quit": "QUIT",
}


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a conversation, verbatim. `deciding`: the reply that decided."""

    who: str
    text: str
    deciding: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: when, in plain words, and what was said verbatim. `more`: lines behind a fold."""

    at: dt.datetime
    title: str
    tone: Tone = "calm"
    icon: str = "info-circle"
    facts: str = ""
    said: Sequence[Said] = ()
    more_title: str = ""
    more: Sequence[str] = ()


# Each gives the entries that it knows for a message, in a fixed number of queries.
timeline_sources: list[Callable[[Message], Iterable[Entry]]] = []


def timeline(message: Message, attempts: Sequence[Attempt], task: Task | None) -> list[Entry]:
    """Everything that is known, oldest first."""
    entries = [_requested(message, task), *(_attempt(one, _gave_up(message, one)) for one in attempts)]
    if message.status == Status.CANCELLED and task is not None and task.ended_at:
        by = _("By %s.") % task.acted_by if task.acted_by else ""
        entries.append(Entry(task.ended_at, _("Cancelled: its task was stopped"), "calm", "player-stop", by))
    for source in timeline_sources:
        entries += source(message)
    return sorted(entries, key=lambda entry: entry.at)


def _requested(message: Message, task: Task | None) -> Entry:
    by = _("By task %s") % message.task_id if message.task_id else _("By regular sending")
    facts = [by + (_(" from %s") % message.request_ip if message.request_ip else "")]
    domain = message.recipient.rpartition("@")[2]
    said: list[Said] = []
    if message.status == Status.CONTROL_GROUP:
        facts.append(_("held out on purpose: in the control group"))
    elif message.status == Status.INVALID and not message.attempts:
        facts.append(_("not tried"))
        if message.last_reply:
            said = [Said("Posthorn", message.last_reply, deciding=True)]
    else:
        facts.append(_("for %s") % domain)
    tone: Tone = "bad" if said else "calm"
    return Entry(message.requested_at, _("Requested"), tone, "plus", " · ".join(facts), said)


def _gave_up(message: Message, one: Attempt) -> bool:
    """Whether this attempt was the last before the retry window ended: a pause leaves none planned, too."""
    return message.status in FAILED and one.number == message.attempts


def _attempt(one: Attempt, gave_up: bool) -> Entry:
    tone: Tone = "bad"
    icon = "x"
    if one.outcome == "delivered":
        tone, icon, became = "ok", "check", _("delivered")
    elif one.outcome == "sent":
        tone, icon, became = "ok", "arrow-right", _("handed to the relay")
    elif one.rule == RELAY_RULE:
        tone, icon, became = "busy", "clock", str(QueuePause.Reason.RELAY.label)
    elif one.next_at:
        tone, icon = "busy", "clock"
        became = _("put off for %s") % span(_rounded(one.next_at - one.at))
    elif one.outcome == "deferred" and not gave_up:
        tone, icon, became = "busy", "clock", _("put off")
    elif one.outcome == "deferred":
        tone, icon, became = "warn", "arrow-back-up", _("put off until the retry window ended")
    else:
        became = _("refused")
        if one.reason:
            became = _("refused, %s") % Reason(one.reason).label
    way = ", ".join(filter(None, [one.mx_host, one.remote_ip]))
    facts = [
        way,
        _("from %s") % one.send_ip if one.send_ip else "",
        tls_text(one.tls) if one.remote_ip else "",
        span(one.seconds),
    ]
    more = [one.tls, one.certificate] if one.certificate else []
    title = _("Attempt %(number)s: %(became)s") % {"number": one.number, "became": became}
    return Entry(
        one.at, title, tone, icon, " · ".join(filter(None, facts)), _said(one), _("Encryption and certificate"), more
    )


def _said(one: Attempt) -> list[Said]:
    """The conversation with the reply that decided: with pipelining, others may have come after it."""
    lines = [(str(phase), str(text)) for phase, text in one.conversation]
    if one.reply and not any(phase == one.phase and _same(text, one.reply) for phase, text in lines):
        lines.append((one.phase, one.reply))
    deciding = max((n for n, (phase, _text) in enumerate(lines) if phase == one.phase), default=len(lines) - 1)
    return [Said(PHASES.get(phase, phase), text, number == deciding) for number, (phase, text) in enumerate(lines)]


def _same(shown: str, reply: str) -> bool:
    # The conversation is kept within bounds, so a long reply may be cut there.
    return shown == reply or (len(shown) > 40 and reply.startswith(shown[:40]))


def _rounded(span: dt.timedelta) -> dt.timedelta:
    """Without the fraction of a second that passed while the attempt was written down."""
    seconds = span.total_seconds()
    return dt.timedelta(seconds=round(seconds / 60) * 60 if seconds > 90 else round(seconds))


def tls_text(tls: str) -> str:
    """“TLSv1.3 TLS_AES_256_GCM_SHA384” → “TLS 1.3”."""
    return tls.split(" ")[0].replace("TLSv", "TLS ") if tls else _("not encrypted")
