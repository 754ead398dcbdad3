"""The mails that come back from the simulator's addresses, as servers in the world write them. Pure.

A kind of mail comes in several shapes. A `+label` that begins with a shape's name asks for it; any other address has
one that its own letters decide: the same address always the same.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from email.utils import formatdate

from delivery.simulator.behaviour import Answer

# The first of each is what the kind of mail is in the standard.
SHAPES: dict[str, tuple[str, ...]] = {
    "bounce": ("rfc3464", "qmail", "exchange"),
    "complaint": ("arf", "redacted", "links"),
    "reply": ("rfc3834", "outlook"),
    "unsubscription": ("oneclick",),
}
# Shapes that come only when a label asks for them.
ASKED = {"unsubscription": ("mailto",)}
# Of the mail that is returned, its beginning.
RETURNED_BYTES = 16 * 1024
_WAY_OUT = re.compile(rb"<([a-z]+:[^<>\s]+)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Returned:
    """A mail that was accepted, and what shall come back from one of its recipients."""

    recipient: str
    sender: str  # envelope sender, "" for <>
    mail: bytes  # its beginning
    queue_id: str
    host: str  # name of the server that accepted it
    time: float  # when, seconds since the epoch

    @property
    def domain(self) -> str:
        return self.recipient.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to be brought: envelope and text."""

    sender: str
    recipient: str
    text: bytes


def shape(kind: str, recipient: str) -> str:
    """Which of its shapes a kind of mail has that comes back from this address."""
    label = recipient.rpartition("@")[0].partition("+")[2].lower()
    usual = SHAPES[kind]
    asked = next((name for name in (*usual, *ASKED.get(kind, ())) if re.match(rf"{name}\b", label)), "")
    return asked or usual[zlib.crc32(recipient.lower().encode("utf-8", "surrogateescape")) % len(usual)]


def bounce(of: Returned, why: Answer, shape: str) -> Letter:
    """To the return path, from nobody (RFC 5321 §4.5.5)."""
    text = {"rfc3464": _rfc3464, "qmail": _qmail, "exchange": _exchange}[shape](of, why)
    return Letter("", of.sender, text)


def _rfc3464(of: Returned, why: Answer) -> bytes:
    said = why.line(of.recipient, "127.0.0.1")
    notice = (
        f"This is the mail system at host {of.host}.\r\n\r\n"
        "I'm sorry to have to inform you that your message could not\r\nbe delivered to one or more recipients. "
        "It's attached below.\r\n\r\n                   The mail system\r\n\r\n"
        f"<{of.recipient}>: host {of.host}[127.0.0.1] said: {said} (in reply to end of DATA command)\r\n"
    )
    return _report(
        of,
        {"From": f"Mail Delivery System <MAILER-DAEMON@{of.host}>", "Subject": "Undelivered Mail Returned to Sender"},
        notice,
        f"Reporting-MTA: dns; {of.host}\r\nX-Postfix-Queue-ID: {of.queue_id}\r\nArrival-Date: {_date(of)}\r\n\r\n"
        f"Final-Recipient: rfc822; {of.recipient}\r\nOriginal-Recipient: rfc822;{of.recipient}\r\nAction: failed\r\n"
        f"Status: {why.enhanced}\r\nRemote-MTA: dns; {of.host}\r\nDiagnostic-Code: smtp; {said}\r\n",
    )


def _exchange(of: Returned, why: Answer) -> bytes:
    unknown = why.enhanced == "5.1.1"
    code = "RESOLVER.ADR.RecipNotFound; not found" if unknown else "RESOLVER.RST.NotAuthorized; not authorized"
    what = (
        "The e-mail address you entered couldn't be found. Please check the recipient's e-mail address."
        if unknown
        else "You don't have permission to send to this recipient: the message was refused by policy."
    )
    notice = (
        f"Delivery has failed to these recipients or groups:\r\n\r\n{of.recipient}\r\n{what}\r\n\r\n"
        "Diagnostic information for administrators:\r\n\r\n"
        f"Generating server: {of.host}\r\n\r\n{of.recipient}\r\n#{why.code} {why.enhanced} {code} ##\r\n"
    )
    return _report(
        of,
        {
            "From": f"Microsoft Outlook <postmaster@{of.domain}>",
            "Subject": f"Undeliverable: {_subject(of)}",
            "X-MS-Exchange-Message-Is-Ndr": "",
        },
        notice,
        f"Reporting-MTA: dns;{of.host}\r\nArrival-Date: {_date(of)}\r\n\r\n"
        f"Final-Recipient: rfc822;{of.recipient}\r\nAction: failed\r\nStatus: {why.enhanced}\r\n"
        f"Diagnostic-Code: smtp;{why.code} {why.enhanced} {code}\r\n",
    )


def _qmail(of: Returned, why: Answer) -> bytes:
    said = (
        f"Sorry, no mailbox here by that name. (#{why.enhanced})"
        if why.enhanced == "5.1.1"
        else f"127.0.0.1 failed after I sent the message.\r\nRemote host said: {why.line(of.recipient, '127.0.0.1')}"
    )
    head = {"From": f"MAILER-DAEMON@{of.host}", "Subject": "failure notice"}
    notice = (
        f"Hi. This is the qmail-send program at {of.host}.\r\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n"
        f"<{of.recipient}>:\r\n{said}\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n"
        f"Return-Path: <{of.sender}>\r\n"
    )
    return _head(of, head, of.sender) + b"\r\n" + _octets(notice) + of.mail[:RETURNED_BYTES]


