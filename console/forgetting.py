"""Forgetting a person: each package takes an address out of its own tables, and says what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was done in one place: "12 messages: address hashed, variables emptied"."""

    where: str
    count: int
    how: str


# Given the canonical address; in the caller's transaction. Raises CantForget before anything is changed.
forgetters: list[Callable[[str], Iterator[Forgotten]]] = []


class CantForget(Exception):
    """The person can't be forgotten yet; the text says why, and what to do."""
