"""A mail as it came over the wire: dot-stuffing, what a strict server finds wrong, and the headers that name it.

Pure; what stands here is done for every mail, so nothing of it may be slow.
"""

from __future__ import annotations

from delivery.simulator.behaviour import Answer

MAX_LINE = 1_000  # octets of a text line with its CRLF (RFC 5321 §4.5.3.1.6)


def unstuffed(body: bytes) -> bytes:
    """The body without the dots that the client put before dots (RFC 5321 §4.5.2)."""
    if body.startswith(b"."):
        body = body[1:]
    return body.replace(b"\r\n.", b"\r\n") if b"\r\n." in body else body


def fault(body: bytes, eight_bit: bool) -> Answer | None:
    """What a strict server refuses a mail for, None where it is well-formed. `eight_bit`: BODY=8BITMIME was given."""
    ends = body.count(b"\r\n")
    if body.count(b"\n") != ends or body.count(b"\r") != ends:
        return Answer(550, "5.5.2", "Bare CR or LF in the message")
    if not eight_bit and not body.isascii():
        return Answer(554, "5.6.1", "8-bit message without BODY=8BITMIME")
    # Hop from line end to line end, a thousand octets at a time.
    at, size = 0, len(body)
    while size - at > MAX_LINE:
        end = body.rfind(b"\n", at, at + MAX_LINE)
        if end < 0:
            return Answer(554, "5.6.0", "Line of the message too long")
        at = end + 1
    return None


def identity(body: bytes) -> tuple[str, str]:
    """The values of Message-ID and X-Number, "" where there is none."""
    end = body.find(b"\r\n\r\n")
    head = b"\n" + (body if end < 0 else body[: end + 2])
    # Not a pattern without regard to case: that would take longer than all the rest.
    lower = head.lower()
    return _header(head, lower, b"\nmessage-id:"), _header(head, lower, b"\nx-number:")


def _header(head: bytes, lower: bytes, name: bytes) -> str:
    at = lower.find(name)
    if at < 0:
        return ""
    at += len(name)
    end = head.find(b"\n", at)
    while end >= 0 and head[end + 1 : end + 2] in (b" ", b"\t"):
        end = head.find(b"\n", end + 1)
    value = head[at:] if end < 0 else head[at:end]
    return " ".join(value.decode("utf-8", "surrogateescape").split())
