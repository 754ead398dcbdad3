"""Sending what is to be told: one sender at a time for each callback address, the events of one message in their
order, everything else side by side. No transaction is open while the network is waited for.

An event may be told twice (a sender that is killed after the answer): `eventId` is the same then.
"""

from __future__ import annotations

import datetime as dt
import secrets as randomness
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from console import ids
from console.outbound import Answer, Client
from delivery.callbacks import payload
from delivery.models import Callback, CallbackEvent, Message
from delivery.services import callbacks

log = structlog.get_logger()

TRY_SECONDS = 3.0
# After each attempt that failed; nine in all.
AFTER = tuple(dt.timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 16, 60, 180, 480))
# After so many failures in a row the address rests; when that has lasted an hour, it is suspended.
ROW_OF_FAILURES = 5
REST = dt.timedelta(minutes=1)
SUSPEND_AFTER = dt.timedelta(hours=1)
PROBE_EVERY = dt.timedelta(minutes=15)
# What nobody takes is kept so long, and what is over is shown so long.
KEEP_WAITING = dt.timedelta(days=3)
KEEP_OVER = dt.timedelta(days=7)

AT_ONCE = 8
BATCH = 200
RUN_SECONDS = 50.0
LEASE_SECONDS = 120
# A turn begins no attempt after so long: so long others wait for a slow receiver, and what came of it is written down
# while the address is still leased.
TURN_SECONDS = 20.0
REQUEST_SHOWN = 8000
ANSWER_SHOWN = 4000


@dataclass(slots=True)
class Told:
    """One attempt."""

    event: CallbackEvent
    answer: Answer
    body: str

    @property
    def taken(self) -> bool:
        return 200 <= self.answer.status < 300


def run(*, seconds: float = RUN_SECONDS, clock: Callable[[], dt.datetime] = timezone.now) -> int:
    """Send what is due, for so long; give the number of attempts."""
    give_up = time.monotonic() + seconds
    attempts = 0
    while time.monotonic() < give_up:
        with _lease(clock()) as callback:
            if callback is None:
                break
            attempts += _serve(callback, clock)
    return attempts


def due(*, now: dt.datetime) -> bool:
    """Whether a run has something to do, and no other is at it."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM delivery_callback c WHERE {_READY}) "  # noqa: S608 (ours)
            "AND NOT EXISTS (SELECT FROM delivery_callback WHERE leased_until > clock_timestamp())",
            {"now": now},
        )
        return bool(cursor.fetchone()[0])


_READY = """
    c.enabled AND (c.leased_until IS NULL OR c.leased_until < clock_timestamp())
    AND (c.rest_until IS NULL OR c.rest_until <= %(now)s)
    AND (EXISTS (SELECT FROM delivery_callbackevent e WHERE e.callback_id = c.id AND e.state = 'waiting'
                 AND e.due <= %(now)s)
         OR c.suspended_at IS NOT NULL
            AND EXISTS (SELECT FROM delivery_callbackevent e WHERE e.callback_id = c.id AND e.state = 'waiting'))
"""


@contextmanager
def _lease(now: dt.datetime) -> Iterator[Callback | None]:
    """An address with something due, for this sender alone; the one that waited longest for its turn."""
    token = randomness.randbits(62) + 1
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE delivery_callback SET lease = %(token)s,
                leased_until = clock_timestamp() + %(seconds)s * interval '1 second'
            WHERE id = ANY(ARRAY(SELECT c.id FROM delivery_callback c WHERE {_READY}
                                 ORDER BY c.leased_until NULLS FIRST, c.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED))
            RETURNING id
            """,  # noqa: S608 (ours)
            {"token": token, "seconds": LEASE_SECONDS, "now": now},
        )
        row = cursor.fetchone()
    if row is None:
        yield None
        return
    try:
        yield Callback.objects.select_related("address__domain").filter(pk=row[0], lease=token).first()
    finally:
        # Into the past, not to NULL: whose turn is next is told by it.
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE delivery_callback SET lease = NULL, leased_until = clock_timestamp() "
                "WHERE id = %s AND lease = %s",
                [row[0], token],
            )


def _serve(callback: Callback, clock: Callable[[], dt.datetime]) -> int:
    """One batch of an address."""
    now = clock()
    events = _batch(callback, now)
    if not events:
        return 0
    bodies = compose(events)
    told = _send(callback, bodies, now)
    _write(callback, told, clock())
    return len(told)


