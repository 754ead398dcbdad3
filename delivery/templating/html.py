"""A tokenizer for HTML that knows where each thing stands in the source.

The parsers at hand (lexbor, html5ever, libxml2) give a tree and forget the places; naming the line of a fault and
knowing what surrounds a variable need them. It follows the tokenization of the HTML standard (§13.2.5) as far as
mail needs it, with one difference: the inside of a conditional comment (`<!--[if mso]>`) is tokenized as HTML,
since Outlook reads it so and buttons with links live there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = re.compile(r"[a-zA-Z][^ \t\n\f\r/>]*")
_GAP = re.compile(r"[ \t\n\f\r/]*")
_ATTRIBUTE_NAME = re.compile(r"[^ \t\n\f\r/>][^ \t\n\f\r/>=]*")
_EQUALS = re.compile(r"[ \t\n\f\r]*=[ \t\n\f\r]*")
_UNQUOTED = re.compile(r"[^ \t\n\f\r>]*")
_CONDITIONAL = re.compile(r"<!--\[if [^\]>]*\]>(?:<!-->|-->)?|<!\[endif\]-->", re.IGNORECASE)
_COMMENT_END = re.compile(r"--!?>")
RAW_TEXT = frozenset({"script", "style", "title", "textarea"})


@dataclass(frozen=True, slots=True)
class Attribute:
    """`name` is lower-cased; `start`, `end` span the raw value without its quotes."""

    name: str
    name_start: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A start or end tag. `complete` is False when the source ends inside it."""

    start: int
    end: int
    name: str
    closing: bool
    attributes: tuple[Attribute, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Text:
    """Character data. `inside` names the raw-text element (style, title, …) or is empty."""

    start: int
    end: int
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, a doctype, or one of the two ends of a conditional comment (`conditional`)."""

    start: int
    end: int
    conditional: bool = False


Token = Tag | Text | Comment


def tokens(source: str) -> Iterator[Token]:
    """The source cut into tokens without gap or overlap."""
    offset, size = 0, len(source)
    while offset < size:
        start = _markup(source, offset)
        if start > offset:
            yield Text(offset, start)
        if start >= size:
            return
        token = _token(source, start)
        yield token
        offset = token.end
        if isinstance(token, Tag) and not token.closing and token.complete and token.name in RAW_TEXT:
            end = re.compile(rf"</{token.name}(?=[ \t\n\f\r/>])", re.IGNORECASE).search(source, offset)
            stop = end.start() if end else size
            if stop > offset:
                yield Text(offset, stop, token.name)
            offset = stop


def _markup(source: str, offset: int) -> int:
    """Where the next tag or comment begins; the end of the source if none does."""
    while (offset := source.find("<", offset)) >= 0:
        following = source[offset + 1 : offset + 2]
        # "</" at the very end of the source is text.
        if following in ("!", "?") or (following == "/" and offset + 2 < len(source)):
            return offset
        if following.isascii() and following.isalpha():
            return offset
        offset += 1
    return len(source)


def _token(source: str, start: int) -> Token:
    conditional = _CONDITIONAL.match(source, start)
    if conditional:
        return Comment(start, conditional.end(), conditional=True)
    if source.startswith("<!--", start):
        # "<!-->" and "<!--->" are whole, empty comments.
        for empty in ("<!-->", "<!--->"):
            if source.startswith(empty, start):
                return Comment(start, start + len(empty))
        end = _COMMENT_END.search(source, start + 4)
        return Comment(start, end.end() if end else len(source))
    closing = source.startswith("</", start)
    name = _NAME.match(source, start + 1 + closing)
    if name is None:
        # <!doctype …>, <?xml …>, </ …>: comments to a browser.
        bogus = source.find(">", start)
        return Comment(start, bogus + 1 if bogus >= 0 else len(source))
    return _tag(source, start, name, closing)


def _tag(source: str, start: int, name: re.Match[str], closing: bool) -> Tag:
    attributes: list[Attribute] = []
    offset, size = name.end(), len(source)
    while True:
        offset = _end(_GAP, source, offset)
        if offset >= size:
            return Tag(start, size, name.group().lower(), closing, tuple(attributes), complete=False)
        if source[offset] == ">":
            return Tag(start, offset + 1, name.group().lower(), closing, tuple(attributes))
        name_start = offset
        offset = _end(_ATTRIBUTE_NAME, source, offset)
        attribute = source[name_start:offset].lower()
        equals = _EQUALS.match(source, offset)
        if equals is None:
            attributes.append(Attribute(attribute, name_start, offset, offset, ""))
            continue
        offset = equals.end()
        quote = source[offset : offset + 1]
        if quote and quote in "\"'":
            end = source.find(quote, offset + 1)
            if end < 0:
                attributes.append(Attribute(attribute, name_start, offset + 1, size, quote))
                offset = size
            else:
                attributes.append(Attribute(attribute, name_start, offset + 1, end, quote))
                offset = end + 1
        else:
            end = _end(_UNQUOTED, source, offset)
            attributes.append(Attribute(attribute, name_start, offset, end, ""))
            offset = end


def _end(pattern: re.Pattern[str], source: str, offset: int) -> int:
    match = pattern.match(source, offset)
    return match.end() if match else offset
