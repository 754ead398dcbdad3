"""Forgetting a person: each package takes an address out of its own tables, and says what it did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast


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


def out_of_errors(uploads: QuerySet[Any], address: str) -> int:
    """Take an address out of the malformed rows that uploads keep, [line, value, reason] in `errors`; the rows stay.
    Gives the number of uploads that were changed."""
    # As it stands within JSON.
    written = json.dumps(address, ensure_ascii=False)[1:-1]
    found = uploads.alias(text=Cast("errors", TextField())).filter(text__icontains=written)
    changed = 0
    for upload in found.only("pk", "errors").iterator(chunk_size=10):
        upload.errors = [
            [line, "", reason] if address.lower() in f"{value} {reason}".lower() else [line, value, reason]
            for line, value, reason in upload.errors
        ]
        upload.save(update_fields=["errors"])
        changed += 1
    return changed
