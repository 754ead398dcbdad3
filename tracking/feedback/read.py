"""A mail that came back → what it says. Pure.

Reports come first (RFC 5965, RFC 3464), then flufl.bounce and the words of the notice. Why it came back is decided by
the rules that read replies in the session.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain
from typing import Final

from tracking.feedback.reading import arf, kinds, ours, sns
from tracking.feedback.reading.addresses import addresses, once
from tracking.feedback.reading.dsn import Status, report_in_text, reports
from tracking.feedback.reading.mime import Headers, Mail, parse
from tracking.feedback.reading.notice import Notice, notice
from tracking.feedback.reading.second_opinion import failures
from tracking.feedback.reading.told import Told
from tracking.feedback.reading.verdict import reason
from tracking.feedback.types import RECIPIENTS_MAX, Action, Feedback, Kind, Returned, Type

_FACTS: Final = (
    *("arrival-date", "received-date", "source-ip", "reported-domain", "user-agent", "reporting-mta", "remote-mta"),
    *("incidents", "source"),
)
_FACT_MAX: Final = 300
_UNSUBSCRIBE = re.compile(r"\W*unsubscribe\b", re.IGNORECASE)
_NOTICE_MAX: Final = 2**16  # characters


def read(raw: bytes, *, envelope_to: str = "", envelope_from: str | None = None) -> Feedback:
    """What this mail says, whatever it is; never raises, and takes at most 64 MB and 2 s.

    `envelope_to`: the address that it was sent to, of which the local part counts (`u+TOKEN` makes it an
    unsubscription); `envelope_from`: "" of bounces, None where it is not known.
    """
    mail = parse(raw)
    prose = _prose(mail)
    text = notice(prose)
    fields, statuses = reports(mail)
    complaint = arf.report(mail)
    kind: Type
    returned: list[Returned]
    if complaint is not None:
        fields = complaint
        kind = "complaint" if arf.is_complaint(complaint) else "other"
        returned = [Returned(one) for one in arf.recipients(mail, complaint)]
    elif statuses:
        kind, returned = _reported(mail, text, statuses)
    elif _unsubscribes(mail, envelope_to):
        kind, returned = "unsubscribe", []
    elif arf.authentication(mail) or _disposition(mail):
        kind, returned = "other", []
    else:
        kind, returned = _told(mail, prose, text, envelope_from)
    return Feedback(
        type=kind,
        recipients=_each_once(returned),
        tokens=ours.tokens(envelope_to, fields, raw),
        links=ours.links(envelope_to, mail, raw),
        message_ids=ours.message_ids(mail, text.below),
        feedback_type=arf.feedback_type(fields) if complaint is not None else "",
        facts=_facts(mail, fields),
    )


def _each_once(returned: list[Returned]) -> tuple[Returned, ...]:
    found: dict[str, Returned] = {}
    for one in returned:
        found.setdefault(one.recipient.lower(), one)
    return tuple(found.values())[:RECIPIENTS_MAX]


def _reported(mail: Mail, text: Notice, statuses: list[Status]) -> tuple[Type, list[Returned]]:
    """A delivery report. The action tells what it is: many say "failed" with a status of 4.x.x."""
    if len(statuses) == 1 and not statuses[0].recipient:
        statuses = [replace(statuses[0], recipient=one) for one in _people(mail, text, [])[:1]] or statuses
    people = [one.recipient for one in statuses if one.recipient]
    told = Told(text, people)
    returned = [_returned(told, one) for one in statuses]
    actions = {one.action for one in returned}
    if "failed" in actions:
        return "bounce", returned
    if "delayed" in actions:
        return "delay", returned
    return ("success", returned) if actions & {"delivered", "relayed", "expanded"} else ("bounce", returned)


def _told(mail: Mail, prose: str, text: Notice, envelope_from: str | None) -> tuple[Type, list[Returned]]:
    """A mail without a report: a notice in prose, an automatic answer, or something else."""
    headers = mail.headers
    if notification := sns.read(prose):
        kind, statuses = notification
        nothing = Told(Notice(()), ())
        return kind, [_returned(nothing, one) if one.action else Returned(one.recipient) for one in statuses]
    if statuses := report_in_text(prose):
        return _reported(mail, text, statuses)
    failed = [*addresses(headers.get("x-failed-recipients"))]
    if not failed and kinds.automatic_answer(headers):
        return "autoreply", []
    if not failed and not _is_notice(headers, text, envelope_from):
        return ("autoreply" if kinds.auto_replied(headers) else "other"), []
    subject = headers.text("subject")
    if kinds.success(subject):
        return "success", [Returned(one, "delivered") for one in _people(mail, text, failed)]
    people = _people(mail, text, failed)
    late = kinds.delay(subject, prose)
    action: Action = "delayed" if late else "failed"
    told = Told(text, people)
    returned = [_returned(told, Status(one, action, "", "")) for one in people or [""]]
    return ("delay" if late else "bounce"), returned


def _is_notice(headers: Headers, text: Notice, envelope_from: str | None) -> bool:
    """Whether a mail server says that mail failed. People write about that, too, so a subject alone is not enough."""
    system = kinds.from_a_mail_system(headers)
    null = kinds.null_sender(headers, envelope_from)
    if kinds.notice_subject(headers):
        return system or null or kinds.from_a_program(headers) or bool(Told(text, ()).spoken)
    return system and (null or kinds.looks_returned("\n".join(text.lines)))


def _people(mail: Mail, text: Notice, failed: list[str]) -> list[str]:
    """Whom the notice is about: those it names, or else to whom the returned mail was addressed."""
    if failed:
        return once(failed)
    original = mail.embedded[0] if mail.embedded else text.below
    sender = [mail.headers.get(name) for name in ("to", "delivered-to")]
    sender += [original.get(name) for name in ("from", "return-path")]
    known = frozenset(one.lower() for value in sender for one in addresses(value))
    return once(failures(mail.headers, text) or text.named(known) or addresses(original.text("to")))


def _returned(told: Told, one: Status) -> Returned:
    action = one.action or "failed"
    if action not in ("failed", "delayed"):
        return Returned(one.recipient, action, one.status, one.diagnostic)
    said = filter(None, (one.diagnostic, one.category))
    why = reason(chain(said, told.about(one.recipient)), told.around(one.recipient), one.status)
    kind: Kind = "temporary" if action == "delayed" else why.kind
    return Returned(one.recipient, action, why.status, why.diagnostic, kind, why.reason, why.rule)


def _unsubscribes(mail: Mail, envelope_to: str) -> bool:
    to = envelope_to or mail.headers.get("delivered-to") or mail.headers.get("to")
    if re.match(r"<?u\+", to.strip()):
        return True
    return bool(_UNSUBSCRIBE.fullmatch(mail.headers.text("subject").strip()))


def _disposition(mail: Mail) -> bool:
    """Read receipts (RFC 8098)."""
    return any(part.type == "message/disposition-notification" for part in mail.parts if not part.level)


def _prose(mail: Mail) -> str:
    """What the mail itself says: its plain texts, or its HTML where it has none."""
    for wanted in ("text/plain", "text/html"):
        texts = [part.text() for part in mail.parts[:12] if part.type == wanted and not part.level]
        if any(map(str.strip, texts)):
            return "\n\n".join(texts)[:_NOTICE_MAX]
    return "\n\n".join(part.text() for part in mail.parts[:3] if not part.level)[:_NOTICE_MAX]


def _facts(mail: Mail, fields: Headers) -> dict[str, str]:
    found = {name: fields.get(name)[:_FACT_MAX] for name in _FACTS if name in fields}
    return {"subject": mail.headers.text("subject")[:_FACT_MAX], **found}
