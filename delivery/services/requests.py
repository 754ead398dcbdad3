"""Making message rows: the one way by which mail enters.

Suppression, malformed addresses and the control group are decided here for a whole chunk at once, and the rows go in
by COPY. Callers hold a transaction, so that rows, waiting rows, counts and the caller's own cursor move together.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.utils import timezone

from console import ids
from console.copying import copy_in
from console.models import Account, ApiUser
from delivery.callbacks import outbox
from delivery.engine.retry import is_simulated
from delivery.models import HeldBy, Reason, Relay, SenderDomain, Status, Waiting
from delivery.schedule import SendWindow
from delivery.services import credits, flow, relays
from delivery.services.counts import move_counts
from delivery.services.deltas import Deltas, Of
from suppression import services as suppression


@dataclass(frozen=True, slots=True)
class Request:
    """What all messages of one request share."""

    api_user: ApiUser
    sender_domain: SenderDomain
    version_id: int
    sender: str
    task_id: int | None = None
    label: str = ""
    to_field: str = ""
    request_ip: str | None = None
    control_percent: int = 0
    # Place in line of the first message; see Waiting.turn.
    turn: int = 0
    # Why all of it is held from the beginning, if it is: its task is paused (a HeldBy).
    held_by: str = ""
    # Mail goes only while it is open, by the account's clock.
    window: SendWindow | None = None

    @property
    def priority(self) -> int:
        trigger = self.api_user.type == ApiUser.Type.TRIGGER
        return Waiting.Priority.TRIGGER if trigger else Waiting.Priority.BATCH


@dataclass(slots=True)
class Wanted:
    """One recipient of a request. `variables` is JSON text, passed on as it is."""

    address: str
    key: str
    domain: str
    subject: str
    sender_name: str
    variables: str = "{}"
    # Set when the address can't be mailed at all: the words that the message shows.
    malformed: str = ""


@dataclass(slots=True)
class Made:
    ids: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    # How many are held because credits are used up.
    unpaid: int = 0


def held_by(request: Request, *, now: dt.datetime) -> str:
    """Why nothing of this request may be tried now, or ''."""
    account = Account.current()
    if account.sending_stopped_at is not None:
        return HeldBy.ACCOUNT
    if not request.api_user.enabled:
        return HeldBy.API_USER
    if not request.sender_domain.verified:
        return HeldBy.DOMAIN_UNVERIFIED
    if request.window is not None and not request.window.is_open(now, account.zone):
        return HeldBy.WINDOW
    return request.held_by


def in_control_group(task_id: int, key: str, percent: int) -> bool:
    """Held out on purpose: the same answer whenever it is asked, and spread evenly."""
    if not percent:
        return False
    digest = hashlib.blake2b(f"{task_id}:{key}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) % 100 < percent


def make_messages(request: Request, wanted: Sequence[Wanted], *, now: dt.datetime) -> Made:
    """One message row for each of `wanted`, and a waiting row for each that may be tried. Needs a transaction."""
    made = Made(ids=ids.new_ids(len(wanted)))
    if not wanted:
        return made
    stops = suppression.stopped(
        (one.key for one in wanted if not one.malformed), api_user_id=request.api_user.pk, now=now
    )
    held_all = held_by(request, now=now)
    first = (Status.HELD if held_all else Status.SENDING).value
    domains = receiving_domains({one.domain for one in wanted})
    queues = _queues(request.api_user.pk, {known.id for known in domains.values()})
    fates = [_fate(request, one, stops, first) for one in wanted]
    free = {name for name in domains if is_simulated(name)}
    costs = [
        one.domain not in free and (fate[0] == first or fate[1] == Reason.FORMAT_ERROR)
        for one, fate in zip(wanted, fates, strict=True)
    ]
    # None: unlimited. Malformed mail is paid though it never goes.
    granted = credits.reserve(sum(costs), now=now, task_id=request.task_id)
    relay = Relay.objects.filter(domain=request.sender_domain).first()
    relay_group = relays.limit_group(relay.host) if relay else None
    messages: list[tuple[Any, ...]] = []
    counted = Deltas()
    waiting: list[tuple[Any, ...]] = []
    joined: Counter[int] = Counter()
    rejected: Counter[int] = Counter()
    for place, (message_id, one, fate, cost) in enumerate(zip(made.ids, wanted, fates, costs, strict=True)):
        domain = domains[one.domain]
        status, reason, reply = fate
        goes = status == first
        held, credit = held_all, None
        if cost and granted is not None:
            credit, granted = granted > 0, max(0, granted - 1)
            if goes and not credit:
                status, held = Status.HELD.value, HeldBy.CREDITS.value
                made.unpaid += 1
        if reason and not one.malformed:
            rejected[queues[domain.id]] += 1
        made.counts[status] += 1
        of = Of(message_id, request.api_user.pk, request.sender_domain.pk, domain.id, request.version_id, request.label)
        counted.moved(of, None, (status, reason), free=one.domain in free)
        held_here = held if status == Status.HELD else ""
        messages.append(_message_row(message_id, request, one, domain.id, (status, reason, reply), held_here))
        if goes:
            joined[queues[domain.id]] += 1
            group = relay_group if relay_group and one.domain not in free else domain.limit_group_id
            waiting.append(_waiting_row(message_id, request, place, (group, queues[domain.id]), held, credit, now))
    with connection.cursor() as cursor:
        copy_in(cursor, _MESSAGE_COLUMNS, messages)
        copy_in(cursor, _WAITING_COLUMNS, waiting)
    _count_flow(request, joined, rejected)
    counted.write()
    outbox.tell(
        outbox.ended(message_id, fate[0], fate[1], fate[2], now)
        for message_id, fate in zip(made.ids, fates, strict=True)
        if fate[1]
    )
    if request.task_id:
        move_counts([(request.task_id, status, count) for status, count in made.counts.items()])
    return made


def _count_flow(request: Request, joined: Counter[int], rejected: Counter[int]) -> None:
    """For the queue page: when it really was, however long ago the task that these rows are of began."""
    at = flow.bucket(timezone.now())
    flow.write(
        [
            flow.Count(at, queue, request.sender_domain.pk, joined=joined[queue], rejected=rejected[queue])
            for queue in joined.keys() | rejected.keys()
        ],
        worker=0,
    )


def _fate(request: Request, one: Wanted, stops: dict[str, suppression.Stop], first: str) -> tuple[str, str, str]:
    """(status, reason, words): `first`, unless it is not to be tried at all."""
    if one.malformed:
        return Status.INVALID.value, Reason.FORMAT_ERROR.value, one.malformed
    if stop := stops.get(one.key):
        return Status.INVALID.value, stop.reason, stop.text
    if request.task_id and in_control_group(request.task_id, one.key, request.control_percent):
        return Status.CONTROL_GROUP.value, "", ""
    return first, "", ""


_MESSAGE_COLUMNS = (
    "delivery_message (id, api_user_id, task_id, version_id, sender_domain_id, receiving_domain_id, recipient, sender, "
    "sender_name, subject, label, to_field, variables, status, reason, held_by, attempts, last_reply, request_ip)"
)


def _message_row(
    message_id: int, request: Request, one: Wanted, domain_id: int, fate: tuple[str, str, str], held_by: str
) -> tuple[Any, ...]:
    """The values of _MESSAGE_COLUMNS."""
    status, reason, reply = fate
    return (
        message_id,
        request.api_user.pk,
        request.task_id,
        request.version_id,
        request.sender_domain.pk,
        domain_id,
        one.address,
        request.sender,
        one.sender_name,
        one.subject,
        request.label,
        request.to_field,
        one.variables,
        status,
        reason,
        held_by,
        0,
        reply,
        request.request_ip,
    )


_WAITING_COLUMNS = (
    "delivery_waiting (message_id, limit_group_id, queue_id, task_id, state, held_by, priority, turn, attempts, "
    "logged, due, answered, credit)"
)


def _waiting_row(
    message_id: int,
    request: Request,
    place: int,
    line: tuple[int, int],
    held_by: str,
    credit: bool | None,
    now: dt.datetime,
) -> tuple[Any, ...]:
    """The values of _WAITING_COLUMNS. `line`: limit group and queue."""
    state = Waiting.State.HELD.value if held_by else Waiting.State.READY.value
    turn = request.turn + place
    return (message_id, *line, request.task_id, state, held_by, request.priority, turn, 0, 0, now, False, credit)


@dataclass(frozen=True, slots=True)
class Known:
    """A receiving domain's row."""

    id: int
    limit_group_id: int


