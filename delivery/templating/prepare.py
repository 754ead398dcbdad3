"""What is done to a template once per version: style sheets inlined, the plain-text alternative made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import escape

import css_inline
import lxml.html  # type: ignore[import-untyped]
from inscriptis import Inscriptis
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.model.config import ParserConfig

from delivery.templating.html import Tag, tokens
from delivery.templating.problems import TemplateError
from delivery.templating.safety import MAX_BYTES, Kind, refuse_problems
from delivery.templating.variables import VARIABLE, variables

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]{1,40})", re.IGNORECASE)
_META_CHARSET_TEXT = re.compile(r"(<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*)[a-zA-Z0-9_:.-]{1,40}", re.IGNORECASE)
_HIDDEN = '<div style="display:none;max-height:0;max-width:0;overflow:hidden;mso-hide:all;font-size:1px">{}</div>'


@dataclass(frozen=True, slots=True)
class Prepared:
    """A template version as it is kept. `html` is None for a plain-text template."""

    html: str | None
    text: str
    variables: tuple[str, ...]


def prepare(source: str, kind: Kind, summary: str = "") -> Prepared:
    """Checks and prepares a template of `kind` "html" or "text"; raises TemplateError with every problem found.

    `summary` is what inboxes show beside the subject: put, unseen, before everything else; it may hold variables.
    """
    refuse_problems(source, kind)
    refuse_problems(summary, "header")
    names = tuple(variables(f"{source}\n{summary}" if kind == "html" else source))
    if kind != "html":
        return Prepared(None, source, names)
    guarded = _Guard(source)
    try:
        html = css_inline.inline(guarded.text, load_remote_stylesheets=False, keep_style_tags=True, keep_at_rules=True)
    except css_inline.InlineError as error:
        raise TemplateError.one("css", f"The style sheet can't be read: {error}. Mend it or remove it.") from error
    # The mail says UTF-8; readers that look into the page as well must find the same.
    html = _META_CHARSET_TEXT.sub(r"\1utf-8", html)
    text = _plain_text(html)
    html = guarded.restore(html)
    if not re.match(r"\s*<!doctype", html, re.IGNORECASE):
        html = f"<!DOCTYPE html>\n{html}"
    if summary.strip():
        html = _after_body_start(html, _HIDDEN.format(escape(summary.strip())))
    # Once more over what will be sent: parsing and writing out again is where hidden markup comes to light.
    refuse_problems(html, "html")
    return Prepared(html, guarded.restore(text), names)


def read_upload(data: bytes) -> str:
    """The text of an uploaded template: UTF-8, UTF-16 with its mark, or the charset that its <meta> names.

    Raises TemplateError for more than 1 MB and for what is no text.
    """
    if len(data) > MAX_BYTES:
        size = math.ceil(len(data) / 2**20 * 10) / 10  # never "1.0 MB; at most 1 MB"
        raise TemplateError.one("too_big", f"The file has {size:.1f} MB; a template has at most 1 MB.")
    for mark, charset in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return _decoded(data, charset)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        named = _META_CHARSET.search(data[:4096])
        if b"\0" in data or named is None:
            raise _no_text() from None
        return _decoded(data, named.group(1).decode("ascii"))


def _decoded(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except (UnicodeDecodeError, LookupError, ValueError):
        raise _no_text() from None


def _no_text() -> TemplateError:
    return TemplateError.one("binary", "The file is no text in UTF-8. Save it as UTF-8 and upload it again.")


class _Guard:
    """Variables as plain words while other parsers are at work: words survive in text, attributes and styles."""

    def __init__(self, source: str) -> None:
        self._stem = "phv"
        while self._stem in source:
            self._stem += "v"
        self._names: dict[str, int] = {}
        self.text = VARIABLE.sub(self._word, source)

    def _word(self, match: re.Match[str]) -> str:
        number = self._names.setdefault(match.group(1), len(self._names))
        return f"{self._stem}{number}x"

    def restore(self, text: str) -> str:
        """The words back to `{{name}}`."""
        names = list(self._names)
        return re.sub(rf"{self._stem}([0-9]+)x", lambda match: f"{{{{{names[int(match.group(1))]}}}}}", text)


def _plain_text(html: str) -> str:
    """The plain-text alternative: inscriptis' layout, with each link's address behind its words."""
    try:
        tree = lxml.html.document_fromstring(html)
    except (lxml.etree.ParserError, ValueError):
        return "\n"
    for link in tree.iter("a"):
        href = (link.get("href") or "").strip()
        label = " ".join(link.text_content().split())
        address = href.removeprefix("mailto:").removeprefix("tel:")
        if not href or href.startswith("#") or address.rstrip("/") in (label, label.rstrip("/")):
            continue
        if not label:
            label = " ".join(image.get("alt") or "" for image in link.iter("img")).strip()
            link.text = label
        _append(link, f" ({address})" if label else address)
    text = Inscriptis(tree, ParserConfig(css=CSS_PROFILES["strict"])).get_text()
    if not text.strip():
        text = Inscriptis(tree, ParserConfig(css=CSS_PROFILES["strict"], display_images=True)).get_text()
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


def _append(element: lxml.html.HtmlElement, text: str) -> None:
    if len(element):
        last = element[-1]
        last.tail = (last.tail or "").rstrip() + text
    else:
        element.text = (element.text or "").rstrip() + text


def _after_body_start(html: str, addition: str) -> str:
    starts = [token for token in tokens(html) if isinstance(token, Tag) and token.name == "body" and not token.closing]
    place = starts[0].end if starts else 0
    return html[:place] + addition + html[place:]
