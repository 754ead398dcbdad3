"""Header fields as bytes, safe whatever the values hold (RFC 5322, 2047, 6532). Pure.

A value becomes one field and nothing else: control characters are gone before anything is encoded, addresses are
taken apart and quoted, and folds are only ever made here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache

import idna

from delivery.templating.contexts import header as without_controls

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\\\]]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]")
_TOKEN = re.compile(r"[^!-~]|[<>]")
LINE = 76  # RFC 2047 §2 for lines with encoded-words; RFC 5322 would like 78


class BadAddress(ValueError):
    """An address that can't stand in a header or a command: not one local part and one domain."""


@lru_cache(maxsize=4096)
def address(text: str) -> str:
    """An address as it may stand in a header: the domain as A-labels, misplaced dots in quotes.

    Dots at the ends or in a row are against RFC 5322 and yet in use (docomo.ne.jp). Raises BadAddress. A local part
    that is not ASCII stays so (RFC 6531), which the caller has to see to.
    """
    local, at, domain = text.rpartition("@")
    if not at or not local or without_controls(text) != text:
        raise BadAddress(f"no address: {text[:80]!r}")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError as error:
            raise BadAddress(f"no domain: {domain[:80]!r}") from error
    if not _DOMAIN.fullmatch(domain):
        raise BadAddress(f"no domain: {domain[:80]!r}")
    if _LOCAL.fullmatch(local):
        if local[0] == "." or local[-1] == "." or ".." in local:
            local = _quoted(local)
    elif not _QUOTED.fullmatch(local):
        raise BadAddress(f"no local part: {local[:80]!r}")
    return f"{local}@{domain}"


@lru_cache(maxsize=1024)
def mailbox(name: str, text: str) -> bytes:
    """`Name <address>`, for From."""
    spec = address(text).encode()
    name = without_controls(name).strip()
    if not name:
        return spec
    if name.isascii() and "=?" not in name and len(name) <= 60:
        shown = name if _ATOMS.fullmatch(name) and "  " not in name else _quoted(name)
        start = shown.encode()
    else:
        start = encoded_words(name, 6)
    last = len(start) - start.rfind(b"\n") + (0 if b"\n" in start else 6)
    return start + (b" <" if last + len(spec) + 3 <= LINE else b"\r\n <") + spec + b">"


def address_list(texts: Sequence[str], used: int = 4) -> bytes:
    """Addresses with commas between, folded after a comma. `used` columns of the first line are taken."""
    lines = [""]
    for number, text in enumerate(texts):
        spec = address(text) + ("," if number < len(texts) - 1 else "")
        if lines[-1] and used + len(lines[-1]) + 1 + len(spec) > LINE:
            lines.append("")
            used = 1
        lines[-1] += f" {spec}" if lines[-1] else spec
    return "\r\n ".join(lines).encode()


@lru_cache(maxsize=1024)
def unstructured(text: str, used: int = 9) -> bytes:
    """Free text, for Subject: folded at blanks, as encoded-words where it is not ASCII. `used` as above."""
    text = without_controls(text).strip()
    if not text.isascii() or "=?" in text:
        return encoded_words(text, used)
    if used + len(text) <= LINE:
        return text.encode()
    # A fold may stand before a blank that is followed by a word; the blank itself stays as part of the text.
    words = re.findall(r" *[^ ]+", text)
    if max(map(len, words)) > LINE:
        return encoded_words(text, used)
    lines = [""]
    for word in words:
        if lines[-1] and used + len(lines[-1]) + len(word) > LINE:
            lines.append("")
            used = 0
        lines[-1] += word
    return "\r\n".join(lines).encode()


def encoded_words(text: str, used: int) -> bytes:
    """`=?utf-8?B?…?=` words of at most 75 characters, one a line, never splitting a character (RFC 2047 §5)."""
    data = text.encode("utf-8", "replace")
    words = []
    start = 0
    room = LINE - max(used, 1)
    while start < len(data):
        end = min(len(data), start + max(room - 12, 8) // 4 * 3)
        # Back to the start of a character: 10xxxxxx bytes continue one.
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        words.append(b"=?utf-8?B?" + b64encode(data[start:end]) + b"?=")
        start = end
        room = LINE - 1
    return b"\r\n ".join(words)


def token(text: str, limit: int = 200) -> bytes:
    """Machine-read text (List-Id, Feedback-ID, a URL): printable ASCII without blanks and angle brackets."""
    return _TOKEN.sub("", text)[:limit].encode("ascii")


@lru_cache(maxsize=64)
def date(now: int) -> bytes:
    """Date of a second since the epoch, in UTC."""
    return formatdate(now).replace("-0000", "+0000").encode("ascii")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
