"""What in a mail may be ours: signed tokens and Message-IDs. Candidates, for who has the keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from tracking.feedback.reading.mime import SIZE_MAX, Headers, Mail

FOUND_MAX: Final = 20
# A return path may come back wrapped (SRS0=…=b+TOKEN@, prvs=…=b+TOKEN@), quoted (b=2BTOKEN) and in capitals.
_BOUNCE = re.compile(rb"(?<![A-Za-z0-9])[bB](?:\+|=2[bB]|%2[bB])([A-Za-z2-7]{32})(?![A-Za-z0-9])")
_ENVELOPE_ID = re.compile(r"[a-z2-7]{32}", re.IGNORECASE)
_LINK = re.compile(
    rb"(?:/|%2[Ff])u(?:/|%2[Ff])([A-Za-z0-9_-]{24})(?![\w-])|(?<![A-Za-z0-9])u(?:\+|=2[Bb]|%2[Bb])([A-Za-z0-9_-]{24})@"
)
_SOFT_BREAK = re.compile(rb"=(?:\r?\n|\r)")
_TEXTS_MAX: Final = 20
_MESSAGE_ID = re.compile(r"<?([^\s<>]{3,250})>?")


def tokens(envelope_to: str, report: Headers, raw: bytes) -> tuple[str, ...]:
    """Of return paths: the address that the mail was sent to, the envelope id of a report (RFC 3461 §4.4), anywhere."""
    envelope_id = report.get("original-envelope-id")
    known = [envelope_id] if _ENVELOPE_ID.fullmatch(envelope_id) else []
    first = _found(_BOUNCE, envelope_to.encode("utf-8", "replace"))
    return _few([*first, *known, *_found(_BOUNCE, _joined(raw))])


def links(envelope_to: str, mail: Mail, raw: bytes) -> tuple[str, ...]:
    """Of unsubscribe links and addresses, also where a transfer encoding hides them."""
    first = _found(_LINK, envelope_to.encode("utf-8", "replace"))
    found = _few([*first, *_found(_LINK, _joined(raw))])
    if found:
        return found
    hidden = [part for part in mail.parts if part.level and part.encoding == "base64" and part.type.startswith("text/")]
    return _few(token for part in hidden[:_TEXTS_MAX] for token in _found(_LINK, part.text().encode()))


def message_ids(mail: Mail, quoted: Headers) -> tuple[str, ...]:
    """Of the mail that was returned; then of what this mail says that it answers."""
    values = [headers.get("message-id") for headers in (*mail.embedded, quoted)]
    values += [mail.headers.get("in-reply-to"), mail.headers.get("references").rpartition(" ")[2]]
    return _few(match[1] for match in map(_MESSAGE_ID.match, values) if match)


def _joined(raw: bytes) -> bytes:
    return _SOFT_BREAK.sub(b"", raw[:SIZE_MAX])


def _found(pattern: re.Pattern[bytes], raw: bytes) -> Iterator[str]:
    for match in islice(pattern.finditer(raw), 5 * FOUND_MAX):
        yield next(group for group in match.groups() if group).decode("ascii")


def _few(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(found), FOUND_MAX))