def _batch(callback: Callback, now: dt.datetime) -> list[CallbackEvent]:
    """What is due and has nothing of its own message before it that must wait. A suspended address: one, as a probe,
    and each time another, for it may be this one event that is never taken."""
    if callback.suspended_at is not None:
        return list(_never_tried(callback)[:1]) or list(_unhindered(callback).order_by("tried_at", "id")[:1])
    message_ids = list(_due(callback, now).values_list("message_id", flat=True)[:BATCH])
    # What is due first need not have happened first: of these messages, all that is due, in order.
    return list(_due(callback, now).filter(message_id__in=message_ids).order_by("id")[:BATCH])


def _due(callback: Callback, now: dt.datetime) -> QuerySet[CallbackEvent]:
    """Walks an index from its beginning: of a million that wait, as many are looked at as are taken."""
    before = _waiting(callback).filter(message_id=OuterRef("message_id"), pk__lt=OuterRef("pk"), due__gt=now)
    return _waiting(callback).filter(~Exists(before), due__lte=now).order_by("due", "id")


def _never_tried(callback: Callback) -> QuerySet[CallbackEvent]:
    """Walks the same index."""
    return _unhindered(callback).filter(tried_at=None).order_by("due", "id")


def _unhindered(callback: Callback) -> QuerySet[CallbackEvent]:
    before = _waiting(callback).filter(message_id=OuterRef("message_id"), pk__lt=OuterRef("pk"))
    return _waiting(callback).filter(~Exists(before))


def _waiting(callback: Callback) -> QuerySet[CallbackEvent]:
    return CallbackEvent.objects.filter(callback=callback, state=CallbackEvent.State.WAITING)


def compose(events: Sequence[CallbackEvent]) -> list[tuple[CallbackEvent, bytes]]:
    """The bodies, in the order of the events. Of a message that is no longer kept, what the event knows itself."""
    message_ids = [event.message_id for event in events if event.message_id is not None]
    messages = {}
    if message_ids:
        found = Message.objects.select_related("api_user", "version").filter(
            pk__in=message_ids, pk__gte=min(message_ids), pk__lte=max(message_ids)
        )
        messages = {message.pk: message for message in found}
    return [(event, payload.body(_facts(event, messages.get(event.message_id or 0)))) for event in events]


def _facts(event: CallbackEvent, message: Message | None) -> payload.Facts:
    detail = event.detail
    facts: dict[str, Any] = {
        "event": event.kind,
        "event_id": event.pk,
        "at": event.at,
        "link": detail.get("link", ""),
        "reason": detail.get("reason", ""),
        "cause": detail.get("cause", ""),
        "user_agent": detail.get("user_agent", ""),
        "message_id": event.message_id,
    }
    if message is not None:
        facts |= {
            "email": message.recipient,
            # Neither has a constraint behind it: both may be gone.
            "username": getattr(message.api_user, "name", ""),
            "template_id": getattr(message.version, "template_id", None),
            "sender": message.sender,
            "subject": message.subject,
            "task_id": message.task_id,
        }
    elif event.message_id is None:
        facts |= {"email": "test@example.com", "subject": "Test event", "username": "test"}
    return payload.Facts(**facts)


def _send(callback: Callback, bodies: Sequence[tuple[CallbackEvent, bytes]], now: dt.datetime) -> list[Told]:
    """Messages side by side, the events of one in turn; whatever follows a failure waits for it."""
    rules, keys = callbacks.rules(), callbacks.secrets_in_force(callback, now=now)
    # A test event has no message: each is a line of its own.
    line = lambda pair: (pair[0].message_id is not None, pair[0].message_id or pair[0].pk)  # noqa: E731
    lines = [list(group) for _key, group in groupby(sorted(bodies, key=lambda p: (line(p), p[0].pk)), key=line)]
    failures = 0
    give_up = time.monotonic() + TURN_SECONDS

    def work(mine: list[list[tuple[CallbackEvent, bytes]]]) -> list[Told]:
        nonlocal failures
        told: list[Told] = []
        client = Client(callback.url, rules, seconds=TRY_SECONDS)
        try:
            for one in mine:
                for event, body in one:
                    # A count that two threads raise at once may be one short: then one more is tried.
                    if failures >= ROW_OF_FAILURES or time.monotonic() > give_up:
                        return told
                    told.append(_post(client, event, body, keys))
                    failures = 0 if told[-1].taken else failures + 1
                    if not told[-1].taken:
                        break
        finally:
            client.close()
        return told

    shares = [lines[number::AT_ONCE] for number in range(min(AT_ONCE, len(lines)))]
    with ThreadPoolExecutor(len(shares), "callback") as pool:
        return [told for batch in pool.map(work, shares) for told in batch]


def send_test(event: CallbackEvent, *, now: dt.datetime) -> Told:
    """Send one event now and write down what came of it, whatever state its address is in."""
    bodies = compose([event])
    callback = event.callback
    client = Client(callback.url, callbacks.rules(), seconds=TRY_SECONDS)
    try:
        told = _post(client, event, bodies[0][1], callbacks.secrets_in_force(callback, now=now))
    finally:
        client.close()
    _note(told, now, final=True)
    event.save()
    return told


