"""Warm-up: how much a sender domain may send a day, and how that moves. Pure; the values are Tencent SES's.

A day is judged by its own figures. Percentages are over attempted messages, in whole numbers, so that a limit is met
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Daily cap by level, 1 to 20.
CAPS = (
    *(500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 150_000, 200_000),
    *range(300_000, 1_000_001, 100_000),
)
LEVELS = len(CAPS)
# Fewer say nothing: a day with no more than this neither lowers nor blocks.
ENOUGH = 300

Why = Literal["", "good", "opens", "invalid", "undelivered", "spam", "complaints"]


@dataclass(frozen=True, slots=True)
class Figures:
    """One domain's day: messages, each counted on the day of its first attempt; what came back, on the day it came."""

    attempted: int = 0
    delivered: int = 0
    # Addresses that do not exist or can't.
    invalid: int = 0
    # Refused as spam.
    spam: int = 0
    complaints: int = 0
    opens: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """`step` is -1, 0 or 1; `why` names the figure that decided."""

    step: int = 0
    why: Why = ""


def cap(level: int) -> int:
    """Messages a day at this level."""
    return CAPS[level - 1]


def move(day: Figures, level: int) -> Move:
    """Where the level goes after such a day. Bad figures weigh more than good ones."""
    if why := _bad(day):
        return Move(-1, why) if level > 1 else Move(0, why)
    why = _good(day, level)
    return Move(1, why) if why and level < LEVELS else Move()


def blocked(day: Figures) -> Why:
    """The figure by which the domain sends nothing more today, or ''."""
    if day.attempted <= ENOUGH:
        return ""
    if _over(day.invalid, day, 110):
        return "invalid"
    return "spam" if _over(day.spam, day, 150) else ""


def _bad(day: Figures) -> Why:
    if day.attempted <= ENOUGH:
        return ""
    if _over(day.invalid, day, 90):
        return "invalid"
    if _over(day.spam, day, 50):
        return "spam"
    if _over(day.complaints, day, 5):
        return "complaints"
    return "undelivered" if day.delivered * 1000 < day.attempted * 650 else ""


def _good(day: Figures, level: int) -> Why:
    if day.attempted * 100 < cap(level) * 70 or day.complaints * 1000 >= day.attempted:
        return ""
    if (
        _over(day.delivered, day, 920)
        and day.invalid * 1000 < day.attempted * 50
        and day.spam * 1000 < day.attempted * 25
    ):
        return "good"
    return "opens" if _over(day.delivered, day, 900) and _over(day.opens, day, 500) else ""


def _over(count: int, day: Figures, per_mille: int) -> bool:
    return count * 1000 > day.attempted * per_mille
