"""Was it a machine? Pure: what is known stands in rules/automatic.toml, whose head says what the fields mean."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

RULES: Final = Path(__file__).parent / "rules" / "automatic.toml"
_FIELDS = {"name", "title", "headers", "pattern", "after_delivery", "share", "least", "within", "sample"}
_KINDS = ("headers", "pattern", "after_delivery", "share")


@dataclass(frozen=True, slots=True)
class Burst:
    """More than `share` of the places that a mail's links lead to, and at least `least`, within `within` seconds."""

    share: float
    least: int
    within: float

    def places(self, links: int) -> int:
        """How many different places make a burst in a mail whose links lead to `links`."""
        return max(self.least, math.floor(links * self.share) + 1)


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    title: str
    # By the name that WSGI gives a header.
    headers: Mapping[str, re.Pattern[str]]
    pattern: re.Pattern[str] | None
    after_delivery: float | None
    burst: Burst | None
    samples: tuple[str, ...]

    def fits(self, agent: str, hints: Sequence[tuple[str, str]], seconds: float | None) -> bool:
        if self.pattern is not None:
            return self.pattern.search(agent) is not None
        if self.after_delivery is not None:
            return seconds is not None and seconds <= self.after_delivery
        return any(name in self.headers and self.headers[name].search(value) for name, value in hints)


def judge(agent: str, hints: Sequence[tuple[str, str]], seconds: float | None) -> str:
    """The rule by which a hit was a machine's; "" for a person, as far as one hit alone tells.

    `hints`: those of `hint_headers()` that came with it. `seconds`: since delivery; None = not known.
    """
    if not hints and (seconds is None or seconds > _longest()):
        return _by_agent(agent)
    return _first(agent, hints, seconds)


@lru_cache(maxsize=4096)
def _by_agent(agent: str) -> str:
    return _first(agent, (), None)


def _first(agent: str, hints: Sequence[tuple[str, str]], seconds: float | None) -> str:
    return next((rule.name for rule in rules() if rule.fits(agent, hints, seconds)), "")


def bursts(clicks: Sequence[tuple[float, str]], links: int) -> set[int]:
    """Which of a mail's clicks belong to a burst, by their places. `clicks`: (seconds, link) in order of time;
    `links`: how many places the mail's links lead to."""
    rule = burst()
    if rule is None:
        return set()
    needed = rule.places(links)
    found: set[int] = set()
    first = 0
    for last in range(len(clicks)):
        while clicks[last][0] - clicks[first][0] > rule.within:
            first += 1
        if len({link for _at, link in clicks[first : last + 1]}) >= needed:
            found.update(range(first, last + 1))
    return found


@cache
def rules() -> tuple[Rule, ...]:
    """The rules in use. Raises KeyError, ValueError or re.error for a file that does not hold together."""
    return read(RULES.read_text(encoding="utf-8"))


@cache
def burst() -> Burst | None:
    return next((rule.burst for rule in rules() if rule.burst is not None), None)


@cache
def burst_rule() -> str:
    """The name under which a burst's clicks are kept."""
    return next((rule.name for rule in rules() if rule.burst is not None), "")


@cache
def hint_headers() -> tuple[str, ...]:
    """The request headers that a rule asks for, as WSGI names them."""
    return tuple({name: None for rule in rules() for name in rule.headers})


@cache
def _longest() -> float:
    return max((rule.after_delivery for rule in rules() if rule.after_delivery is not None), default=0.0)


def title(name: str) -> str:
    """What the rule says to a person; its name, where there is no such rule any more."""
    return next((rule.title for rule in rules() if rule.name == name), name)


def read(text: str) -> tuple[Rule, ...]:
    """Raises KeyError, ValueError (TOML as well) or re.error."""
    return tuple(_rule(row) for row in tomllib.loads(text)["rule"])


def _rule(row: dict[str, Any]) -> Rule:
    name = row["name"]
    if unknown := row.keys() - _FIELDS:
        raise ValueError(f"{name}: unknown fields {sorted(unknown)}")
    if len([kind for kind in _KINDS if kind in row]) != 1:
        raise ValueError(f"{name}: it needs one of {', '.join(_KINDS)}")
    headers = {
        f"HTTP_{header.upper().replace('-', '_')}": re.compile(value, re.IGNORECASE)
        for header, value in row.get("headers", {}).items()
    }
    return Rule(
        name,
        row["title"],
        headers,
        re.compile(row["pattern"], re.IGNORECASE) if "pattern" in row else None,
        float(row["after_delivery"]) if "after_delivery" in row else None,
        Burst(float(row["share"]), int(row["least"]), float(row["within"])) if "share" in row else None,
        tuple(row.get("sample", [])),
    )


def problems(found: Sequence[Rule]) -> list[str]:
    """What is wrong: a name twice, a pattern without a sample, a sample that ends at another rule."""
    wrong = [f"{rule.name}: twice" for n, rule in enumerate(found) if rule.name in {one.name for one in found[:n]}]
    for rule in found:
        if rule.pattern is not None and not rule.samples:
            wrong.append(f"{rule.name}: it has no sample")
        for sample in rule.samples:
            ends = next((one.name for one in found if one.fits(sample, (), None)), "")
            if ends != rule.name:
                wrong.append(f"{rule.name}: its sample ends at {ends or 'nothing'}: {sample}")
    return wrong
