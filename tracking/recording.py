"""Opens and clicks, written down a batch at a time: events, the message's first times, and what is counted by them.

One transaction. It may be repeated with hits that were written before: they are known again by their ids. Rows of
messages are locked in the order of their ids, so that two processes never wait for each other in a circle.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connection, transaction

from console import ids
from console.arrays import numbers, texts
from console.copying import copy_in
from console.models import Account
from delivery.callbacks import outbox
from delivery.engine.retry import is_simulated
from delivery.models import Happening, Status
from delivery.services import quota
from delivery.services.deltas import OF, Deltas, Of
from tracking import automatic
from tracking.clients import client_name
from tracking.hits import Hit
from tracking.links import links_of
from tracking.models import Event

MAX_LINK = 2000
CLICK, OPEN = Event.Kind.CLICK.value, Event.Kind.OPEN.value


class Known(NamedTuple):
    """What is known of a hit's message. `sent_at` as PostgreSQL writes it, `sent` in seconds since 1970. `under_way`:
    it is being handed over just now, as far as is settled."""

    of: Of
    receiving_domain: str
    sent_at: str | None
    sent: float | None
    under_way: bool
    opened: bool
    opened_by_machine: bool
    clicked: bool

    @property
    def id(self) -> int:
        return self.of.message_id

    def seconds(self, at: float) -> float | None:
        """From delivery to `at`; None when nothing is known of a delivery."""
        if self.under_way:
            return 0.0
        return None if self.sent is None else at - self.sent


@dataclass(slots=True)
class Recorded:
    """A hit that is written. `automatic`: the rule by which it was a machine's; "" a person's. `first`: the message's
    first of its kind by a person."""

    hit: Hit
    message: Known
    client: str
    automatic: str
    first: bool = False

    @property
    def at(self) -> dt.datetime:
        return ids.time_of(self.hit.id)


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Clicks that were taken for a person's, and were a machine's. `unique`: the message has no other of a person."""

    message: Known
    clicks: int
    unique: bool


@dataclass(slots=True)
class _State:
    """What the locked row of a message says, and what it shall say."""

    opened: bool
    opened_by_machine: bool
    clicked: bool
    times: dict[str, dt.datetime] = field(default_factory=dict)


def write(hits: Sequence[Hit]) -> None:
    """Write them. Hits of messages that are no longer kept are passed over."""
    with transaction.atomic(), connection.cursor() as cursor:
        known = _known(cursor, {hit.message_id for hit in hits})
        before = _written_before(cursor, [hit.id for hit in hits])
        found = [
            _judged(hit, known[hit.message_id]) for hit in hits if hit.message_id in known and hit.id not in before
        ]
        states = _lock(cursor, {one.message.id for one in found if _may_change(one)})
        wrong = _bursts(cursor, found)
        _firsts(found, states)
        _copy(cursor, found)
        taken_back = _take_back(cursor, wrong, known)
        _update(cursor, states)
        _follow(found, taken_back)


def _follow(recorded: Sequence[Recorded], taken_back: Sequence[TakenBack]) -> None:
    """What follows from hits, in the transaction that writes them: statistics, the warm-up, callbacks."""
    changed = Deltas()
    for one in recorded:
        kind = "opens" if one.hit.kind == OPEN else "clicks"
        if one.automatic:
            changed.add(one.message.of, **{f"automatic_{kind}": 1})
        else:
            changed.add(one.message.of, **{kind: 1, f"unique_{kind}": int(one.first)})
    for back in taken_back:
        changed.add(back.message.of, clicks=-back.clicks, unique_clicks=-int(back.unique), automatic_clicks=back.clicks)
    changed.write()
    _warm_up([one for one in recorded if one.first and one.hit.kind == OPEN])
    # Nobody is told what machines do.
    outbox.tell(_told(one) for one in recorded if not one.automatic)


def _warm_up(opens: Sequence[Recorded]) -> None:
    """A first open counts for its sender domain, on the day on which it came."""
    counts: Counter[tuple[int, dt.date]] = Counter()
    zone = Account.current().zone if opens else None
    for one in opens:
        if not is_simulated(one.message.receiving_domain):
            counts[one.message.of.sender_domain_id, one.at.astimezone(zone).date()] += 1
    quota.count_opens(counts)


