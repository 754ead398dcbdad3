"""Whether a template may be used: syntax, size, and nothing in it that runs.

JavaScript is looked for twice. First by our own tokenizer, which can name the place; then in lexbor's tree, which
sees what browsers see, so that nothing slips through a difference between the two.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from typing import Literal

from selectolax.lexbor import LexborHTMLParser, LexborNode

from delivery.templating.html import Attribute, Comment, Tag, Text, tokens
from delivery.templating.problems import Problem, TemplateError, position, shown
from delivery.templating.variables import MAX_PROBLEMS, UNSUBSCRIBE_URL, VARIABLE, syntax_problems

Kind = Literal["html", "text", "header"]

MAX_BYTES = 1024 * 1024
# libxml2 gives up at 256 levels, and html5ever's serialiser overflows its stack somewhere above 10,000.
MAX_DEPTH = 200
_ROUGH_DEPTH = 1500

URL_ATTRIBUTES = frozenset(
    [
        "href",
        "src",
        "action",
        "formaction",
        "background",
        "poster",
        "cite",
        "longdesc",
        "data",
        "xlink:href",
        "srcset",
        "dynsrc",
        "lowsrc",
    ]
)
# Attributes that are read by people, where "JavaScript: an introduction" is a title and no link.
_PROSE = frozenset(
    ["alt", "title", "summary", "abbr", "label", "placeholder", "aria-label", "aria-description", "content", "value"]
)
_REFUSED = {
    "script": "JavaScript can't be sent by mail",
    "iframe": "frames can't be sent by mail",
    "frame": "frames can't be sent by mail",
    "frameset": "frames can't be sent by mail",
    "portal": "frames can't be sent by mail",
    "object": "plug-ins can't be sent by mail",
    "embed": "plug-ins can't be sent by mail",
    "applet": "plug-ins can't be sent by mail",
    "base": "it would turn every link",
    "xmp": "it is obsolete and hides what it holds",
    "plaintext": "it is obsolete and hides what it holds",
    "noembed": "it is obsolete and hides what it holds",
    "noframes": "it is obsolete and hides what it holds",
}
_SCRIPT_URL = re.compile(r"(?:javascript|vbscript|livescript|mocha):|data:(?!image/(?:png|gif|jpe?g|webp|bmp)[;,])")
_SCRIPT_STYLE = re.compile(r"expression\(|javascript:|vbscript:|-moz-binding|(?<![a-z-])behaviou?r:")
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]|[\ud800-\udfff]")
_INVISIBLE = re.compile("[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202e\ufeff]+")
_CSS_NOISE = re.compile(r"/\*.*?\*/|\\0{0,4}([0-9a-f]{2})[ \t\n]?|[\s\\]+", re.DOTALL)
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
# Their end tag is often left out, and the next one of the kind closes them.
_SELF_CLOSING = frozenset(
    ["p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "option", "optgroup", "html", "head", "body"]
)


def check(source: str, kind: Kind) -> list[Problem]:
    """All that is wrong with a template body (`html`, `text`) or a line such as a subject (`header`).

    In order of place, at most `MAX_PROBLEMS`. It may be used when no problem is left that is not a warning.
    """
    size = len(source.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        megabytes = math.ceil(size / 2**20 * 10) / 10  # never "1.0 MB; at most 1 MB"
        text = f"The template has {megabytes:.1f} MB; at most 1 MB can be sent. Put pictures on a web server."
        return [Problem(1, 1, "too_big", text)]
    control = _CONTROL.search(source)
    if control:
        code = f"U+{ord(control.group()):04X}"
        text = f"Not text: the control character {code} stands here. Save the file as text in UTF-8 and try again."
        return [Problem(*position(source, control.start()), "binary", text)]
    problems = syntax_problems(source)
    if kind == "html":
        problems += _html_problems(source, any_found=bool(problems))
    elif kind == "header":
        problems += _header_problems(source)
    return sorted(problems)[:MAX_PROBLEMS]


def refuse_problems(source: str, kind: Kind) -> None:
    """Raises TemplateError when `check` finds more than warnings."""
    problems = [problem for problem in check(source, kind) if not problem.warning]
    if problems:
        raise TemplateError(problems)


def mask(source: str) -> tuple[str, str]:
    """The source with each `{{name}}` painted over by as many marks, and the mark.

    Places stay what they are, and a variable no longer looks like markup wherever it stands.
    """
    mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in source)
    return VARIABLE.sub(lambda match: mark * len(match.group()), source), mark


def _header_problems(source: str) -> Iterator[Problem]:
    for match in re.finditer(r"[\r\n]", source):
        yield Problem(*position(source, match.start()), "line_break", "This has to stand on one line.")
        break
    for match in VARIABLE.finditer(source):
        if match.group(1) == UNSUBSCRIBE_URL:
            text = "{{unsubscribe_url}} can stand in the body only."
            yield Problem(*position(source, match.start()), "reserved", text)


def _html_problems(source: str, any_found: bool) -> list[Problem]:
    masked, mark = mask(source)
    if _rough_depth(masked) > _ROUGH_DEPTH:
        return [_too_deep()]
    found: list[Problem] = []
    for offset, code, text in _faults(masked, mark):
        found.append(Problem(*position(source, offset), code, text, warning=code == "form"))
        if len(found) >= MAX_PROBLEMS:
            return found
    if not any_found and all(problem.warning for problem in found):
        found += _tree_problems(masked)
    return found


def _faults(source: str, mark: str) -> Iterator[tuple[int, str, str]]:
    for match in re.finditer(f"</?{mark}", source):
        yield match.start(), "variable_place", "A variable can't be the name of a tag."
    for token in tokens(source):
        if isinstance(token, Tag):
            yield from _tag_faults(source, token, mark)
        elif isinstance(token, Text) and token.inside in ("style", "script"):
            place = source.find(mark, token.start, token.end)
            if place >= 0:
                text = f"A variable can't stand inside <{token.inside}>: a value could change its meaning."
                yield place, "variable_place", text
            if token.inside == "style" and _SCRIPT_STYLE.search(_plain_css(source[token.start : token.end])):
                yield (
                    token.start,
                    "javascript",
                    "This style sheet holds JavaScript (expression, behavior or a script URL). Remove it.",
                )
        elif isinstance(token, Comment) and not token.conditional and not source.endswith(">", token.start, token.end):
            yield token.start, "unclosed_tag", "This comment is never closed. Add “-->”."


def _tag_faults(source: str, tag: Tag, mark: str) -> Iterator[tuple[int, str, str]]:
    if mark in tag.name:
        yield tag.start, "variable_place", "A variable can't be the name of a tag."
        return
    if not tag.complete:
        yield tag.start, "unclosed_tag", f"<{shown(tag.name)}> is never closed: a “>” or a quote is missing."
    if tag.closing:
        return
    # A prefix does not help: <svg:script> runs in XHTML readers.
    name = tag.name.rpartition(":")[2]
    if name in _REFUSED:
        yield tag.start, "javascript" if name == "script" else "tag", f"Remove <{shown(tag.name)}>: {_REFUSED[name]}."
    elif name == "form":
        yield tag.start, "form", "Many mail programs block forms. Link to a page with the form instead."
    elif name == "meta" and _refreshes(source, tag):
        yield tag.start, "tag", "Remove <meta http-equiv=refresh>: a mail can't send its reader elsewhere."
    for attribute in tag.attributes:
        yield from _attribute_faults(source, attribute, mark)


def _attribute_faults(source: str, attribute: Attribute, mark: str) -> Iterator[tuple[int, str, str]]:
    name = attribute.name
    if mark in name:
        text = "A variable can stand in the value of an attribute, between quotes, but not in its name."
        yield attribute.name_start, "variable_place", text
        return
    value = source[attribute.start : attribute.end]
    if name.startswith("on") and name.isalpha():
        yield attribute.name_start, "javascript", f"Remove {shown(name)}=…: JavaScript can't be sent by mail."
    elif name in ("srcdoc", "http-equiv") and mark in value:
        yield attribute.start, "variable_place", f"A variable can't stand in {name}."
    elif name == "srcdoc":
        yield attribute.name_start, "tag", "Remove srcdoc=…: frames can't be sent by mail."
    elif name == "style":
        if _SCRIPT_STYLE.search(_plain_css(html.unescape(value))):
            yield (
                attribute.start,
                "javascript",
                "This style holds JavaScript (expression, behavior or a script URL). Remove it.",
            )
    elif _runs(name, value):
        text = f"“{shown(html.unescape(value))}” is JavaScript, which can't be sent by mail. Use an https:// address."
        yield attribute.start, "javascript", text


def _runs(name: str, value: str) -> bool:
    """Whether a browser could run the value as a script: entities, case and whitespace don't hide it."""
    if name in _PROSE or name.startswith("data-"):
        return False
    plain = _INVISIBLE.sub("", html.unescape(value)).lower()
    if name in URL_ATTRIBUTES:
        return bool(_SCRIPT_URL.match(plain))
    # Animations carry addresses in attributes of any name (values="…;javascript:…").
    return any(part.startswith(("javascript:", "vbscript:", "data:text/html")) for part in re.split("[;,]", plain))


