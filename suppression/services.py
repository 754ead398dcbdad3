"""Asking the lists, and adding to them. Set-wise: one statement for any number of addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

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


def stopped(keys: Iterable[str], *, api_user_id: int, now: dt.datetime) -> dict[str, Stop]:
    """Which of these keys (Address.key) must not be mailed by this API user, and why."""
    wanted = list(keys)
    if not wanted:
        return {}
    # A blocked domain stands as "@domain": ask for those in the same breath.
    by_domain: dict[str, list[str]] = {}
    for key in wanted:
        by_domain.setdefault(key[key.rindex("@") :], []).append(key)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT key, list FROM suppression_entry
            WHERE key = ANY(%s) AND (api_user_id IS NULL OR api_user_id = %s)
              AND (expires_at IS NULL OR expires_at > %s)
            """,
            [wanted + list(by_domain), api_user_id, now],
        )
        found: dict[str, str] = {}
        for entry, name in cursor.fetchall():
            for key in by_domain.get(entry, [entry]) if entry.startswith("@") else [entry]:
                if key not in found or _ORDER.index(name) < _ORDER.index(found[key]):
                    found[key] = name
    return {key: STOPS[name] for key, name in found.items()}


def unsubscribe(key: str, *, api_user_id: int, now: dt.datetime, reason: str = "") -> bool:
    """Put the address on the unsubscriptions of this API user. True when it was not there yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO suppression_entry (list, key, api_user_id, created_at, latest_at, reason, hits)
            VALUES (%s, %s, %s, %s, %s, %s, 1)
            ON CONFLICT (key, list, api_user_id) DO UPDATE SET
                latest_at = excluded.latest_at, hits = suppression_entry.hits + 1,
                reason = CASE WHEN excluded.reason = '' THEN suppression_entry.reason ELSE excluded.reason END
            RETURNING hits = 1
            """,
            [Entry.List.UNSUBSCRIPTION, key, api_user_id, now, now, reason[:300]],
        )
        return bool(cursor.fetchone()[0])
