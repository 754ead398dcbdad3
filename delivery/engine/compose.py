"""From a compiled template and a recipient to the finished mail. Pure, and the hottest code beside signing.

`email.message` takes thirty times as long (1.2 ms for 5 KB); here the template was cut once, its literal pieces are
encoded already, and filling it is joining bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from delivery.engine import bodies, headers, quoted
from delivery.return_path import way_out
from delivery.templating import Compiled, Filler, fill_line
from delivery.tokens import Tokens

_TEXT = b"text/plain; charset=utf-8"
_HTML = b"text/html; charset=utf-8"
_ONE_CLICK = b"List-Unsubscribe=One-Click"
# Longer values may be better off in base64, which is decided for the part as a whole.
_LONG = 500


@dataclass(slots=True)
class Letter:
    """All that is particular to one mail.

    `subject` and `from_name` are sources, which may hold `{{name}}`, unless `filled` says that they were filled
    before: a value that looks like a variable is then left alone. `to_field` are the addresses of a regular mail
    that names all its recipients; by default only `recipient` stands in To. `list_id` is `label.domain`,
    `public_url` `https://host` without a slash at the end, or empty to leave out links of our own.
    """

    message_id: int
    from_address: str
    recipient: str
    subject: str
    from_name: str = ""
    to_field: Sequence[str] | None = None
    reply_to: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    batch: bool = False
    list_id: str = ""
    feedback_id: str = ""
    public_url: str = ""
    track_clicks: bool = True
    track_opens: bool = True
    filled: bool = False


@dataclass(slots=True)
class Composed:
    """A mail, ready to be signed. Values may be folded (CRLF and a blank); the body ends in CRLF."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    smtputf8: bool
    # The body as DKIM signs it (RFC 6376 §3.4.4), or None: that has to be found out.
    relaxed: bytes | None = None
    # No line begins with a dot, and each ends in CRLF: known, and need not be looked for again.
    plain: bool = False

    def as_bytes(self, signature: bytes = b"") -> bytes:
        """The whole mail. `signature`: complete header lines that go before the others."""
        lines = [name + b": " + value + b"\r\n" for name, value in self.headers]
        return b"".join([signature, *lines, b"\r\n", self.body])


@dataclass(slots=True)
class Filled:
    """A body part of one mail: the name of its encoding, the encoded bytes, and as `Composed` has them."""

    encoding: bytes
    body: bytes
    relaxed: bytes | None
    plain: bool


class Part:
    """A body part of a version: in pieces that are encoded, or as text to be encoded as a whole."""

    def __init__(self, filler: Filler) -> None:
        self._filler = filler
        literals = [part if isinstance(part, str) else "" for part in filler.parts]
        # Written out in another script than ours it is shorter in base64, which knows no pieces.
        self._in_pieces = not bodies.is_dense("".join(literals))
        self._pieces = [quoted.piece(text) for text in literals]
        relaxed = [quoted.relaxed(piece) for piece in self._pieces]
        self._relaxed = None if relaxed == self._pieces else relaxed
        self._holes = [place for place, part in enumerate(filler.parts) if not isinstance(part, str)]

    def fill(
        self,
        values: Mapping[str, object],
        unsubscribe: str,
        click: Callable[[int], str] | None = None,
        open_url: str = "",
    ) -> Filled:
        """The part for one recipient."""
        filler = self._filler
        if not self._in_pieces or any(isinstance(text, str) and len(text) > _LONG for text in values.values()):
            encoding, body = bodies.encode(filler.fill(values, unsubscribe, click, open_url))
            return Filled(encoding, body, None, False)
        out = self._pieces.copy()
        filler.fill_into(out, quoted.value, values, unsubscribe, click, open_url)
        body = _ended(out)
        if self._relaxed is None:
            return Filled(bodies.QUOTED, body, body, True)
        relaxed = self._relaxed.copy()
        for place in self._holes:
            relaxed[place] = out[place]
        return Filled(bodies.QUOTED, body, _ended(relaxed), True)


def _ended(pieces: list[bytes]) -> bytes:
    """Joined, with a line end of its own at the end."""
    body = b"".join(pieces)
    if body.endswith(b"\r\n" + quoted.SOFT):
        return body[: -len(quoted.SOFT)]
    return body if body.endswith(b"\r\n") and not body.endswith(quoted.SOFT) else body + b"\r\n"


