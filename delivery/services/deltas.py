"""Saying what changed, for the statistics: in the transaction in which it happened, added up, in one statement.

changed = Deltas()
changed.moved(Of.message(message), ("sending", ""), ("delivered", ""), free=False)
changed.add(Of.message(message), opens=1, unique_opens=1)
changed.write()
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection

from console import ids
from console.arrays import numbers, texts
from delivery.models import Message
from delivery.services.columns import COLUMNS, Counts, counts, of_change

QUARTER = dt.timedelta(minutes=15)
QUARTER_MS = int(QUARTER.total_seconds() * 1000)
# Where a query gives what `Of` takes: SELECT {OF} FROM delivery_message m
OF = "m.id, m.api_user_id, m.sender_domain_id, m.receiving_domain_id, m.version_id, m.label"


class Of(NamedTuple):
    """The message that something happened to, as far as statistics tell messages apart."""

    message_id: int
    api_user_id: int
    sender_domain_id: int
    receiving_domain_id: int
    version_id: int
    label: str

    @classmethod
    def message(cls, message: Message) -> Of:
        return cls(
            message.pk,
            message.api_user_id,
            message.sender_domain_id,
            message.receiving_domain_id,
            message.version_id,
            message.label,
        )


def quarter(moment: dt.datetime) -> dt.datetime:
    """The beginning of the quarter-hour, UTC."""
    return moment - (moment - ids.EPOCH) % QUARTER


class Deltas:
    """Changes of one transaction. What cancels itself out is not written."""

    def __init__(self) -> None:
        self._changes: Counter[tuple[int, int, int, int, int, str, Counts]] = Counter()

    def moved(self, of: Of, old: tuple[str, str] | None, new: tuple[str, str], *, free: bool) -> None:
        """A message went from one (status, reason) to another; None: it was made. `free`: see columns.of_outcome."""
        self._count(of, of_change(old, new, free))

    def add(self, of: Of, **columns: int) -> None:
        """Something came back: add(of, clicks=1)."""
        self._count(of, counts(**columns))

    def _count(self, of: Of, change: Counts) -> None:
        if any(change):
            self._changes[((of[0] >> ids.SHIFT) // QUARTER_MS, *of[1:], change)] += 1

    def write(self) -> None:
        """Append what changed: nobody waits for anybody, and a job folds it into the sums."""
        summed: dict[tuple[int, int, int, int, int, str], list[int]] = {}
        for (*key, change), times in self._changes.items():
            row = summed.setdefault(tuple(key), [0] * len(COLUMNS))  # type: ignore[arg-type]
            for place, number in enumerate(change):
                row[place] += number * times
        append([(ids.EPOCH + key[0] * QUARTER, *key[1:], *row) for key, row in sorted(summed.items())])
        self._changes.clear()


def append(rows: Sequence[tuple[Any, ...]], *, by_template: bool = False) -> None:
    """Append (quarter, API user, sender domain, receiving domain, template version, label, *COLUMNS); `by_template`:
    with the template itself in the version's place."""
    rows = [row for row in rows if any(row[-len(COLUMNS) :])]
    if rows:
        with connection.cursor() as cursor:
            moments, *keys, labels = zip(*(row[: -len(COLUMNS)] for row in rows), strict=True)
            counted = zip(*(row[-len(COLUMNS) :] for row in rows), strict=True)
            cursor.execute(
                _APPEND_BY_TEMPLATE if by_template else _APPEND,
                [
                    texts(moment.isoformat() for moment in moments),
                    *map(numbers, keys),
                    texts(labels),
                    *map(numbers, counted),
                ],
            )


# A template's versions count together; one that is gone counts as template 0.
_APPEND = f"""
    INSERT INTO delivery_delta (at, api_user_id, sender_domain_id, receiving_domain_id, template_id, label,
                                {", ".join(COLUMNS)})
    SELECT u.at, u.api_user, u.sender_domain, u.receiving_domain, coalesce(v.template_id, 0), u.label,
           {", ".join(f"u.{name}" for name in COLUMNS)}
    FROM unnest(%s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],
                {", ".join(["%s::int[]"] * len(COLUMNS))})
        AS u(at, api_user, sender_domain, receiving_domain, version, label, {", ".join(COLUMNS)})
    LEFT JOIN delivery_templateversion v ON v.id = u.version
"""  # noqa: S608  (names of our own)
_APPEND_BY_TEMPLATE = _APPEND.replace("coalesce(v.template_id, 0)", "u.version").replace(
    "LEFT JOIN delivery_templateversion v ON v.id = u.version", ""
)
