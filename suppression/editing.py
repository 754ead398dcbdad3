"""What people do to the lists: put on, take off, let through. Each is written down with who did it.

Entries are locked in the order of their keys, as where mail puts them there: nobody locks anybody out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import structlog
from django.db import connection
from django.db.models import QuerySet

from console.models import User
from suppression import address, expiry
from suppression.models import Change, Entry, Upload
from suppression.services import REASON_MAX

log = structlog.get_logger()

CHUNK = 5_000
NAMED = 5  # addresses that a change names


@dataclass(frozen=True, slots=True)
class Given:
    """What a person says of one entry. `since`: when it came to the list that it is taken from, if that is known."""

    reason: str = ""
    since: dt.datetime | None = None


def put(
    name: str,
    given: Mapping[str, Given],
    *,
    now: dt.datetime,
    by: User | None,
    api_user_id: int | None = None,
    expires_at: dt.datetime | None = None,
) -> int:
    """Put these keys on the list `name` (an Entry.List); give how many were not there yet.

    What is there already is renewed: in force again, until `expires_at`, or for as long as the list's rule says. On the
    bounce list a new entry counts as one hard bounce, and mailboxes are told by their domains alone. A statement a
    chunk, each a transaction of its own unless the caller holds one.
    """
    if expires_at is None and name == Entry.List.SPAM_REPORT:
        expires_at = expiry.complaint_expires_at(now)
    numbers = range(1, expiry.STEADY_FROM + 1)
    fresh = 0
    keys = sorted(given)
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        with connection.cursor() as cursor:
            cursor.execute(
                """
                WITH stored AS (
                    INSERT INTO suppression_entry AS e
                        (list, key, api_user_id, created_at, latest_at, expires_at, reason, hits, changed_by_id)
                    SELECT %(list)s, v.key, %(api_user)s, least(v.since, %(now)s), %(now)s,
                           CASE WHEN %(graded)s THEN %(now)s + make_interval(days => (%(days)s::int[])
                               [1 + (split_part(v.key, '@', 2) = ANY(%(tencent)s))::int][1])
                           ELSE %(expires_at)s::timestamptz END, v.reason, 1, %(by)s
                    FROM unnest(%(keys)s::text[], %(reasons)s::text[], %(since)s::timestamptz[])
                        AS v(key, reason, since)
                    ON CONFLICT (key, list, api_user_id) DO UPDATE SET
                        latest_at = greatest(e.latest_at, excluded.latest_at),
                        expires_at = CASE WHEN %(graded)s THEN %(now)s + make_interval(days => (%(days)s::int[])
                               [1 + (e.domain = ANY(%(tencent)s))::int][least(greatest(e.hits, 1), %(steady)s)])
                           ELSE excluded.expires_at END,
                        reason = CASE WHEN excluded.reason = '' THEN e.reason ELSE excluded.reason END,
                        intercepted = true, changed_by_id = excluded.changed_by_id
                    RETURNING xmax = 0 AS fresh
                )
                SELECT count(*) FROM stored WHERE fresh
                """,
                {
                    "list": name,
                    "api_user": api_user_id,
                    "now": now,
                    "graded": expires_at is None and name == Entry.List.BOUNCE,
                    "days": [[expiry.bounce_days(n, tencent) for n in numbers] for tencent in (False, True)],
                    "steady": expiry.STEADY_FROM,
                    "tencent": address.domains_of("tencent"),
                    "expires_at": expires_at,
                    "by": by.pk if by else None,
                    "keys": chunk,
                    "reasons": [given[key].reason[:REASON_MAX] for key in chunk],
                    "since": [given[key].since for key in chunk],
                },
            )
            fresh += int(cursor.fetchone()[0])
    return fresh


def delete(rows: QuerySet[Entry], *, by: User, now: dt.datetime, name: str = "") -> int:
    """Take these entries off their lists; give their number. Belongs into a transaction. `name`: their one list."""
    named: list[str] = []
    count = 0
    for batch in _in_order(rows):
        count += Entry.objects.filter(pk__in=[pk for pk, _key in batch]).delete()[0]
        named += [key for _pk, key in batch][: NAMED - len(named)]
    note(Change.Action.DELETED, by=by.get_username(), now=now, name=name, count=count, keys=named)
    return count


def intercept(rows: QuerySet[Entry], on: bool, *, by: User, now: dt.datetime, name: str = "") -> int:
    """Let mail to these addresses through, or stop it again; give how many were the other way. Belongs into a
    transaction."""
    named: list[str] = []
    count = 0
    for batch in _in_order(rows.filter(intercepted=not on)):
        keys = Entry.objects.filter(pk__in=[pk for pk, _key in batch])
        count += keys.update(intercepted=on, changed_by=by)
        named += [key for _pk, key in batch][: NAMED - len(named)]
    action = Change.Action.INTERCEPTED if on else Change.Action.LET_THROUGH
    note(action, by=by.get_username(), now=now, name=name, count=count, keys=named)
    return count


def _in_order(rows: QuerySet[Entry]) -> Iterator[list[tuple[int, str]]]:
    """(pk, key) of rows in the order of their keys, locked, a chunk at a time. The caller changes each chunk so that it
    no longer matches."""
    after = ""
    bare = rows.select_related(None).order_by("key", "pk").select_for_update()
    while batch := list(bare.filter(key__gte=after).values_list("pk", "key")[:CHUNK]):
        yield batch
        after = batch[-1][1]


def note(
    action: Change.Action,
    *,
    by: str,
    now: dt.datetime,
    count: int,
    keys: Iterable[str],
    name: str = "",
    upload: Upload | None = None,
) -> None:
    """Write down what a person (or a command) did. `keys`: the first of them are named."""
    if not count:
        return
    named = [key.removeprefix("@") for key in islice(keys, NAMED)]
    what = ", ".join(named) + (", …" if count > len(named) else "")
    Change.objects.create(
        action=action, list=name, count=count, what=what[:1000], upload=upload, made_by=by, made_at=now
    )
    log.info("suppression_changed", action=action.value, list=name, count=count, by=by, keys=named)