def _refreshes(source: str, tag: Tag) -> bool:
    return any(
        attribute.name == "http-equiv"
        and html.unescape(source[attribute.start : attribute.end]).strip().lower() == "refresh"
        for attribute in tag.attributes
    )


def _plain_css(css: str) -> str:
    """CSS without comments, escapes and spaces, lower-cased: what hides `expression(` hides it no longer."""
    return _CSS_NOISE.sub(lambda match: chr(int(match.group(1), 16)) if match.group(1) else "", css.lower())


def _rough_depth(source: str) -> int:
    """An upper estimate of the nesting, in linear time: the parsers' own time grows with its square."""
    open_tags: dict[str, int] = {}
    depth = deepest = 0
    for token in tokens(source):
        if not isinstance(token, Tag) or token.name in _VOID or token.name in _SELF_CLOSING:
            continue
        count = open_tags.get(token.name, 0)
        if not token.closing:
            open_tags[token.name] = count + 1
            depth += 1
            deepest = max(deepest, depth)
        elif count:
            open_tags[token.name] = count - 1
            depth -= 1
    return deepest


def _too_deep() -> Problem:
    text = f"Tags are nested more than {MAX_DEPTH} deep. Close what is left open, or simplify the layout."
    return Problem(1, 1, "too_deep", text)


def _tree_problems(source: str) -> list[Problem]:
    """The second look, at the tree. What only shows here was hidden, so the place is a guess."""
    root = LexborHTMLParser(source).root
    waiting: list[tuple[LexborNode, int]] = [(root, 1)] if root is not None else []
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return [_too_deep()]
        name = (node.tag or "").lower()
        attributes = {str(key).lower(): str(value or "") for key, value in node.attributes.items()}
        hidden = (
            name
            if name in _REFUSED or (name == "meta" and attributes.get("http-equiv", "").lower() == "refresh")
            else ""
        )
        for key, value in attributes.items():
            if (key.startswith("on") and key.isalpha()) or _runs(key, html.escape(value)):
                hidden = key
        if hidden:
            place = max(source.lower().find(hidden), 0)
            text = f"“{shown(hidden)}” is hidden here by broken markup; it can't be sent by mail. Remove it."
            return [Problem(*position(source, place), "javascript", text)]
        waiting += [(child, depth + 1) for child in node.iter()]
    return []
