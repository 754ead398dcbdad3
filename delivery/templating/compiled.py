"""A template version cut into segments once; filling it for a recipient is then joining strings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from delivery.templating.contexts import (
    ESCAPES,
    OpenImage,
    Part,
    Slot,
    Url,
    Values,
    as_text,
    header,
    html_text,
    resolve,
)
from delivery.templating.variables import UNSUBSCRIBE_URL, split

T = TypeVar("T")


class Filler:
    """Segments of one body part, arranged for speed: literals in place, holes known by number.

    A variable that stands in many places is escaped once for each kind of place.
    """

    __slots__ = ("_fixed", "_moving", "_open", "_pieces", "_slots", "_untracked", "parts")

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(_merged(parts))
        self._pieces = [part if isinstance(part, str) else "" for part in self.parts]
        self._open = [place for place, part in enumerate(self.parts) if isinstance(part, OpenImage)]
        places: dict[Slot, list[int]] = {}
        for place, part in enumerate(self.parts):
            if isinstance(part, Slot):
                places.setdefault(part, []).append(place)
        self._slots = [(slot.name, ESCAPES[slot.context], tuple(where)) for slot, where in places.items()]
        urls = [(place, part) for place, part in enumerate(self.parts) if isinstance(part, Url)]
        # Links whose target begins with literal text are sure to be http(s); the others show only with their value.
        self._fixed = [(place, url) for place, url in urls if url.index >= 0 and isinstance(url.target[0], str)]
        self._moving = [(place, url) for place, url in urls if url.index >= 0 and not isinstance(url.target[0], str)]
        self._untracked = [(place, url) for place, url in urls if url.index < 0]

    def fill(
        self,
        values: Values,
        unsubscribe_url: str,
        click: Callable[[int], str] | None = None,
        open_url: str = "",
    ) -> str:
        """The part for one recipient, lines ending in CRLF.

        `click` makes the redirect's address of a link's index (ASCII without quotes or "&"); without it links go
        straight to their target. Without `open_url` there is no open image.
        """
        out = self._pieces.copy()
        self.fill_into(out, str, values, unsubscribe_url, click, open_url)
        return "".join(out)

    def fill_into(
        self,
        out: list[T],
        write: Callable[[str], T],
        values: Values,
        unsubscribe_url: str,
        click: Callable[[int], str] | None = None,
        open_url: str = "",
    ) -> None:
        """Put what is the recipient's own into its places in `out`, which has a place for each of `parts`, as `write`
        makes it of text. The other parameters are those of `fill`."""
        values = {**values, UNSUBSCRIBE_URL: unsubscribe_url}
        for name, escape, places in self._slots:
            value = write(escape(as_text(values.get(name))))
            for place in places:
                out[place] = value
        for place, url in self._untracked:
            out[place] = write(html_text(resolve(url.target, values)))
        if click is None:
            for place, url in self._fixed + self._moving:
                out[place] = write(html_text(resolve(url.target, values)))
        else:
            for place, url in self._fixed:
                out[place] = write(click(url.index))
            for place, url in self._moving:
                target = resolve(url.target, values)
                out[place] = write(click(url.index) if target[:4].lower() == "http" else html_text(target))
        if open_url:
            for place in self._open:
                out[place] = write(
                    f'<img src="{open_url}" width="1" height="1" alt="" border="0"'
                    ' style="height:1px!important;width:1px!important;border-width:0!important">'
                )


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template version ready to be filled. Holds no recipient; share it between threads."""

    html: Filler | None
    text: Filler
    links: tuple[Url, ...]

    def render_html(self, values: Values, unsubscribe_url: str = "#") -> str:
        """For the preview: links as they are, no open image. Empty for a plain-text template."""
        return self.html.fill(values, unsubscribe_url) if self.html else ""

    def render_text(self, values: Values, unsubscribe_url: str = "#") -> str:
        """The plain text, filled; lines end in CRLF."""
        return self.text.fill(values, unsubscribe_url)


def link_target(compiled: Compiled, index: int, values: Values) -> str:
    """Where the tracked link number `index` leads for the recipient with these values.

    An absolute http(s) address, or "#" where the values make none; IndexError when there is no such link.
    """
    if index < 0:
        raise IndexError(index)
    return resolve(compiled.links[index].target, values)


@lru_cache(maxsize=512)
def _line(source: str) -> tuple[str, ...]:
    return tuple(split(source))


def fill_line(source: str, values: Values) -> str:
    """A subject or sender name with its variables filled: one line, without control characters."""
    if "{{" not in source:
        return header(source).strip()
    pieces = list(_line(source))
    for place in range(1, len(pieces), 2):
        pieces[place] = as_text(values.get(pieces[place]))
    return header("".join(pieces)).strip()


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Neighbouring literals joined."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return merged
