"""Asking the lists, and adding to them. Set-wise: one statement for any number of addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from console.arrays import texts
from suppression import expiry
from suppression.models import Entry


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an address is not mailed: the message's reason, and the text that is shown as its last reply."""

    reason: str
    text: str


# In the order in which they are named when an address is on several.
STOPS: dict[str, Stop] = {
    Entry.List.SPAM_REPORT: Stop("blacklist", "Blacklist: Spam Report (worker:address in complaint list)"),
    Entry.List.BLOCK: Stop("blacklist", "Blacklist: Custom Block (worker:address in block list)"),
    Entry.List.BOUNCE: Stop("blacklist", "Blacklist: Bounce (worker:address in bounce list)"),
    Entry.List.UNSUBSCRIPTION: Stop("unsubscribe", "unsubscribe"),
}
_ORDER = list(STOPS)

REASON_MAX = Entry._meta.get_field("reason").max_length


def stopped(keys: Iterable[str], *, api_user_id: int, now: dt.datetime) -> dict[str, Stop]:
    """Which of these keys (Address.key) must not be mailed by this API user, and why."""
    wanted = list(keys)
    if not wanted:
        return {}
    # A blocked domain stands as "@domain": ask for those in the same breath.
    by_domain: dict[str, list[str]] = {}
    for key in wanted:
        by_domain.setdefault(key[key.rindex("@") :], []).append(key)
    found: dict[str, str] = dict.fromkeys(_played(by_domain), Entry.List.BOUNCE.value)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT key, list FROM suppression_entry
            WHERE key = ANY(%s::text[]) AND (api_user_id IS NULL OR api_user_id = %s)
              AND (expires_at IS NULL OR expires_at > %s) AND intercepted
            """,
            [texts(wanted + list(by_domain)), api_user_id, now],
        )
        for entry, name in cursor.fetchall():
            for key in by_domain.get(entry, []) if entry.startswith("@") else [entry]:
                if key not in found or _ORDER.index(name) < _ORDER.index(found[key]):
                    found[key] = name
    return {key: STOPS[name] for key, name in found.items()}


def _played(by_domain: dict[str, list[str]]) -> list[str]:
    """The simulator's addresses that are on the bounce list without an entry: suppressionlist@, with any +label."""
    if not settings.SIMULATOR:
        return []
    theirs = by_domain.get(f"@{settings.SIMULATOR_DOMAIN}", [])
    return [key for key in theirs if key.startswith(("suppressionlist@", "suppressionlist+"))]


@dataclass(frozen=True, slots=True)
class HardBounce:
    """One mail that could not be delivered because its address does not exist. `key` is Address.key; `tencent`: the
    mailbox is Tencent's, by the address's domain or by its MX; `reason` the remote server's words; `api_user_id`: whose
    mail it was."""

    key: str
    tencent: bool
    message_id: int | None = None
    reason: str = ""
    api_user_id: int | None = None