class Composer:
    """Makes the mails of one template version. Holds no recipient; share it between threads."""

    def __init__(self, compiled: Compiled, tokens: Tokens, version_id: int) -> None:
        self._text = Part(compiled.text)
        self._html = Part(compiled.html) if compiled.html else None
        self._tokens = tokens
        self._version_id = version_id

    def compose(self, letter: Letter, now: float) -> Composed:
        """The mail of `letter` at `now`, seconds since the epoch. Raises headers.BadAddress."""
        message_id, public = letter.message_id, letter.public_url
        unsubscribe = f"{public}/u/{self._tokens.unsubscribe(message_id)}" if public else ""
        fields = self._fields(letter, now, unsubscribe)
        text = self._text.fill(letter.values, unsubscribe)
        if self._html is None:
            fields += [(b"Content-Type", _TEXT), (b"Content-Transfer-Encoding", text.encoding)]
            # Empty lines at its end are not signed, so what is signed of it has to be found out.
            return Composed(fields, text.body, _smtputf8(letter, fields), None, text.plain)
        click, open_url = None, ""
        if public and letter.track_clicks:
            start, make, version_id = escape(f"{public}/c/"), self._tokens.click, self._version_id

            def click(index: int) -> str:
                return start + make(message_id, index, version_id)

        if public and letter.track_opens:
            open_url = escape(f"{public}/o/{self._tokens.open(message_id)}.gif")
        html = self._html.fill(letter.values, unsubscribe, click, open_url)
        # "=_" can be in neither encoding (RFC 2045 §6.7), so no text can end its part.
        boundary = b"=_%x" % message_id
        fields.append((b"Content-Type", b'multipart/alternative; boundary="%s"' % boundary))
        between = (
            b"--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (boundary, _TEXT, text.encoding),
            b"\r\n--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (boundary, _HTML, html.encoding),
            b"\r\n--%s--\r\n" % boundary,
        )
        body = b"".join([between[0], text.body, between[1], html.body, between[2]])
        relaxed = None
        if text.relaxed is text.body and html.relaxed is html.body:
            relaxed = body
        elif text.relaxed is not None and html.relaxed is not None:
            relaxed = b"".join([between[0], text.relaxed, between[1], html.relaxed, between[2]])
        return Composed(fields, body, _smtputf8(letter, fields), relaxed, text.plain and html.plain)

    def _fields(self, letter: Letter, now: float, unsubscribe: str) -> list[tuple[bytes, bytes]]:
        values = letter.values
        sender = headers.address(letter.from_address)
        name, subject = letter.from_name, letter.subject
        if not letter.filled:
            name, subject = fill_line(name, values), fill_line(subject, values)
        domain = sender.rpartition("@")[2]
        recipients = letter.to_field or [letter.recipient]
        fields = [
            (b"From", headers.mailbox(name, letter.from_address)),
            (b"To", headers.address_list(recipients)),
            (b"Subject", headers.unstructured(subject)),
            (b"Date", headers.date(int(now))),
            (b"Message-ID", b"<%d@%s>" % (letter.message_id, domain.encode("ascii"))),
        ]
        if letter.reply_to:
            fields.append((b"Reply-To", headers.address_list([letter.reply_to], used=10)))
        if letter.batch:
            if unsubscribe:
                # Both ways (RFC 2369), the quicker one first; only that can be one-click (RFC 8058 §3.1).
                by_mail = f"mailto:{way_out(unsubscribe.rpartition('/')[2], domain)}?subject=unsubscribe"
                ways = headers.token(unsubscribe, 900), headers.token(by_mail, 900)
                fields.append((b"List-Unsubscribe", b"<%s>,\r\n <%s>" % ways))
                fields.append((b"List-Unsubscribe-Post", _ONE_CLICK))
            if letter.list_id:
                fields.append((b"List-Id", b"<%s>" % headers.token(letter.list_id)))
        if letter.feedback_id:
            fields.append((b"Feedback-ID", headers.token(letter.feedback_id)))
        fields.append((b"MIME-Version", b"1.0"))
        return fields


def _smtputf8(letter: Letter, fields: list[tuple[bytes, bytes]]) -> bool:
    # Only local parts are left unencoded, so only addresses can make it true (RFC 6531).
    return not (letter.recipient.rpartition("@")[0].isascii() and all(value.isascii() for _, value in fields))
