"""Mail taken apart within bounds: what is too long is cut, what is too deep is not entered, nothing raises.

Not the email package: it builds a tree of whatever it is given, and a mail of a megabyte can hold 10,000 nested parts
or a million headers. Returned mail is also often broken in ways that a strict reader ends at: parts without headers,
boundaries that nobody announced, mail in which only the first line is missing.
"""

from __future__ import annotations

import binascii
import codecs
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from itertools import islice
from typing import Final

SIZE_MAX: Final = 2**20  # bytes of a mail that are looked at
HEAD_MAX: Final = 2**16  # bytes of one block of headers
HEADERS_MAX: Final = 300  # of one block
VALUE_MAX: Final = 2000  # characters of one header's value
TEXT_MAX: Final = 2**17  # bytes of a part that are decoded
PARTS_MAX: Final = 60
DEPTH_MAX: Final = 8

_END_OF_HEAD = re.compile(rb"\r?\n[ \t]*\r?\n|\A\r?\n")
_HEADER = re.compile(r"([!-9;-~]{1,80})[ \t]*:[ \t]*([^\0]*)", re.DOTALL)
_HEADER_LIKE = re.compile(rb"(?:>?From [^\n]*\n)?[!-9;-~]{1,80}[ \t]*:")
_FOLD = re.compile(r"\r?\n[ \t]+")
_PARAMETER = re.compile(r';\s*([\w-]{1,40})\s*=\s*(?:"([^"]{0,200})"|([^\s;"]{0,200}))')
_FIRST_DELIMITER = re.compile(rb"^--(\S{4,100})[ \t]*\r?$", re.MULTILINE)
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f\ufeff\u200b-\u200f\u2028\u2029\ud800-\udfff]")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_UNSEEN: Final = (("<style", "</style>"), ("<script", "</script>"), ("<!--", "-->"))
_BREAK = re.compile(r"<(?:br|/?p|/?div|/?tr|/?li|/?h\d|/?table|/?pre|/?ul)\b[^<>]{0,2000}>", re.IGNORECASE)
_TAG = re.compile(r"<(?![^<>\s=\"]{1,100}@)/?[a-zA-Z!][^<>]{0,2000}>")  # not <name@example.com>
# Decoders that take more than linear time, or do something else than decode.
_NOT_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)


class Headers:
    """Names in lower case with their values, unfolded, in their order."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields = tuple(fields)

    def get(self, name: str) -> str:
        """The first value, "" where there is none."""
        return next((value for key, value in self.fields if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def text(self, name: str) -> str:
        """The first value with its encoded words decoded (RFC 2047)."""
        return decoded_words(self.get(name))

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields)

    def __bool__(self) -> bool:
        return bool(self.fields)


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf: a text, a report, a picture."""

    type: str  # "text/plain", lower case
    charset: str
    encoding: str  # Content-Transfer-Encoding
    body: bytes
    level: int  # 0: of the mail itself; 1: of a mail embedded in it; and so on

    def text(self) -> str:
        """What it says, at most TEXT_MAX characters, lines ended by "\\n", HTML without its tags."""
        found = decoded(_transfer_decoded(self.body[: 2 * TEXT_MAX], self.encoding)[:TEXT_MAX], self.charset)
        return without_tags(found) if self.type == "text/html" else found


@dataclass(frozen=True, slots=True)
class Mail:
    """Headers, leaves in their order, and the headers of mails embedded in it, the outermost first."""

    headers: Headers
    type: str
    parameters: dict[str, str]
    parts: tuple[Part, ...]
    embedded: tuple[Headers, ...]


def parse(raw: bytes) -> Mail:
    """The mail; only its first SIZE_MAX bytes are looked at."""
    raw = raw[:SIZE_MAX].removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if b"\r" in raw[:HEAD_MAX] and b"\n" not in raw[:HEAD_MAX]:
        raw = raw.replace(b"\r", b"\n")  # line ends of old Macintosh
    headers, body = split(raw)
    parts: list[Part] = []
    embedded: list[Headers] = []
    content, parameters = _content_type(headers)
    _take_apart(headers, body, parts, embedded, 0, 0)
    return Mail(headers, content, parameters, tuple(parts), tuple(embedded))


def split(raw: bytes) -> tuple[Headers, bytes]:
    """Headers and body. What does not begin with a header has none."""
    if raw.startswith((b"\n", b"\r\n")):
        return Headers(), raw.lstrip(b"\r\n")
    if not _HEADER_LIKE.match(raw):
        return Headers(), raw
    end = _END_OF_HEAD.search(raw, 0, HEAD_MAX)
    head, body = (raw[: end.start()], raw[end.end() :]) if end else (raw[:HEAD_MAX], raw[HEAD_MAX:])
    return read_headers(decoded(head, "utf-8")), body


def read_headers(text: str) -> Headers:
    """Fields of a block of headers, or of one group of a delivery report. Lines that are none are passed over."""
    found = []
    for line in islice(_lines(_FOLD.sub(" ", text)), HEADERS_MAX):
        if match := _HEADER.match(line):
            found.append((match[1].lower(), match[2].strip()[:VALUE_MAX]))
    return Headers(found)


