"""Which columns of the statistics a message counts in: asked when it changes, and when everything is recounted."""

from __future__ import annotations

from functools import cache, lru_cache

from delivery.models import Reason, Status
from delivery.models.status import FAILED, OF_ADDRESSES
from delivery.services.credits import is_paid

# By what became of the message.
OUTCOMES = ("requested", "rejected", "paid", "invalid", "spam", "other", "delivered")
# By what came back. Of people, unless they are called automatic; unique: messages, not times.
RETURNS = (
    "opens",
    "unique_opens",
    "automatic_opens",
    "clicks",
    "unique_clicks",
    "automatic_clicks",
    "unsubscriptions",
    "complaints",
)
COLUMNS = OUTCOMES + RETURNS
# One number for each of COLUMNS.
Counts = tuple[int, ...]

NOT_REQUESTED = frozenset({Status.CONTROL_GROUP, Status.CANCELLED})
_REJECTED = frozenset({Reason.BLACKLIST, Reason.UNSUBSCRIBE})


@cache
def of_outcome(status: str, reason: str, free: bool) -> Counts:
    """What one message counts as it stands. `free`: mail that costs nothing (the simulator's).

    A failure counts by its reason, whether it was refused at once or returned later. What is neither delivered nor
    failed (in line, or with a relay) counts as requested alone.
    """
    if status in NOT_REQUESTED:
        return counts()
    found = {"requested": 1, "paid": int(is_paid(status, reason) and not free)}
    if status == Status.DELIVERED:
        found["delivered"] = 1
    elif status in FAILED:
        found[_failure(reason)] = 1
    return counts(**found)


@cache
def of_change(old: tuple[str, str] | None, new: tuple[str, str], free: bool) -> Counts:
    """What changes when a message goes from one (status, reason) to another; None: it was not there."""
    after = of_outcome(*new, free)
    before = of_outcome(*old, free) if old else counts()
    return tuple(a - b for a, b in zip(after, before, strict=True))


@lru_cache(maxsize=1024)
def counts(**found: int) -> Counts:
    """counts(opens=2, unique_opens=1)"""
    if unknown := found.keys() - set(COLUMNS):
        raise TypeError(f"no such column: {unknown}")
    return tuple(found.get(name, 0) for name in COLUMNS)


def _failure(reason: str) -> str:
    if reason in _REJECTED:
        return "rejected"
    if reason in OF_ADDRESSES:
        return "invalid"
    return "spam" if reason == Reason.SPAM else "other"
