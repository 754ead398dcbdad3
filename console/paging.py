"""From page to page of a list. Up to 10,000 rows pages have numbers; beyond, one goes on from the row where one is:
the thousandth page costs what the first costs, and rows that are added meanwhile move nothing.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Field, Q, QuerySet
from django.http import QueryDict

from console.lists import EXACT_UP_TO, Listing, Total

MAX_TOKEN = 1000
# Of more rows than this, stepped over to reach a page by its number, only the keys are read.
STEPPED_OVER = 1000


@dataclass(frozen=True, slots=True)
class Leaf:
    """One page: its rows, its number as people count (1 is the first), and where others are; "" = there is none.
    `pages`: numbers with their URLs, None for a gap."""

    rows: list[Any]
    number: int
    first: int
    pages: list[tuple[int, str] | None]
    previous: str
    next: str
    here: str

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def leaf(listing: Listing, params: QueryDict, size: int) -> Leaf:
    """The page that the parameters ask for; what they can't mean is the nearest that they can."""
    number = max(1, whole(params.get("page"), 1))
    keys = _keys(listing)
    turned = _turned(listing, keys, params) if keys else None
    first: list[Any] | None = None
    if turned is None and number == 1:
        # Whoever fits on the first page is counted by looking.
        first = list(listing.ordered()[: size + 1])
        if len(first) <= size:
            listing.total = Total(len(first), True)
    if listing.total.exact:
        number = min(number, max(1, -(-listing.total.count // size)))
        if first is None:
            first = _by_place(listing, (number - 1) * size, number * size)
        return _numbered(listing, first[:size], number, size)
    if turned is not None:
        rows, backwards = list(turned[0][: size + 1]), turned[1]
        if not backwards:
            return _turning(listing, keys, rows[:size], max(2, number), size, more=len(rows) > size)
        if len(rows) > size:
            return _turning(listing, keys, rows[size - 1 :: -1], max(2, number), size, more=True)
        # So near the beginning it is the first page.
        number = 1
    number = min(number, max(1, EXACT_UP_TO // size))
    if first is None:
        first = _by_place(listing, (number - 1) * size, number * size + 1)
    return _turning(listing, keys, first[:size], number, size, more=len(first) > size)


def _by_place(listing: Listing, begin: int, end: int) -> list[Any]:
    """The rows from one place to another. PostgreSQL works out the columns of those that it steps over as well."""
    rows = listing.ordered()
    if begin <= STEPPED_OVER:
        return list(rows[begin:end])
    keys = list(rows.values_list("pk", flat=True)[begin:end])
    found = {row.pk: row for row in listing.queryset.filter(pk__in=keys)}
    # What has gone meanwhile is left out.
    return [found[key] for key in keys if key in found]


def _numbered(listing: Listing, rows: list[Any], number: int, size: int) -> Leaf:
    def url(page: int) -> str:
        return listing.query(page=page if page > 1 else None)

    last = max(1, -(-listing.total.count // size))
    shown: list[tuple[int, str] | None] = []
    before = 0
    for page in sorted(page for page in {1, number - 1, number, number + 1, last} if 1 <= page <= last):
        if page - before > 1:
            shown.append(None)
        shown.append((page, url(page)))
        before = page
    return Leaf(
        rows,
        number,
        (number - 1) * size + 1,
        shown,
        url(number - 1) if number > 1 else "",
        url(number + 1) if number < last else "",
        url(number),
    )


def _turning(listing: Listing, keys: list[str], rows: list[Any], number: int, size: int, *, more: bool) -> Leaf:
    def url(page: int, **turn: str | None) -> str:
        if page == 1:
            return listing.query()
        if not keys:
            return listing.query(page=page)
        return listing.query(page=page, **turn)

    back = on = None
    if rows and keys:
        back, on = _token(rows[0], keys), _token(rows[-1], keys)
    beyond = (number + 1) * size > EXACT_UP_TO
    pages: list[tuple[int, str] | None] = [(1, url(1))] if number > 1 else []
    pages += [None] if number > 2 else []
    here = url(number, **_same(listing))
    pages.append((number, here))
    pages += [None] if more else []
    return Leaf(
        rows,
        number,
        (number - 1) * size + 1,
        pages,
        url(number - 1, before=back) if number > 1 else "",
        url(number + 1, after=on) if more and (on or not beyond) else "",
        here,
    )


def _same(listing: Listing) -> dict[str, str | None]:
    """What was asked to get here."""
    return {name: listing.params.get(name) or None for name in ("after", "before")}


def whole(text: str | None, default: int) -> int:
    """A number in a parameter, as far as it is one of at most nine digits."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else default


# --- where one is


def _keys(listing: Listing) -> list[str]:
    """The fields that the rows are ordered by, as order_by takes them; [] where one can't go on from a row: a field is
    no column of its own."""
    keys = []
    for name in listing.ordered().query.order_by:
        if not isinstance(name, str):
            return []
        try:
            field = listing.queryset.model._meta.get_field(_plain(name)) if _plain(name) != "pk" else None
        except FieldDoesNotExist:
            return []
        if field is not None and (not getattr(field, "concrete", False) or field.is_relation):
            return []
        keys.append(name)
    return keys


def _plain(name: str) -> str:
    return name.removeprefix("-")


def _field(listing: Listing, name: str) -> Field[Any, Any]:
    meta = listing.queryset.model._meta
    return meta.pk if _plain(name) == "pk" else meta.get_field(_plain(name))


def token(listing: Listing, row: Any) -> str:
    """What `after` and `before` take, to go on from this row."""
    return _token(row, _keys(listing))


def _token(row: Any, keys: list[str]) -> str:
    """Where this row stands."""
    values = [getattr(row, _plain(name)) for name in keys]
    texts = [
        value.isoformat() if isinstance(value, dt.datetime) else None if value is None else str(value)
        for value in values
    ]
    return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")


def _turned(listing: Listing, keys: list[str], params: QueryDict) -> tuple[QuerySet[Any], bool] | None:
    """The rows behind (or before, nearest first) the row that was asked for, and whether they go backwards."""
    for way, backwards in (("after", False), ("before", True)):
        values = _read(listing, keys, params.get(way, ""))
        if values is None:
            continue
        rows = listing.ordered()
        if backwards:
            rows = rows.reverse()
        # a < x, or a = x and b < y, …; what comes first is said once more, so that an index can begin there.
        beyond, same = Q(), Q()
        for place, (key, value) in enumerate(zip(keys, values, strict=True)):
            name, falling = _plain(key), key.startswith("-") != backwards
            nullable = _field(listing, key).null
            beyond |= same & _beyond(name, value, falling=falling, nullable=nullable)
            same &= Q(**{f"{name}__isnull": True} if value is None else {name: value})
            if not place and len(keys) > 1 and not nullable:
                rows = rows.filter(**{f"{name}__{'lte' if falling else 'gte'}": value})
        return rows.filter(beyond), backwards
    return None


def _beyond(name: str, value: Any, *, falling: bool, nullable: bool) -> Q:
    """What comes after a value. To PostgreSQL NULL is the largest of all."""
    if value is None:
        return Q(**{f"{name}__isnull": False}) if falling else Q(pk__in=[])
    after = Q(**{f"{name}__{'lt' if falling else 'gt'}": value})
    return after | Q(**{f"{name}__isnull": True}) if nullable and not falling else after


def _read(listing: Listing, keys: list[str], token: str) -> list[Any] | None:
    if not token or len(token) > MAX_TOKEN or not token.isascii():
        return None
    try:
        texts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if not isinstance(texts, list) or len(texts) != len(keys):
            return None
        return [_value(_field(listing, key), text) for key, text in zip(keys, texts, strict=True)]
    except (binascii.Error, ValueError, ValidationError, OverflowError):
        return None


def _value(field: Field[Any, Any], text: Any) -> Any:
    """Raises ValueError or ValidationError for what no row has."""
    if text is None and field.null:
        return None
    if not isinstance(text, str) or "\x00" in text:
        raise ValueError("no value of this field")
    return field.to_python(text)
