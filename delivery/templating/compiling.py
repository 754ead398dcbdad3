"""Prepared HTML and text → segments. Every variable learns here what surrounds it."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Iterator

from delivery.templating.compiled import Compiled, Filler
from delivery.templating.contexts import Context, OpenImage, Part, Slot, Url, crlf
from delivery.templating.html import Attribute, Tag, Text, tokens
from delivery.templating.problems import TemplateError
from delivery.templating.safety import URL_ATTRIBUTES, mask
from delivery.templating.variables import UNSUBSCRIBE_URL, split
from delivery.tokens import MAX_LINKS

# "v:" is Outlook's drawing language: its buttons are links of their own.
_LINKS = ("a", "area")
_URL_BEFORE = re.compile(r"https?://[^\s<>\"()]*\Z", re.IGNORECASE)
_OPAQUE = re.compile(r"(?:mailto|tel|sms):", re.IGNORECASE)
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_FOOTER = (
    '<div lang="{}" style="'
    'margin:24px 0 8px;text-align:center;font:12px/18px Arial,Helvetica,sans-serif;color:#6b7280">'
    '<a href="{{{{unsubscribe_url}}}}" style="color:#6b7280;text-decoration:underline">{}</a></div>'
)


def compile(
    html: str | None,
    text: str,
    *,
    batch: bool = False,
    unsubscribe: str = "Unsubscribe",
    language: str = "en",
) -> Compiled:
    """Cuts what `prepare` made of a template into segments.

    `html` is None for a plain-text template. With `batch`, a part that holds no `{{unsubscribe_url}}` gets a footer
    with the link, worded `unsubscribe` in `language` (BCP 47). Raises TemplateError where a variable stands in no place
    for one.
    """
    html, text = None if html is None else crlf(html), crlf(text)
    links: list[Url] = []
    filler = None
    if html is not None:
        if batch and not has_unsubscribe(html):
            html = insert_before_body_end(html, _FOOTER.format(language, entities.escape(unsubscribe)))
        filler = Filler(_html_parts(html, links))
    if batch and not has_unsubscribe(text):
        text = f"{text.rstrip()}\r\n\r\n{unsubscribe}: {{{{{UNSUBSCRIBE_URL}}}}}\r\n"
    return Compiled(filler, Filler(list(_text_parts(text))), tuple(links))


def insert_before_body_end(html: str, addition: str) -> str:
    """The HTML with `addition` as the last thing shown."""
    place = _body_end(html)
    return html[:place] + addition + html[place:]


def _body_end(html: str) -> int:
    ends = [token.start for token in tokens(html) if isinstance(token, Tag) and token.closing and token.name == "body"]
    return ends[-1] if ends else len(html)


def has_unsubscribe(source: str) -> bool:
    """Whether it says by itself where the link to unsubscribe stands."""
    return UNSUBSCRIBE_URL in split(source)[1::2]


def _text_parts(text: str) -> Iterator[Part]:
    tail = ""
    for number, piece in enumerate(split(text)):
        if number % 2 == 0:
            yield piece
            tail += piece
            continue
        # In the middle of a written-out address a value is encoded, lest a blank in it end the link.
        address = _URL_BEFORE.search(tail)
        if address is None or piece == UNSUBSCRIBE_URL:
            yield Slot(piece, Context.TEXT)
        else:
            yield Slot(piece, _place(address.group()))
        tail = tail[-2000:] if address is None else address.group() + "x"


def _html_parts(html: str, links: list[Url]) -> list[Part]:
    masked, mark = mask(html)
    parts: list[Part] = []
    body_end = _body_end(html)
    placed = False
    for token in tokens(masked):
        if token.start >= body_end and not placed:
            parts.append(OpenImage())
            placed = True
        if isinstance(token, Tag):
            parts += _tag_parts(html, masked, mark, token, links)
        else:
            if (
                isinstance(token, Text)
                and token.inside in ("style", "script")
                and mark in masked[token.start : token.end]
            ):
                raise _misplaced(f"<{token.inside}>")
            parts += _slots(html[token.start : token.end], Context.HTML)
    if not placed:
        parts.append(OpenImage())
    return parts


def _tag_parts(html: str, masked: str, mark: str, tag: Tag, links: list[Url]) -> Iterator[Part]:
    done = tag.start
    for attribute in tag.attributes:
        if mark in attribute.name or (
            attribute.name.startswith("on") and mark in masked[attribute.start : attribute.end]
        ):
            raise _misplaced(f"the tag <{tag.name}>")
        value = html[attribute.start : attribute.end]
        written = list(_value(value, tag, attribute, mark in masked[attribute.start : attribute.end], links))
        if not written:
            continue
        quoted = bool(attribute.quote)
        yield html[done : attribute.start - quoted] + '"'
        yield from written
        yield '"'
        done = attribute.end + quoted
    if mark in tag.name:
        raise _misplaced("the name of a tag")
    yield html[done : tag.end]


def _value(raw: str, tag: Tag, attribute: Attribute, varies: bool, links: list[Url]) -> Iterator[Part]:
    """What an attribute's value becomes; nothing when it stays as it is."""
    if attribute.name == "href" and not tag.closing and (tag.name in _LINKS or tag.name.startswith("v:")):
        url = _url(raw)
        if _tracked(url) and len(links) < MAX_LINKS:
            url = Url(url.target, len(links))
            links.append(url)
        if url.index >= 0 or varies:
            yield url
    elif varies and attribute.name in URL_ATTRIBUTES:
        yield _url(raw)
    elif varies:
        context = Context.STYLE if attribute.name == "style" else Context.ATTRIBUTE
        yield from _slots(raw.replace('"', "&quot;"), context)


def _url(raw: str) -> Url:
    target: list[str | Slot] = []
    so_far = ""
    for number, piece in enumerate(split(raw.strip())):
        if number % 2:
            target.append(Slot(piece, _place(so_far)))
        elif piece:
            target.append(entities.unescape(piece))
            so_far += piece
    return Url(tuple(target))


def _place(before: str) -> Context:
    if "?" in before or "#" in before:
        return Context.URL_QUERY
    return Context.URL_OPAQUE if _OPAQUE.match(before) else Context.URL_PATH


def _tracked(url: Url) -> bool:
    if not url.target or any(isinstance(part, Slot) and part.name == UNSUBSCRIBE_URL for part in url.target):
        return False
    first = url.target[0]
    return isinstance(first, Slot) or bool(_HTTP.match(first))


def _slots(source: str, context: Context) -> Iterator[Part]:
    for number, piece in enumerate(split(source)):
        yield Slot(piece, context) if number % 2 else piece


def _misplaced(where: str) -> TemplateError:
    return TemplateError.one("variable_place", f"A variable can't stand in {where}.")