def _lines(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text[at:end]
        at = end + 1


def _content_type(headers: Headers) -> tuple[str, dict[str, str]]:
    value = headers.get("content-type")
    content = value.partition(";")[0].strip().lower()[:80]
    found = {match[1].lower(): match[2] or match[3] or "" for match in islice(_PARAMETER.finditer(value), 20)}
    return content if "/" in content else "text/plain", found


def _take_apart(
    headers: Headers, body: bytes, parts: list[Part], embedded: list[Headers], level: int, depth: int
) -> None:
    content, parameters = _content_type(headers)
    encoding = headers.get("content-transfer-encoding").strip().lower()
    if len(parts) + len(embedded) >= PARTS_MAX:
        return
    if depth < DEPTH_MAX:
        if content.startswith("multipart/") or (not depth and _headless(headers, body)):
            pieces = list(_pieces(body, parameters.get("boundary", "").encode("utf-8", "replace")))
            for piece in pieces:
                _take_apart(*split(piece), parts, embedded, level, depth + 1)
            if pieces:
                return
            content = "text/plain"
        elif content in ("message/rfc822", "message/global"):
            inner, rest = split(_transfer_decoded(body, encoding).lstrip(b"\r\n"))
            if inner:
                embedded.append(inner)
            _take_apart(inner, rest, parts, embedded, level + 1, depth + 1)
            return
        elif content in ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers"):
            embedded.append(split(_transfer_decoded(body[:HEAD_MAX], encoding).lstrip(b"\r\n"))[0])
            return
    parts.append(Part(content, parameters.get("charset", ""), encoding, body, level))


def _headless(headers: Headers, body: bytes) -> bool:
    """Parts, but no header that says so: it was lost on the way."""
    if "content-type" in headers or not (first := _FIRST_DELIMITER.search(body, 0, 2000)):
        return False
    before, after = body[: first.start()].lower(), body[first.start() : first.start() + 4000].lower()
    # Below the copy of a mail, whose headers are part of what is said, the parts are that mail's.
    return b"\ncontent-type:" in after and b"\ncontent-type:" not in before


def _pieces(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """What stands between the delimiters; with a boundary that is not the announced one, between those found."""
    boundary = boundary.rstrip()
    if not boundary or b"--" + boundary not in body:
        first = _FIRST_DELIMITER.search(body, 0, TEXT_MAX)
        if first is None:
            return
        boundary = first[1].rstrip()
    delimiter = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\r?\Z)", re.MULTILINE)
    start = None
    for match in islice(delimiter.finditer(body), PARTS_MAX + 1):
        if start is not None:
            yield body[start : match.start()]
        start = None if match[1] else match.end()
        if match[1]:
            return
    if start is not None:  # cut off before its end, or no end was written
        yield body[start:]


def _transfer_decoded(body: bytes, encoding: str) -> bytes:
    try:
        if encoding == "base64":
            found = _NOT_BASE64.sub(b"", body)
            return binascii.a2b_base64(found[: len(found) & ~3] + b"==" if len(found) & 3 else found)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
    except binascii.Error:
        pass
    return body


def decoded(body: bytes, charset: str) -> str:
    """Text in this character set, or as UTF-8, or as Latin-1; without control characters, lines ended by "\\n"."""
    charset = charset.strip().lower()
    if b"\x1b$" in body and charset in ("", "us-ascii", "utf-8"):
        charset = "iso-2022-jp"
    for name in (charset, "utf-8"):
        try:
            if name and (found := codecs.lookup(name).name) not in _NOT_CHARSETS:
                # What is declared is often not what it is; of these two it shows.
                return _clean(body.decode(found, "strict" if found in ("ascii", "utf-8") else "replace"))
        except (LookupError, ValueError):
            continue
    return _clean(body.decode("latin-1"))


def _clean(text: str) -> str:
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""))


def decoded_words(value: str) -> str:
    """A header's value with its encoded words decoded (RFC 2047), as far as they can be."""
    if "=?" not in value:
        return value
    try:
        pairs = decode_header(value[:VALUE_MAX])
    except (HeaderParseError, ValueError):
        return value
    return "".join(text if isinstance(text, str) else decoded(text, charset or "utf-8") for text, charset in pairs)


def without_tags(text: str) -> str:
    """HTML as lines of text, without links, pictures, styles and scripts."""
    text = text.replace("\n", " ")
    for start, end in _UNSEEN:
        text = _without(text, start, end)
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", text)))


def _without(text: str, start: str, end: str) -> str:
    # by hand: an expression takes quadratic time where many begin and none ends
    kept, at, lower = [], 0, text.lower()
    if len(lower) != len(text):  # "İ" has two characters in lower case
        return text
    while (first := lower.find(start, at)) >= 0 and (last := lower.find(end, first)) >= 0:
        kept.append(text[at:first])
        at = last + len(end)
    return " ".join([*kept, text[at:]])
