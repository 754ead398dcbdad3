"""Complaints: reports of feedback loops (RFC 5965), its drafts, and the mail complained about alone."""

from __future__ import annotations

import re
from typing import Final

from tracking.feedback.reading.addresses import addresses, of_field, once
from tracking.feedback.reading.mime import Headers, Mail, read_headers
from tracking.feedback.reading.words import words
from tracking.feedback.types import RECIPIENTS_MAX

# Reports in the same form that no recipient has made (RFC 6591, RFC 6692), or that say the contrary.
NO_COMPLAINTS: Final = frozenset(
    ("auth-failure", "not-spam", "notspam", "ham", "dmarc", "dkim", "dkim-failure", "spf", "adsp", "login-attack")
)
_TYPED = re.compile(r"^feedback-type:[ \t]*([\w-]{2,40})", re.IGNORECASE | re.MULTILINE)
_SUBJECT = words("complaints")
_SENDERS = words("feedback_loops")
_ONLY_COMPLAINTS: Final = ("x-hmxmroriginalrecipient", "x-hmxmrreporterid")
_RECIPIENTS: Final = ("original-rcpt-to", "removal-recipient", "original-recipient", "final-recipient", "x-rcpt-to")
_AUTHENTICATION_SUBJECT = re.compile(
    r"report[- ]domain:.{0,300}report[- ]id:|dmarc (?:forensic|failure|aggregate|report)", re.I
)


def report(mail: Mail) -> Headers | None:
    """The fields of the feedback report, empty where there is only the mail complained about; None: no such mail."""
    for part in mail.parts:
        if part.type == "message/feedback-report" and not part.level:
            return read_headers(part.text())
    if mail.parameters.get("report-type", "").lower() == "feedback-report":
        return _torn(mail) or Headers()
    return _torn(mail) if "feedback" in mail.headers.get("content-type").lower() else _bare(mail)


def authentication(mail: Mail) -> bool:
    """A report of DMARC or TLS results for a day, which comes as an attachment (RFC 7489 §7.2.1.1, RFC 8460)."""
    if mail.parameters.get("report-type", "").lower() == "tlsrpt":
        return True
    return bool(_AUTHENTICATION_SUBJECT.search(mail.headers.text("subject")))


def is_complaint(fields: Headers) -> bool:
    return "auth-failure" not in fields and feedback_type(fields) not in NO_COMPLAINTS


def feedback_type(fields: Headers) -> str:
    """ "abuse" where the report does not say."""
    return fields.get("feedback-type").strip().lower()[:40] or "abuse"


def recipients(mail: Mail, fields: Headers) -> list[str]:
    """Who complained, as far as it is told: in the report, in the embedded mail's traces, in its To."""
    found = [of_field(value) for name in _RECIPIENTS for value in fields.all(name)]
    embedded = mail.embedded[0] if mail.embedded else Headers()
    if not any(found):
        found = [of_field(embedded.get(name)) for name in (*_ONLY_COMPLAINTS, "x-original-rcpt", "x-apparently-to")]
    if not any(found):
        found = [*addresses(embedded.text("to"))]
    return once(found)[:RECIPIENTS_MAX]


def _torn(mail: Mail) -> Headers | None:
    """A report whose part lost its name: its fields stand in a text."""
    for part in mail.parts[:4]:
        if not part.level and (match := _TYPED.search(text := part.text())):
            return read_headers(text[max(0, text.rfind("\n\n", 0, match.start())) :].lstrip("\n").partition("\n\n")[0])
    return None


def _bare(mail: Mail) -> Headers | None:
    """The mail complained about and at most a covering letter, as Microsoft's programme (JMRP) sends it."""
    if not mail.embedded:
        return None
    if any(name in mail.embedded[0] for name in _ONLY_COMPLAINTS):
        return Headers()
    sender, subject = mail.headers.text("from"), mail.headers.text("subject")
    return Headers() if _SUBJECT.search(subject) and _SENDERS.search(sender) else None
