"""A second look, at mail in hand, at what may have changed since it was requested: what holds it, who has asked not to
be mailed, and how much may go today."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence

from delivery.engine.claim import Claimed
from delivery.engine.settle import Settled
from delivery.engine.store import Store
from delivery.models import Status
from delivery.services import going_on
from suppression import services as suppression
from suppression.address import key_of


def look(batch: Sequence[Claimed], store: Store, *, now: dt.datetime) -> tuple[list[Claimed], list[Settled]]:
    """Mail that may go, and what becomes of the rest."""
    aside: list[Settled] = []
    free: list[Claimed] = []
    by_user: dict[int, list[Claimed]] = defaultdict(list)
    for one in batch:
        if held_by := store.held_by(one):
            aside.append(Settled(one, Status.HELD, held_by=held_by))
        else:
            by_user[one.api_user_id].append(one)
    for user_id, theirs in by_user.items():
        keys = {one.message_id: key_of(one.recipient) for one in theirs}
        stops = suppression.stopped(set(keys.values()), api_user_id=user_id, now=now)
        for one in theirs:
            if stop := stops.get(keys[one.message_id]):
                aside.append(Settled(one, Status.INVALID, reason=stop.reason, last_reply=stop.text))
            else:
                free.append(one)
    over = going_on.over_quota(free, now=now, account=store.account)
    aside += [Settled(one, Status.HELD, held_by=over[one.message_id]) for one in free if one.message_id in over]
    return [one for one in free if one.message_id not in over], aside
