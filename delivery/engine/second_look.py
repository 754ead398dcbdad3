"""A second look, at mail in hand, at what may have changed since it was requested: what holds it, who has asked not to
be mailed, and how much may go today. What waits for a slow server is looked at again, all together, until it goes: so
nobody is mailed who had said no before that."""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from delivery.engine import claim
from delivery.engine.claim import Claimed
from delivery.engine.settle import Settled
from delivery.engine.store import Store
from delivery.models import Status
from delivery.services import going_on
from suppression import services as suppression
from suppression.address import key_of
from suppression.services import Stop

# What did not go within so many seconds is looked at again; servers that are quick have theirs before. What was seen
# longer ago than FREE_SECONDS, because the database is away, counts for nothing.
AGAIN_SECONDS = 5.0
FREE_SECONDS = 12.0


def look(batch: Sequence[Claimed], store: Store, *, now: dt.datetime) -> tuple[list[Claimed], list[Settled]]:
    """Mail that may go, and what becomes of the rest."""
    aside: list[Settled] = []
    free: list[Claimed] = []
    asked_at = time.monotonic()
    for one in batch:
        if held_by := store.held_by(one):
            aside.append(Settled(one, Status.HELD, held_by=held_by))
        else:
            free.append(one)
    stops = _stops(free, now=now)
    for one in free:
        if stop := stops.get(one.message_id):
            aside.append(Settled(one, Status.INVALID, reason=stop.reason, last_reply=stop.text))
        else:
            one.free_until = asked_at + FREE_SECONDS
    free = [one for one in free if one.message_id not in stops]
    over = going_on.over_quota(free, now=now, account=store.account)
    aside += [Settled(one, Status.HELD, held_by=over[one.message_id]) for one in free if one.message_id in over]
    return [one for one in free if one.message_id not in over], aside


def look_again(in_hand: Sequence[Claimed], store: Store, *, now: dt.datetime) -> None:
    """At mail that waits, or whose server takes its time. What must not go any more is not free then: its MAIL, or its
    body, is not written, so it is given back, and the next claim sees what becomes of it."""
    asked_at = time.monotonic()
    old = [one for one in in_hand if one.free_until < asked_at + FREE_SECONDS - AGAIN_SECONDS]
    stops = _stops(old, now=now)
    paused, stopped = (set(ids) for ids in claim.resting_tasks()) if old else (set(), set())
    for one in old:
        rests = one.task_id in paused or (one.task_id in stopped and not one.attempts)
        one.free_until = 0.0 if rests or one.message_id in stops else asked_at + FREE_SECONDS
    for one in in_hand:
        if store.held_by(one):
            one.free_until = 0.0


def _stops(mails: Iterable[Claimed], *, now: dt.datetime) -> dict[int, Stop]:
    """By message: who must not be mailed, and why."""
    keys: dict[int, dict[int, str]] = defaultdict(dict)
    for one in mails:
        keys[one.api_user_id][one.message_id] = key_of(one.recipient)
    found: dict[int, Stop] = {}
    for user_id, theirs in keys.items():
        stops = suppression.stopped(set(theirs.values()), api_user_id=user_id, now=now)
        found |= {message_id: stops[key] for message_id, key in theirs.items() if key in stops}
    return found
