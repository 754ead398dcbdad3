"""Which words of a notice are about whom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from tracking.feedback.reading.notice import Notice

BLOCK_MAX: Final = 25  # lines about one recipient
PLACES_MAX: Final = 20  # at which one is looked for
WHOLE_MAX: Final = 4000  # characters

_SERVER = re.compile(r"(?:^|[\s:(>\"'])[45]\d\d(?=[ \-]\S)|(?<![\d.])#?[45]\.\d{1,3}\.\d{1,3}(?![\d.])")
_AFTER: Final = "\"'>])]:. \t"
_TRANSCRIPT = re.compile(r"^\s{0,8}(?:<<<|received\s*>>>|remote host said:|reply:|response:|<--|s:)", re.IGNORECASE)


class Told:
    """What a notice tells about each of these recipients."""

    def __init__(self, notice: Notice, people: Iterable[str]) -> None:
        self.lines = notice.lines
        lower = [line.lower() for line in notice.lines]
        self.places: dict[str, list[int]] = {}
        for one in filter(None, (one.lower() for one in people)):
            self.places[one] = list(islice((at for at, line in enumerate(lower) if one in line), PLACES_MAX))
        self.named = {at for places in self.places.values() for at in places}
        # server's words that stand by themselves
        self.spoken = list(islice((at for at, line in enumerate(notice.lines) if _SERVER.search(line)), PLACES_MAX))

    def about(self, recipient: str) -> Iterator[str]:
        """Texts in which the reason stands, the likeliest first."""
        places = self.places.get(recipient.lower(), [])
        yield from filter(None, map(self._transcript, places))
        blocks = [self._block(at, recipient.lower()) for at in places]
        yield from (block for block in blocks if _SERVER.search(block))
        if len(self.places) < 2:
            yield from map(self._paragraph, self.spoken)
        yield from filter(None, blocks)

    def around(self, recipient: str) -> Iterator[str]:
        """Texts in which it may stand: above the address, below them all, anywhere."""
        yield from map(self._above, self.places.get(recipient.lower(), []))
        if len(self.places) < 2:
            yield " ".join(line.strip() for line in self.lines if line.strip())[:WHOLE_MAX]
        else:
            last = max(self.named, default=len(self.lines))
            yield from (self._paragraph(at) for at in self.spoken if at > last)

    def _transcript(self, at: int) -> str:
        """`>>> RCPT TO:<a@example.com>`, `<<< 550 …`: what the server answered."""
        if "rcpt" not in self.lines[at].lower():
            return ""
        answer: list[str] = []
        for line in self.lines[at + 1 : at + 12]:
            if _TRANSCRIPT.match(line) and (not answer or _SERVER.search(line)):
                answer.append(_TRANSCRIPT.sub("", line, count=1).strip())
            elif answer:
                break
        return " ".join(answer)

    def _block(self, at: int, wanted: str) -> str:
        """From the address on, to the next recipient, the second empty line, or the first below a server's words."""
        before, _, after = _divided(self.lines[at], wanted)
        words = [self.lines[at] if _SERVER.search(before) else after.lstrip(_AFTER)]
        said = bool(_SERVER.search(words[0]))
        empty = 0
        for place, line in enumerate(self.lines[at + 1 : at + BLOCK_MAX], at + 1):
            if place in self.named and place not in self.places[wanted]:
                break
            if not line.strip():
                empty += 1
                if said or empty > 1:
                    break
            words.append(line.strip())
            said = said or bool(_SERVER.search(line))
        return " ".join(word for word in words if word)

    def _paragraph(self, at: int) -> str:
        end = at + 1
        while end < min(len(self.lines), at + 8) and self.lines[end].strip():
            end += 1
        return " ".join(line.strip() for line in self.lines[at:end])

    def _above(self, at: int) -> str:
        above = [line.strip() for line in self.lines[max(0, at - 6) : at] if line.strip()]
        return " ".join([*above[-3:], self.lines[at].strip()])


def _divided(line: str, wanted: str) -> tuple[str, str, str]:
    at = line.lower().find(wanted)
    return line[:at], line[at : at + len(wanted)], line[at + len(wanted) :]