def _report(of: Returned, head: dict[str, str], notice: str, status: str) -> bytes:
    boundary = f"{of.queue_id}/{of.host}"
    kind = f'multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"'
    head = {**head, "Auto-Submitted": "auto-replied", "MIME-Version": "1.0", "Content-Type": kind}
    return b"".join(
        [
            _head(of, head, of.sender),
            _octets(f"\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{notice}"),
            _octets(f"\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n{status}"),
            _octets(f"\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n"),
            of.mail[:RETURNED_BYTES],
            _octets(f"\r\n--{boundary}--\r\n"),
        ]
    )


def complaint(of: Returned, shape: str) -> Letter:
    """A report of abuse (RFC 5965) to the feedback loop's address at the return path's host.

    `redacted`: nobody is told who complains; `links`: not even the return path stands in it, where the mail has an
    unsubscribe link.
    """
    to = f"fbl@{of.sender.rpartition('@')[2]}"
    mail = of.mail[:RETURNED_BYTES]
    fields = {"Feedback-Type": "abuse", "User-Agent": "Simulator-FBL/1.0", "Version": "1"}
    if shape != "links" or not way_out(mail):
        fields["Original-Mail-From"] = f"<{of.sender}>"
    fields["Arrival-Date"] = _date(of)
    fields["Source-IP"] = "127.0.0.1"
    if shape == "arf":
        fields |= {"Original-Rcpt-To": f"<{of.recipient}>", "Reported-Domain": of.sender.rpartition("@")[2]}
    else:
        fields["Original-Rcpt-To"] = f"<redacted@{of.domain}>"
        mail = re.sub(re.escape(_octets(of.recipient)), _octets(f"redacted@{of.domain}"), mail, flags=re.IGNORECASE)
    boundary = f"{of.queue_id}/fbl"
    kind = f'multipart/report; report-type=feedback-report;\r\n\tboundary="{boundary}"'
    head = {
        "From": f"Feedback loop <staff@{of.domain}>",
        "Subject": f"FW: {_subject(of)}",
        "MIME-Version": "1.0",
        "Content-Type": kind,
    }
    notice = f"This is an email abuse report for a message that came in on {_date(of)}.\r\n"
    report = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    text = b"".join(
        [
            _head(of, head, to),
            _octets(f"\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{notice}"),
            _octets(f"\r\n--{boundary}\r\nContent-Type: message/feedback-report\r\n\r\n{report}"),
            _octets(f"\r\n--{boundary}\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n"),
            mail,
            _octets(f"\r\n--{boundary}--\r\n"),
        ]
    )
    return Letter(f"staff@{of.domain}", to, text)


def reply(of: Returned, shape: str) -> Letter:
    """Somebody is away (RFC 3834): to the return path."""
    head = {
        "From": of.recipient,
        "Subject": f"{'Automatic reply' if shape == 'outlook' else 'Auto'}: {_subject(of)}",
        "In-Reply-To": header(of.mail, b"message-id"),
        "Auto-Submitted": "auto-generated" if shape == "outlook" else "auto-replied",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
    }
    if shape == "outlook":
        head["X-Auto-Response-Suppress"] = "All"
    text = _head(of, head, of.sender) + b"\r\nI am out of the office until Monday and will answer then.\r\n"
    return Letter(of.recipient if shape == "outlook" else "", of.sender, text)


def unsubscription(of: Returned, to: str, subject: str) -> Letter:
    """A mail to the address of a List-Unsubscribe field (RFC 2369)."""
    head = {"From": of.recipient, "Subject": subject or "unsubscribe"}
    return Letter(of.recipient, to, _head(of, head, to) + b"\r\n")


def way_out(mail: bytes) -> list[str]:
    """The URLs of its List-Unsubscribe field, in order."""
    return [url.decode("ascii", "replace") for url in _WAY_OUT.findall(_octets(header(mail, b"list-unsubscribe")))]


def header(mail: bytes, name: bytes) -> str:
    """The first value of a header field, unfolded; "" where there is none."""
    head = b"\n" + mail.partition(b"\r\n\r\n")[0] + b"\r\n"
    found = re.search(rb"\n" + re.escape(name) + rb":((?:[^\n]*\n)(?:[ \t][^\n]*\n)*)", head, re.IGNORECASE)
    return " ".join(found[1].decode("utf-8", "surrogateescape").split()) if found else ""


def _head(of: Returned, fields: dict[str, str], to: str) -> bytes:
    name = f"<{of.queue_id}.{zlib.crc32(_octets(of.recipient + to)):08x}@{of.host}>"
    every = {
        "Received": f"by {of.host} (Simulator) id {of.queue_id};\r\n\t{_date(of)}",
        "Date": _date(of),
        "To": to,
        "Message-ID": name,
        **fields,
    }
    return _octets("".join(f"{key}: {value}\r\n" for key, value in every.items()))


def _subject(of: Returned) -> str:
    return header(of.mail, b"subject")[:500]


def _date(of: Returned) -> str:
    return formatdate(of.time, localtime=False).replace("-0000", "+0000")


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
