"""What several commands ask and print."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
_BAR = 30


def named(rows: QuerySet[M], text: str) -> M | None:
    """The row of this name, else of this id; None: there is none."""
    found = rows.filter(name=text).first()
    if found is None and text.isascii() and text.isdecimal() and len(text) < 19:
        found = rows.filter(pk=int(text)).first()
    return found


def bar(share: float) -> str:
    """A bar of 30 characters and the share of the whole, 0 to 1, in per cent."""
    return f"{('█' * round(share * _BAR)).ljust(_BAR, '░')} {share:4.0%}"
