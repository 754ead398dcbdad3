"""The side menu: Tencent's order and names, and only the entries that exist and that the person may open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise


class Section(IntEnum):
    """In the order of the menu."""

    OVERVIEW = 1
    CONFIGURATION = 2
    SENDING = 3
    STATISTICS = 4
    RESPONSE = 5
    PLAN = 6


HEADINGS: dict[Section, tuple[StrPromise, str]] = {
    Section.OVERVIEW: (_("Overview"), "layout-dashboard"),
    Section.CONFIGURATION: (_("Configuration"), "adjustments"),
    Section.SENDING: (_("Email sending"), "send"),
    Section.STATISTICS: (_("Statistics"), "chart-bar"),
    Section.RESPONSE: (_("Delivery response"), "inbox"),
    Section.PLAN: (_("Plan"), "credit-card"),
}
# These are entries themselves, without a heading over them.
SINGLE = (Section.OVERVIEW, Section.PLAN)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A count beside an entry: only of what is in trouble. `word` is read out: "3 domains in trouble"."""

    count: int
    word: str
    tone: str = "bad"


@dataclass(frozen=True, slots=True)
class Entry:
    title: str
    url: str
    current: bool
    icon: str
    trouble: Trouble | None


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    icon: str
    single: bool
    entries: list[Entry]


def menu(request: HttpRequest) -> list[Group]:
    """The groups of the menu for this person, without empty ones."""
    from console.registry import pages

    match = request.resolver_match
    here = pages().get(match.url_name or "") if match else None
    current = (here.parent or here.name) if here else ""
    shown: dict[Section, list[tuple[int, Entry]]] = {}
    for page in pages().values():
        if page.section is None or not page.allows(request.user):
            continue
        entry = Entry(
            title=str(page.menu_title or page.title),
            url=reverse(page.name),
            current=page.name == current,
            icon=HEADINGS[page.section][1],
            trouble=_trouble(page.trouble),
        )
        shown.setdefault(page.section, []).append((page.order, entry))
    return [
        Group(
            title=str(HEADINGS[section][0]),
            icon=HEADINGS[section][1],
            single=section in SINGLE,
            entries=[entry for _order, entry in sorted(shown[section], key=lambda pair: pair[0])],
        )
        for section in Section
        if section in shown
    ]


def _trouble(ask: Callable[[], Trouble | None] | None) -> Trouble | None:
    found = ask() if ask else None
    return found if found and found.count else None
