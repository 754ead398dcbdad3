"""Bounce mails in prose: whom they name, and which words are about whom.

Each mail server has its own form, but few ideas: the address on a line of its own or before a colon with the reason
below it (qmail, Exim, Exchange, Gmail), a transcript of the session (sendmail, Courier, InterScan), the reason before
the address (MailMarshal, Notes), a sentence (Zoho, DragonFly). So what is looked for is the place of an address in
its line, not the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
BLOCK_MAX: Final = 25  # lines about one recipient

_ORIGINAL = words("original_follows", r"\W{0,12}{}")
_OTHERS = words("others_addresses")
_SAYS_WHO = words("recipient_is")
_NO_PROSE = re.compile(r"(?:>\s?)?(received|return-path|message-id|mime-version|content-type|x-[\w-]+):", re.IGNORECASE)
_HEADER = re.compile(r"(?:>\s?)?[A-Za-z][\w-]{1,40}:")
_ALONE = re.compile(
    r"^[\s>*•·\-–—\"'<\[(\d.)]{0,12}(?:[^\s<>@]{1,40} ){0,4}?[\"'<\[]{0,2}"
    rf"(?P<address>{ADDRESS})[\"'>\])]{{0,3}}(?:\s?[<\[(]mailto:[^\s>\])]{{1,120}}[>\])])?\s{{0,8}}"
    r"(?:$|:(?!\d)|\.\.\.|,?\s?$|\s-\s|\s{2,}|\t| on \w{3}, | \(|: )"
)
_SERVER = re.compile(r"(?:^|[\s:(>\"'])[45]\d\d(?=[ \-]\S)|(?<![\d.])#?[45]\.\d{1,3}\.\d{1,3}(?![\d.])")
_AFTER: Final = "\"'>])]:. \t"
_TRANSCRIPT = re.compile(r"^\s{0,8}(?:<<<|received\s*>>>|remote host said:|reply:|response:|<--|s:)", re.IGNORECASE)


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
        return next(iter(self._places(address)), LINES_MAX), address

    def about(self, recipient: str, others: frozenset[str]) -> Iterator[str]:
        """Texts in which the reason stands, the likeliest first. `others`: the further recipients, in lower case."""
        places = self._places(recipient)
        yield from filter(None, (self._transcript(at) for at in places))
        blocks = [self._block(at, recipient.lower(), others) for at in places]
        yield from (block for block in blocks if _SERVER.search(block))
        if not others:
            spoken = [at for at, line in enumerate(self.lines) if _SERVER.search(line)][:10]
            yield from (self._paragraph(at) for at in spoken)
        yield from filter(None, blocks)

    def around(self, recipient: str, others: frozenset[str]) -> Iterator[str]:
        """Texts in which it may stand."""
        yield from (self._before(at) for at in self._places(recipient))
        if not others:
            yield " ".join(line.strip() for line in self.lines if line.strip())[:4000]

    def _places(self, recipient: str) -> list[int]:
        wanted = recipient.lower()
        return [at for at, line in enumerate(self.lines) if wanted and wanted in line.lower()][:20]

    def _transcript(self, at: int) -> str:
        """`>>> RCPT TO:<a@example.com>`, `<<< 550 …`: what the server answered."""
        if "rcpt" not in self.lines[at].lower():
            return ""
        answer: list[str] = []
        for line in self.lines[at + 1 : at + 12]:
            if _TRANSCRIPT.match(line) and (not answer or _SERVER.search(line)):
                answer.append(re.sub(_TRANSCRIPT, "", line, count=1).strip())
            elif answer:
                break
        return " ".join(answer)

    def _block(self, at: int, wanted: str, others: frozenset[str]) -> str:
        """From the address on, to the next recipient or the second empty line."""
        line = self.lines[at]
        words = [line[line.lower().find(wanted) + len(wanted) :].lstrip(_AFTER)]
        if _SERVER.search(line[: line.lower().find(wanted)]):
            words = [line]
        empty = 0
        for line in self.lines[at + 1 : at + BLOCK_MAX]:
            lower = line.lower()
            if any(other in lower for other in others if "@" in lower) and wanted not in lower:
                break
            if not line.strip():
                empty += 1
                if empty > (0 if any(map(str.strip, words)) and _SERVER.search(" ".join(words)) else 1):
                    break
            words.append(line.strip())
        return " ".join(word.strip() for word in words if word.strip())

    def _paragraph(self, at: int) -> str:
        end = at + 1
        while end < min(len(self.lines), at + 8) and self.lines[end].strip():
            end += 1
        return " ".join(line.strip() for line in self.lines[at:end])

    def _before(self, at: int) -> str:
        found = [line.strip() for line in islice(reversed(self.lines[max(0, at - 6) : at]), 6) if line.strip()]
        line = self.lines[at]
        return " ".join([*reversed(found[:3]), line.strip()])


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