def receiving_domains(names: Iterable[str]) -> dict[str, Known]:
    """The rows of these domains, made where new: until it is resolved, a domain is a limit group of its own."""
    # Sorted, so that two requests side by side lock in the same order.
    wanted = sorted(set(names))
    with connection.cursor() as cursor:
        found = _known(cursor, wanted)
        missing = [name for name in wanted if name not in found]
        if missing:
            cursor.execute(
                """
                WITH grouped AS (
                    INSERT INTO delivery_limitgroup (name) SELECT 'domain:' || n FROM unnest(%s::text[]) n
                    ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id, name
                )
                INSERT INTO delivery_receivingdomain (name, limit_group_id)
                SELECT substr(name, 8), id FROM grouped ORDER BY name
                ON CONFLICT (name) DO NOTHING
                """,
                [missing],
            )
            found |= _known(cursor, missing)
    return found


def _known(cursor: Any, names: list[str]) -> dict[str, Known]:
    cursor.execute("SELECT name, id, limit_group_id FROM delivery_receivingdomain WHERE name = ANY(%s)", [names])
    return {name: Known(id, group) for name, id, group in cursor.fetchall()}


def _queues(api_user_id: int, domain_ids: set[int]) -> dict[int, int]:
    """Queue ids of this API user by receiving domain, made where new."""
    wanted = sorted(domain_ids)
    query = (
        "SELECT receiving_domain_id, id FROM delivery_queue WHERE receiving_domain_id = ANY(%s) AND api_user_id = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [wanted, api_user_id])
        found = dict(cursor.fetchall())
        if len(found) < len(wanted):
            cursor.execute(
                "INSERT INTO delivery_queue (receiving_domain_id, api_user_id) "
                "SELECT d, %s FROM unnest(%s::bigint[]) d ON CONFLICT DO NOTHING",
                [api_user_id, wanted],
            )
            cursor.execute(query, [wanted, api_user_id])
            found = dict(cursor.fetchall())
    return found


def as_json(values: dict[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False)