def _post(client: Client, event: CallbackEvent, body: bytes, keys: Sequence[bytes]) -> Told:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Posthorn",
        # The moment of this attempt, so that a receiver can refuse what is replayed.
        "X-Posthorn-Signature": payload.signature(body, keys, at=int(time.time())),
    }
    return Told(event, _clean(client.post(body, headers)), body.decode()[:REQUEST_SHOWN])


def _clean(answer: Answer) -> Answer:
    return Answer(answer.status, answer.text.replace("\x00", "\ufffd")[:ANSWER_SHOWN], answer.problem, answer.seconds)


def _note(told: Told, now: dt.datetime, *, final: bool = False, suspended: bool = False) -> None:
    event = told.event
    event.tried_at, event.request, event.seconds = now, told.body, told.answer.seconds
    event.status_code = told.answer.status or None
    event.answer, event.problem = told.answer.text, told.answer.problem
    if told.taken:
        event.attempts += 1
        event.state, event.due = CallbackEvent.State.TAKEN, None
    elif final or event.attempts >= len(AFTER):
        event.attempts += 1
        event.state, event.due = CallbackEvent.State.GIVEN_UP, None
    elif not suspended:
        # A probe of a suspended address says something of the address, not of this event.
        event.due = now + AFTER[event.attempts]
        event.attempts += 1


_FIELDS = ["tried_at", "request", "seconds", "status_code", "answer", "problem", "attempts", "state", "due"]


def _write(callback: Callback, told: Sequence[Told], now: dt.datetime) -> None:
    for one in told:
        _note(one, now, suspended=callback.suspended_at is not None)
    with transaction.atomic():
        current = Callback.objects.select_for_update(no_key=True).filter(pk=callback.pk, lease=callback.lease).first()
        if current is None:
            # Another sender has the address by now, and tells these again.
            return
        CallbackEvent.objects.bulk_update([one.event for one in told], _FIELDS, batch_size=100)
        _put_off(current, [one.event for one in told if not one.taken])
        _judge(current, told, now)


def _put_off(callback: Callback, failed: Sequence[CallbackEvent]) -> None:
    """What waits behind these, of the same messages, is due no sooner: nobody looks at it before its turn."""
    before = [event for event in failed if event.state == CallbackEvent.State.WAITING]
    if not before:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE delivery_callbackevent e SET due = v.due
            FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS v(message_id, id, due)
            WHERE e.callback_id = %s AND e.state = 'waiting'
                AND e.message_id = v.message_id AND e.id > v.id AND e.due < v.due
            """,
            [
                [event.message_id for event in before],
                [event.pk for event in before],
                [event.due for event in before],
                callback.pk,
            ],
        )


def _judge(callback: Callback, told: Sequence[Told], now: dt.datetime) -> None:
    """What these attempts say of the address."""
    failed = [one for one in told if not one.taken]
    if len(failed) < len(told):
        if callback.suspended_at is not None:
            log.info("callback_resumed", callback=callback.pk)
            _waiting(callback).filter(due__gt=now).update(due=now)
        callback.failing_since = callback.suspended_at = callback.rest_until = None
        callback.last_problem = ""
    elif failed:
        last = failed[-1].answer
        callback.failing_since = callback.failing_since or now
        callback.last_problem = (last.problem or f"HTTP {last.status}")[:300]
        if now - callback.failing_since >= SUSPEND_AFTER:
            if callback.suspended_at is None:
                log.warning("callback_suspended", callback=callback.pk, problem=callback.last_problem)
                callback.suspended_at = now
            callback.rest_until = now + PROBE_EVERY
        elif len(failed) >= ROW_OF_FAILURES:
            callback.rest_until = now + REST
    callback.save(update_fields=["failing_since", "suspended_at", "rest_until", "last_problem"])


def tidy(*, now: dt.datetime, most: int = 10_000) -> int:
    """Give up what has waited too long, and delete what is over and old; give the number deleted."""
    events = CallbackEvent.objects.all()
    old = list(events.filter(pk__lt=ids.id_at(now - KEEP_OVER)).order_by("pk").values_list("pk", flat=True)[:most])
    deleted, _by_model = events.filter(pk__in=old).delete()
    stale = Q(state=CallbackEvent.State.WAITING, pk__lt=ids.id_at(now - KEEP_WAITING))
    events.filter(pk__in=events.filter(stale).order_by("pk").values("pk")[:most]).update(
        state=CallbackEvent.State.GIVEN_UP, due=None, problem="not taken within 3 days"
    )
    return deleted