def hard_bounces(items: Sequence[HardBounce], *, now: dt.datetime) -> None:
    """Put the addresses on the bounce list, for all API users. One statement; its locks are taken in order of the keys.

    An entry's hits are the address's hard bounces so far, those of an entry that had expired too. The message that put
    it there last counts once, however often it is reported. Whether the entry is intercepted stays as it is.
    """
    if not items:
        return
    by_key: dict[str, list[HardBounce]] = {}
    for item in items:
        by_key.setdefault(item.key, []).append(item)
    keys = sorted(by_key)
    latest = [by_key[key][-1] for key in keys]
    numbers = range(1, expiry.STEADY_FROM + 1)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO suppression_entry AS e
                (list, key, created_at, latest_at, expires_at, reason, hits, message_id, origin_id)
            SELECT %(list)s, v.key, %(now)s, %(now)s,
                   %(now)s + make_interval(days => (%(days)s::int[])[1 + v.tencent::int][least(v.hits, %(steady)s)]),
                   v.reason, v.hits, v.message_id, v.origin
            FROM unnest(%(keys)s::text[], %(tencent)s::boolean[], %(reasons)s::text[], %(hits)s::int[],
                        %(messages)s::bigint[], %(origins)s::bigint[])
                AS v(key, tencent, reason, hits, message_id, origin)
            ON CONFLICT (key, list, api_user_id) DO UPDATE SET
                latest_at = excluded.latest_at, reason = excluded.reason, message_id = excluded.message_id,
                origin_id = excluded.origin_id, hits = e.hits + excluded.hits,
                expires_at = %(now)s + make_interval(days => (%(days)s::int[])
                    [1 + (e.key = ANY(%(tencent_keys)s::text[]))::int][least(e.hits + excluded.hits, %(steady)s)])
            WHERE excluded.message_id IS NULL OR e.message_id IS DISTINCT FROM excluded.message_id
            """,
            {
                "list": Entry.List.BOUNCE,
                "now": now,
                "keys": keys,
                "tencent": [one.tencent for one in latest],
                "tencent_keys": [one.key for one in latest if one.tencent],
                "reasons": [one.reason[:REASON_MAX] for one in latest],
                "hits": [_times(by_key[key]) for key in keys],
                "messages": [one.message_id for one in latest],
                "origins": [one.api_user_id for one in latest],
                "steady": expiry.STEADY_FROM,
                "days": [[expiry.bounce_days(n, tencent) for n in numbers] for tencent in (False, True)],
            },
        )


def _times(bounces: Sequence[HardBounce]) -> int:
    """How many these are: one for each message, and one for each that names none."""
    ids = [one.message_id for one in bounces]
    return len(set(ids) - {None}) + ids.count(None)


def complain(
    key: str,
    *,
    now: dt.datetime,
    reason: str = "",
    message_id: int | None = None,
    api_user_id: int | None = None,
) -> bool:
    """Put the address on the spam reports, for all API users, until 180 days after the latest report. True when it was
    not there yet. Reports about one message count once. `api_user_id`: whose mail it was."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO suppression_entry AS e
                (list, key, created_at, latest_at, expires_at, reason, hits, message_id, origin_id)
            VALUES (%s, %s, %s, %s, %s, %s, 1, %s, %s)
            ON CONFLICT (key, list, api_user_id) DO UPDATE SET
                latest_at = greatest(e.latest_at, excluded.latest_at),
                expires_at = greatest(e.expires_at, excluded.expires_at),
                reason = CASE WHEN excluded.reason = '' THEN e.reason ELSE excluded.reason END,
                hits = e.hits
                    + (excluded.message_id IS NULL OR e.message_id IS DISTINCT FROM excluded.message_id)::int,
                message_id = coalesce(excluded.message_id, e.message_id),
                origin_id = coalesce(excluded.origin_id, e.origin_id)
            RETURNING xmax = 0
            """,
            [
                Entry.List.SPAM_REPORT,
                key,
                now,
                now,
                expiry.complaint_expires_at(now),
                reason[:REASON_MAX],
                message_id,
                api_user_id,
            ],
        )
        return bool(cursor.fetchone()[0])


def unsubscribe(
    key: str, *, api_user_id: int, now: dt.datetime, reason: str = "", message_id: int | None = None
) -> bool:
    """Put the address on the unsubscriptions of this API user. True when it was not there yet.

    `reason` is an UnsubscribeReason, or empty where none was given.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO suppression_entry AS e
                (list, key, api_user_id, origin_id, created_at, latest_at, reason, hits, message_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, 1, %s)
            ON CONFLICT (key, list, api_user_id) DO UPDATE SET
                latest_at = excluded.latest_at, hits = e.hits + 1,
                reason = CASE WHEN excluded.reason = '' THEN e.reason ELSE excluded.reason END,
                message_id = coalesce(excluded.message_id, e.message_id)
            RETURNING xmax = 0
            """,
            [Entry.List.UNSUBSCRIPTION, key, api_user_id, api_user_id, now, now, reason[:REASON_MAX], message_id],
        )
        return bool(cursor.fetchone()[0])


def take_back_unsubscription(key: str, *, api_user_id: int) -> bool:
    """The owner of the address wants this API user's mail after all. True when it was on the list."""
    deleted, _by_model = Entry.objects.filter(list=Entry.List.UNSUBSCRIPTION, key=key, api_user_id=api_user_id).delete()
    return bool(deleted)
