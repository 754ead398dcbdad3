"""Who does what with a mail that has arrived: people, their programs, and the machines between. One table, pure.

A `+label` that begins with a habit's name asks for it; any other labelled address has one that its own letters decide:
the same address always the same. Addresses without a label never read.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal

Links = Literal["none", "one", "all"]

THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
GMAIL_FETCH = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 "
    "Safari/537.36 Edge/12.246 Mozilla/5.0"
)
SCANNER = "Mozilla/5.0 (compatible; BarracudaCentral/1.0)"

# Nobody counts what comes within 2 s of delivery as a person's: people take longer, with room for a busy machine.
SOON, LATER = 0.2, 6.0


@dataclass(frozen=True, slots=True)
class Habit:
    """`share`: of labelled addresses, in per cent. `after`: seconds from the 250 to the first step; the links follow
    `between` seconds apart. `person`: who counts opens and clicks should take it for a person's."""

    name: str
    share: int
    person: bool = True
    after: float = LATER
    agents: tuple[str, ...] = (CHROME,)
    image: bool = True
    links: Links = "none"
    between: float = 1.0
    method: Literal["GET", "HEAD"] = "GET"
    header: tuple[str, str] | None = None
    # A burst is one only over so many links.
    least_links: int = 0


HABITS: tuple[Habit, ...] = (
    Habit("reader", 20, agents=(THUNDERBIRD, IPHONE, CHROME)),
    Habit("webmail", 10, agents=(GMAIL,)),
    Habit("clicker", 12, agents=(IPHONE, CHROME, ANDROID), links="one"),
    # Every link within a second of delivery, by a scanner that says so, and by one that does not.
    Habit("scanner", 4, person=False, after=SOON, agents=(SCANNER,), links="all", between=0.05),
    Habit("sandbox", 3, person=False, after=SOON, links="all", between=0.05),
    # Much later, yet faster than anybody reads.
    Habit("gateway", 3, person=False, image=False, links="all", between=0.2, least_links=3),
    # Asks whether the links are there, and follows none.
    Habit("prober", 2, person=False, after=SOON, links="all", between=0.05, method="HEAD"),
    Habit("fetcher", 4, person=False, after=SOON, agents=(GMAIL_FETCH,)),
    Habit("prefetcher", 2, person=False, header=("Sec-Purpose", "prefetch")),
)


def habit_of(recipient: str) -> Habit | None:
    """None: whoever never looks."""
    label = recipient.rpartition("@")[0].partition("+")[2].lower()
    if not label:
        return None
    for habit in HABITS:
        if re.match(rf"{habit.name}\b", label):
            return habit
    place = zlib.crc32(b"reads " + recipient.lower().encode("utf-8", "surrogateescape")) % 100
    for habit in HABITS:
        place -= habit.share
        if place < 0:
            return habit
    return None


def agent_of(habit: Habit, recipient: str) -> str:
    """The program of this address: always the same."""
    number = zlib.crc32(b"agent " + recipient.lower().encode("utf-8", "surrogateescape"))
    return habit.agents[number % len(habit.agents)]