def _told(one: Recorded) -> outbox.Happened:
    if one.hit.kind == OPEN:
        return outbox.Happened(one.message.id, Happening.OPEN, one.at, {"user_agent": one.hit.user_agent})
    detail = {"user_agent": one.hit.user_agent, "link": one.hit.link[:MAX_LINK]}
    return outbox.Happened(one.message.id, Happening.CLICK, one.at, detail)


def _judged(hit: Hit, message: Known) -> Recorded:
    rule = automatic.judge(hit.user_agent, hit.hints, message.seconds(ids.seconds_of(hit.id)))
    return Recorded(hit, message, client_name(hit.user_agent), rule)


def _may_change(one: Recorded) -> bool:
    """Whether the message's row, or older clicks of it, may have to change."""
    if one.hit.kind == OPEN:
        return not (one.message.opened_by_machine if one.automatic else one.message.opened)
    return not one.automatic


def _known(cursor: Any, message_ids: Iterable[int]) -> dict[int, Known]:
    cursor.execute(
        f"""
        SELECT {OF}, coalesce(r.name, ''), m.sent_at::text, extract(epoch FROM m.sent_at)::float8,
               w.claim_token IS NOT NULL,
               m.opened_at IS NOT NULL, m.opened_by_machine_at IS NOT NULL, m.clicked_at IS NOT NULL
        FROM delivery_message m
        LEFT JOIN delivery_receivingdomain r ON r.id = m.receiving_domain_id
        LEFT JOIN delivery_waiting w ON w.message_id = m.id AND m.status = %s
        WHERE m.id = ANY(%s::bigint[])
        """,  # noqa: S608 (names of our own)
        [Status.SENDING.value, numbers(message_ids)],
    )
    facts = len(Of._fields)
    return {row[0]: Known(Of(*row[:facts]), *row[facts:]) for row in cursor.fetchall()}


def _written_before(cursor: Any, event_ids: list[int]) -> set[int]:
    cursor.execute("SELECT id FROM tracking_event WHERE id = ANY(%s::bigint[])", [numbers(event_ids)])
    return {row[0] for row in cursor.fetchall()}


def _lock(cursor: Any, message_ids: set[int]) -> dict[int, _State]:
    if not message_ids:
        return {}
    cursor.execute(
        """
        SELECT id, opened_at IS NOT NULL, opened_by_machine_at IS NOT NULL, clicked_at IS NOT NULL
        FROM delivery_message WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE
        """,
        [numbers(message_ids)],
    )
    return {row[0]: _State(*row[1:]) for row in cursor.fetchall()}


def _bursts(cursor: Any, found: Sequence[Recorded]) -> dict[int, list[int]]:
    """Mark the clicks of bursts; give the events, by message, that were written as a person's before the rest of their
    burst came. Their messages are locked: what another process wrote is seen."""
    rule = automatic.burst()
    clicked = {one.message.id: one.message for one in found if one.hit.kind == CLICK and not one.automatic}
    if rule is None or not clicked:
        return {}
    # (seconds, link, event, whether it stands as a person's) of each message's last clicks, old and new.
    clicks: defaultdict[int, list[tuple[float, str, int, bool]]] = defaultdict(list)
    ours: dict[int, Recorded] = {}
    for one in found:
        hit = one.hit
        if hit.message_id in clicked:
            ours[hit.id] = one
            if hit.kind == CLICK:
                clicks[hit.message_id].append((ids.seconds_of(hit.id), hit.link[:MAX_LINK], hit.id, not one.automatic))
    cursor.execute(
        "SELECT message_id, id, link, automatic = '' FROM tracking_event "
        "WHERE message_id = ANY(%s::bigint[]) AND kind = %s AND id BETWEEN %s AND %s",
        [
            numbers(clicked),
            CLICK,
            ids.id_at(ids.time_of(min(ours)) - dt.timedelta(seconds=rule.within)),
            ids.id_at(ids.time_of(max(ours)) + dt.timedelta(seconds=rule.within)),
        ],
    )
    for message_id, event_id, link, persons in cursor.fetchall():
        clicks[message_id].append((ids.seconds_of(event_id), link, event_id, persons))
    wrong: dict[int, list[int]] = {}
    name = automatic.burst_rule()
    for message_id, each in clicks.items():
        if len(each) < rule.least:
            continue
        each.sort()
        places = automatic.bursts([(at, link) for at, link, _id, _persons in each], _links(clicked[message_id]))
        for _at, _link, event_id, persons in (each[place] for place in places):
            if not persons:
                continue
            if event_id in ours:
                ours[event_id].automatic = name
            else:
                wrong.setdefault(message_id, []).append(event_id)
    return wrong


