"""Bounce mails in prose: whom they name, and which words are about whom.

Each mail server has its own form, but few ideas: the address on a line of its own or before a colon with the reason
below it (qmail, Exim, Exchange, Gmail), a transcript of the session (sendmail, Courier, InterScan), the reason before
the address (MailMarshal, Notes), a sentence (Zoho, DragonFly). So what is looked for is the place of an address in
its line, not the server.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from tracking.feedback.reading.addresses import ADDRESS, addresses, nobody, once
from tracking.feedback.reading.mime import Headers, read_headers
from tracking.feedback.reading.words import words
from tracking.feedback.types import RECIPIENTS_MAX

LINES_MAX: Final = 800
LINE_MAX: Final = 800  # characters
QUOTED_MAX: Final = 100

_ORIGINAL = words("original_follows", r"\W{0,12}{}")
_OTHERS = words("others_addresses")
_SAYS_WHO = words("recipient_is")
_NO_PROSE = re.compile(r"(?:>\s?)?(received|return-path|message-id|mime-version|content-type|x-[\w-]+):", re.IGNORECASE)
_HEADER = re.compile(r"(?:>\s?)?[A-Za-z][\w-]{1,40}:")
_ALONE = re.compile(
    r"^[\s>*•·\-–—\"'<\[(\d.)]{0,12}(?:[^\s<>@]{1,40} ){0,4}?[\"'<\[]{0,2}"
    rf"(?P<address>{ADDRESS})[\"'>\])]{{0,3}}(?:\s?[<\[(]mailto:[^\s>\])]{{1,120}}[>\])])?\s{{0,8}}"
    r"(?:$|:(?!\d)|\.\.\.|,?\s?$|\s-\s|\s{2,}|\t| on \w{3}, | [(\[]|: )"
)


@dataclass(frozen=True, slots=True)
class Notice:
    """The lines that a mail server wrote, without the mail that it returns below them."""

    lines: tuple[str, ...]
    below: Headers = field(default_factory=Headers)  # of the returned mail, where it is quoted and not attached

    def named(self, sender: frozenset[str]) -> list[str]:
        """Addresses that stand where failed recipients stand; `sender`: never they, unless nothing else is found."""
        strong: list[str] = []
        weak: list[str] = []
        for line in self.lines:
            alone = _ALONE.match(line) if "@" in line else None
            for address in addresses(line):
                before = line[: line.find(address)]
                if _OTHERS.search(before):
                    continue
                names = (alone and alone["address"].endswith(address)) or _SAYS_WHO.search(before)
                (strong if names else weak).append(address)
        for found in (strong, weak):
            if known := [one for one in once(found) if one.lower() not in sender and not nobody(one)]:
                return known[:RECIPIENTS_MAX]
        return [one for one in once(strong) if not nobody(one)][:RECIPIENTS_MAX]

    def place(self, address: str) -> tuple[int, str]:
        """To sort by where it is named first."""
        wanted = address.lower()
        return next((at for at, line in enumerate(self.lines) if wanted in line.lower()), LINES_MAX), address


def notice(text: str) -> Notice:
    """What stands above the returned mail, and the headers of that."""
    lines = [line[:LINE_MAX].rstrip() for line in islice(text.split("\n"), LINES_MAX)]
    for at, line in enumerate(lines):
        if at and (_ORIGINAL.match(line) or _headers_begin(lines, at)) and any(map(str.strip, lines[:at])):
            return Notice(tuple(lines[:at]), _quoted(lines[at:]))
    return Notice(tuple(lines))


def _quoted(lines: list[str]) -> Headers:
    start = next((at for at, line in enumerate(lines[:12]) if _HEADER.match(line.strip())), len(lines))
    indent = len(lines[start]) - len(lines[start].lstrip()) if start < len(lines) else 0
    end = next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))
    return read_headers("\n".join(line[indent:] for line in lines[start : min(end, start + QUOTED_MAX)]))


def _headers_begin(lines: list[str], at: int) -> bool:
    """Headers of a mail, quoted below what is said about it: three in a row, one of them such as no prose has."""
    if not _HEADER.match(lines[at]):
        return False
    near = [line for line in lines[at : at + 6] if not line.startswith((" ", "\t"))][:4]
    return len(near) > 2 and all(map(_HEADER.match, near[:3])) and any(map(_NO_PROSE.match, near))
