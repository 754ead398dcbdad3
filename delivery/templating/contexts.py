"""How a value is written where it stands, so that it can never become markup, a script or another link."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

Values = Mapping[str, object]

DROPPED = "#"
_SAFE_START = re.compile(r"https?://|mailto:", re.IGNORECASE)
_RESERVED = "%/:?#[]@!$&'()*+,;=~"
_NOT_STYLE = re.compile(r"[^A-Za-z0-9#%., -]")
# Line ends, C0 and C1 controls, Unicode's own line ends, and halves of surrogate pairs.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Context(StrEnum):
    HTML = "html"
    ATTRIBUTE = "attribute"
    STYLE = "style"
    TEXT = "text"
    URL_PATH = "url path"
    URL_QUERY = "url query"
    URL_OPAQUE = "url opaque"


@dataclass(frozen=True, slots=True)
class Slot:
    """A variable and where it stands."""

    name: str
    context: Context


@dataclass(frozen=True, slots=True)
class Url:
    """The value of an address attribute. `index` numbers the links that are click-tracked; others have -1."""

    target: tuple[str | Slot, ...]
    index: int = -1


@dataclass(frozen=True, slots=True)
class OpenImage:
    """The place of the open image."""


Part = str | Slot | Url | OpenImage


def as_text(value: object) -> str:
    """A value as it came from a list or from JSON; null is nothing."""
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def crlf(text: str) -> str:
    """Every line end as CRLF: a bare CR or LF must never leave us (RFC 5321 §2.3.8)."""
    if "\n" in text or "\r" in text:
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    return text


def html_text(value: str) -> str:
    """For HTML between tags and in quoted attributes alike."""
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return crlf(escaped.replace('"', "&quot;").replace("'", "&#39;"))


def style(value: str) -> str:
    """A colour, a number, a font name; whatever could end the property or call a function goes."""
    return _NOT_STYLE.sub("", value)


def url_path(value: str) -> str:
    """Inside an address, before any "?"; slashes stay."""
    return quote(value, safe="/", errors="replace")


def url_query(value: str) -> str:
    """Inside an address, after "?" or "#"."""
    return quote(value, safe="", errors="replace")


def url_opaque(value: str) -> str:
    """After "mailto:" or "tel:"."""
    return quote(value, safe="@+", errors="replace")


def url_whole(value: str) -> str:
    """An address that begins with this value: http, https or mailto, or nothing at all (`DROPPED`)."""
    value = value.strip()
    return quote(value, safe=_RESERVED, errors="replace") if _SAFE_START.match(value) else DROPPED


def header(value: str) -> str:
    """One line: a value can't add a header, whatever it holds."""
    return _CONTROLS.sub(" ", value)


ESCAPES: dict[Context, Callable[[str], str]] = {
    Context.HTML: html_text,
    Context.ATTRIBUTE: html_text,
    Context.STYLE: style,
    Context.TEXT: crlf,
    Context.URL_PATH: url_path,
    Context.URL_QUERY: url_query,
    Context.URL_OPAQUE: url_opaque,
}


def resolve(target: tuple[str | Slot, ...], values: Values) -> str:
    """The address itself, not yet escaped for HTML."""
    out = []
    for number, part in enumerate(target):
        if isinstance(part, str):
            out.append(part)
            continue
        value = as_text(values.get(part.name))
        if number:
            out.append(ESCAPES[part.context](value))
            continue
        start = url_whole(value)
        if start == DROPPED:
            return DROPPED
        out.append(start)
    return "".join(out)