def _links(message: Known) -> int:
    return links_of(message.of.version_id)


def _firsts(found: Sequence[Recorded], states: dict[int, _State]) -> None:
    """Mark the first of each kind; the states keep the times."""
    for one in found:
        state = states.get(one.message.id)
        if state is None:
            continue
        if one.hit.kind == OPEN and one.automatic:
            if not state.opened_by_machine:
                state.opened_by_machine = True
                state.times["opened_by_machine_at"] = one.at
            continue
        column = "opened" if one.hit.kind == OPEN else "clicked"
        one.first = not one.automatic and not getattr(state, column)
        if one.first:
            setattr(state, column, True)
            state.times[f"{column}_at"] = one.at


def _copy(cursor: Any, recorded: Sequence[Recorded]) -> None:
    if not recorded:
        return
    columns = (
        "tracking_event (id, message_id, kind, link, ip, user_agent, client, automatic, detail, "
        "sender_domain_id, receiving_domain_id, sent_at)"
    )
    rows = (
        (
            one.hit.id,
            one.hit.message_id,
            one.hit.kind,
            one.hit.link[:MAX_LINK],
            one.hit.ip,
            one.hit.user_agent,
            one.client,
            one.automatic,
            "{}",
            one.message.of.sender_domain_id,
            one.message.of.receiving_domain_id,
            one.message.sent_at,
        )
        for one in recorded
    )
    copy_in(cursor, columns, rows)


def _update(cursor: Any, states: dict[int, _State]) -> None:
    changed = {message_id: state.times for message_id, state in states.items() if state.times}
    if not changed:
        return
    cursor.execute(
        """
        UPDATE delivery_message m SET opened_at = coalesce(m.opened_at, v.opened_at),
            opened_by_machine_at = coalesce(m.opened_by_machine_at, v.opened_by_machine_at),
            clicked_at = coalesce(m.clicked_at, v.clicked_at)
        FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
            AS v(id, opened_at, opened_by_machine_at, clicked_at)
        WHERE m.id = v.id AND m.id BETWEEN %s AND %s
        """,
        [
            numbers(changed),
            *(texts(_written(times.get(name)) for times in changed.values()) for name in _TIMES),
            min(changed),
            max(changed),
        ],
    )


_TIMES = ("opened_at", "opened_by_machine_at", "clicked_at")


def _written(moment: dt.datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _take_back(cursor: Any, wrong: dict[int, list[int]], known: dict[int, Known]) -> list[TakenBack]:
    """Mark clicks that had been taken for a person's, and give their messages the time of the first that still is."""
    if not wrong:
        return []
    cursor.execute(
        "UPDATE tracking_event SET automatic = %s WHERE id = ANY(%s)",
        [automatic.burst_rule(), [event_id for events in wrong.values() for event_id in events]],
    )
    cursor.execute(
        "SELECT message_id, min(id) FROM tracking_event "
        "WHERE message_id = ANY(%s) AND id >= %s AND kind = %s AND automatic = '' GROUP BY message_id",
        [list(wrong), min(wrong), CLICK],
    )
    left = dict(cursor.fetchall())
    cursor.execute(
        """
        UPDATE delivery_message m SET clicked_at = v.clicked_at
        FROM unnest(%s::bigint[], %s::timestamptz[]) AS v(id, clicked_at)
        WHERE m.id = v.id AND m.id BETWEEN %s AND %s
        """,
        [
            list(wrong),
            [ids.time_of(left[message_id]) if message_id in left else None for message_id in wrong],
            min(wrong),
            max(wrong),
        ],
    )
    return [TakenBack(known[message_id], len(events), message_id not in left) for message_id, events in wrong.items()]
