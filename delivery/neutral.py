"""Mail to be looked at: nothing in it loads, runs, submits or leads anywhere. Pure.

The frame's policy says the same (console/views.py, sandboxed); links inside a sandboxed frame would still work, and
an image that a policy refuses leaves an error where its words should stand.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser

_REMOVED = ("script", "object", "embed", "applet", "iframe", "frame", "frameset", "base", "link", "template")
_LOADS = ("src", "srcset", "background", "poster", "data", "longdesc", "lowsrc", "dynsrc")
_LEADS = ("href", "xlink:href", "action", "formaction", "ping", "target")


_STYLE_LOADS = re.compile(r"url\(\s*(?![\s'\"]*data:image/)[^)]*\)|@import[^;]*;?", re.IGNORECASE)
_STYLE_SHEET = re.compile(r"(<style\b[^>]*>)(.*?)(</style)", re.IGNORECASE | re.DOTALL)


def neutralised(html: str) -> str:
    """The same page to the eye, but for remote images (their alternative words stand there) and links, which show
    where they lead on hover."""
    tree = LexborHTMLParser(html)
    for node in tree.css(", ".join(_REMOVED)):
        node.decompose()
    for node in tree.css("meta[http-equiv]"):
        node.decompose()
    for node in tree.css("*"):
        _disarm(node)
    return _STYLE_SHEET.sub(lambda found: found[1] + _STYLE_LOADS.sub("none", found[2]) + found[3], tree.html or "")


def _disarm(node: object) -> None:
    attrs = node.attrs  # type: ignore[attr-defined]
    for name in list(attrs):
        lower = name.lower()
        value = attrs[name] or ""
        if lower.startswith("on"):
            del attrs[name]
        elif lower == "style":
            attrs[name] = _STYLE_LOADS.sub("none", value)
        elif lower in _LEADS:
            del attrs[name]
            if lower == "href" and value:
                # Still drawn as a link, and leads nowhere but to where one is.
                attrs["href"], attrs["title"] = "#", value
        elif lower in _LOADS and not value.strip().lower().startswith("data:image/"):
            del attrs[name]
