"""A made-up past: millions of settled messages with their attempts and events, to try an installation at a size.

Made within the database, a chunk at a time. What is made belongs to API users of its own (USERS), by which it is told
from real mail; domains end in `.history.test`. Statistics are not made: `recount_statistics --mend` counts them.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from console import ids, partitions
from console.models import ApiUser
from delivery.models import (
    Attempt,
    Message,
    Reason,
    RecipientGroup,
    SenderAddress,
    SenderDomain,
    Status,
    Task,
    TaskStatus,
    Template,
    TemplateVersion,
)
from delivery.services.requests import move_counts, receiving_domains
from tracking.models import Event

USERS = {ApiUser.Type.BATCH: "history-batch", ApiUser.Type.TRIGGER: "history-trigger"}
DOMAIN = "history.test"
SENDER_DOMAINS = 5
RECEIVING_DOMAINS = 200
TEMPLATES = 8
LABELS = 40
# Each reader gets so many of the messages.
MAILS_A_READER = 12
# So many messages are made at once, and are a task.
CHUNK = 100_000
# Nothing is as young as what a person may see happen.
ENDS_BEFORE = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of `share` of 10,000 messages. `tries`: 0 where nothing was tried."""

    share: int
    status: Status
    reason: Reason | str = ""
    tries: int = 1
    code: int = 250
    reply: str = "250 2.0.0 Ok: queued"


FATES = (
    Fate(9100, Status.DELIVERED),
    Fate(200, Status.SOFT_BOUNCE, Reason.OTHER, 3, 451, "451 4.3.0 Temporary failure, try again later"),
    Fate(100, Status.SOFT_BOUNCE, Reason.REJECTED, 1, 550, "550 5.7.1 Rejected by policy"),
    Fate(60, Status.SOFT_BOUNCE, Reason.SPAM, 1, 554, "554 5.7.1 Message looks like spam"),
    Fate(50, Status.SOFT_BOUNCE, Reason.SERVER_ERROR, 4, 421, "421 4.3.2 Service shutting down"),
    Fate(10, Status.SOFT_BOUNCE, Reason.IP_OR_DOMAIN, 2, 550, "550 5.7.606 Access denied, banned sending IP"),
    Fate(350, Status.INVALID, Reason.NOT_EXIST, 1, 550, "550 5.1.1 No such user here"),
    Fate(70, Status.INVALID, Reason.UNSUBSCRIBE, 0, 0, ""),
    Fate(40, Status.INVALID, Reason.BLACKLIST, 0, 0, ""),
    Fate(5, Status.INVALID, Reason.FORMAT_ERROR, 0, 0, ""),
    Fate(14, Status.CONTROL_GROUP, "", 0, 0, ""),
    Fate(1, Status.CANCELLED, "", 0, 0, ""),
)


class RealMail(RuntimeError):
    """The installation holds mail that was really sent."""


@dataclass(frozen=True, slots=True)
class Made:
    messages: int
    attempts: int
    events: int


def real_mail() -> bool:
    """Whether there is a message that is none of ours."""
    return Message.objects.exclude(api_user__in=ApiUser.objects.filter(name__in=USERS.values()).values("pk")).exists()


def make(messages: int, *, months: int, now: dt.datetime, force: bool, tell: Callable[[Made], None]) -> Made:
    """`messages` messages from the first day of the oldest of `months` months to an hour ago, about 1.3 attempts and
    1.7 events a message. `tell` hears after each chunk what is made so far.

    Raises RealMail, unless forced. Must not be called in a transaction.
    """
    if not force and real_mail():
        raise RealMail
    partitions.ensure(now, months_back=months - 1)
    first = ids.id_at(partitions.month_start(now, 1 - months))
    step = (ids.id_at(now - ENDS_BEFORE) - first) // messages
    # Made a second time, it does not begin at the same id.
    first += secrets.randbelow(step)
    world = _world()
    readers = max(1, messages // MAILS_A_READER)
    made = Made(0, 0, 0)

    def chunk(place: tuple[int, int]) -> Made:
        return _chunk(world, *place, first=first, step=step, readers=readers, now=now)

    for more in _side_by_side(chunk, _chunks(messages, months)):
        made = Made(made.messages + more.messages, made.attempts + more.attempts, made.events + more.events)
        tell(made)
    # As if it had come one by one: pages that are all visible, and figures for the planner.
    for _done in _side_by_side(_clean, partitions.names(Message, Attempt, Event)):
        pass
    return made


def _side_by_side(work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
    """What the work gives for each part, in their order; the database does as many at once as there are cores."""

    def one(part: Any) -> Any:
        try:
            return work(part)
        finally:
            # Each thread has its own.
            connection.close()

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(one, parts)


def _clean(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM (ANALYZE) {connection.ops.quote_name(table)}")


def _chunks(messages: int, months: int) -> Iterator[tuple[int, int]]:
    size = max(1, min(CHUNK, messages // (2 * months)))
    for start in range(0, messages, size):
        yield start, min(size, messages - start)


@dataclass(frozen=True, slots=True)
class _World:
    """What messages point at."""

    users: dict[str, ApiUser]
    senders: list[SenderAddress]
    receivers: list[int]
    versions: list[TemplateVersion]
    group: RecipientGroup


def _world() -> _World:
    users = {
        str(type): ApiUser.objects.get_or_create(name=name, defaults={"type": type})[0] for type, name in USERS.items()
    }
    senders, versions = [], []
    for number in range(SENDER_DOMAINS):
        domain, _made = SenderDomain.objects.get_or_create(name=f"news{number}.{DOMAIN}")
        senders.append(SenderAddress.objects.get_or_create(domain=domain, prefix="hello")[0])
    for number in range(TEMPLATES):
        template, _made = Template.objects.get_or_create(name=f"History {number}")
        version, _made = TemplateVersion.objects.get_or_create(
            template=template, number=1, defaults={"type": "text", "source": "Hello", "text": "Hello"}
        )
        if template.current_id is None:
            Template.objects.filter(pk=template.pk).update(current=version)
        versions.append(version)
    known = receiving_domains([f"d{number}.{DOMAIN}" for number in range(RECEIVING_DOMAINS)])
    receivers = [known[f"d{number}.{DOMAIN}"].id for number in range(RECEIVING_DOMAINS)]
    group, _made = RecipientGroup.objects.get_or_create(name="History")
    return _World(users, senders, receivers, versions, group)


# h(k) gives the k-th of a message's draws, 0 to 65,535. Readers and domains are few of many and many of few: the first
# domain takes an eighth of the mail, the last one in a thousand. One of 50,000 has the label "rare".
_DRAWN = """
CREATE TEMP TABLE history_chunk ON COMMIT DROP AS
SELECT n, id, made_at, reader, domain, fate, trigger, tries,
       CASE WHEN n %% 50000 = 7 THEN 'rare' WHEN trigger THEN 'receipt' ELSE %(label)s END AS label,
       CASE WHEN fate = 1 THEN (ARRAY[0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 6])[1 + (draw >> 48 & 15)] ELSE 0 END
           AS events,
       draw >> 40 & 255 AS sort, draw >> 32 & 255 AS other
FROM (
    SELECT n, %(first)s + n * %(step)s AS id, (hashint8extended(n, 1) & 9223372036854775807) AS draw
    FROM generate_series(%(start)s::bigint, %(end)s::bigint) n
) numbered
CROSS JOIN LATERAL (SELECT to_timestamp(((id >> 22) + %(epoch)s) / 1000.0) AS made_at) timed
CROSS JOIN LATERAL (SELECT (draw >> 8) %% %(readers)s AS reader) read
CROSS JOIN LATERAL (
    SELECT 1 + floor(power(%(domains)s::float, (hashint8extended(reader, 2) & 65535) / 65536.0) - 1)::int AS domain
) spread
CROSS JOIN LATERAL (SELECT 1 + width_bucket((draw & 4294967295) %% 10000, %(edges)s::bigint[]) AS fate) fated
CROSS JOIN LATERAL (SELECT draw >> 56 & 7 = 0 AS trigger) asked
CROSS JOIN LATERAL (
    SELECT (%(tries)s::int[])[fate] + CASE WHEN fate = 1 AND draw >> 52 & 3 = 0 THEN 1 ELSE 0 END AS tries
) tried
"""

_MESSAGES = """
INSERT INTO delivery_message (id, api_user_id, task_id, version_id, sender_domain_id, receiving_domain_id, recipient,
    sender, sender_name, subject, label, to_field, variables, status, reason, held_by, attempts, last_reply, sent_at,
    opened_at, opened_by_machine_at, clicked_at, request_ip, send_ip)
SELECT id, CASE WHEN trigger THEN %(trigger)s ELSE %(batch)s END, CASE WHEN NOT trigger THEN %(task)s END,
    (%(versions)s::bigint[])[1 + sort %% 8], (%(sender_domains)s::bigint[])[1 + sort * sort / 13010 ],
    (%(receivers)s::bigint[])[domain], 'reader' || reader || '@d' || domain - 1 || '.' || %(domain)s,
    (%(senders)s::text[])[1 + sort * sort / 13010], 'History', 'Good news for reader ' || reader || ', number ' || n,
    label, '', jsonb_build_object('first_name', 'Zoë ' || reader, 'colour', 'sea & sand'),
    (%(statuses)s::text[])[fate], (%(reasons)s::text[])[fate], '', tries, (%(replies)s::text[])[fate],
    CASE WHEN tries > 0 THEN made_at + (2 + sort) * interval '1 second' END,
    CASE WHEN events > 0 AND sort %% 3 > 0 THEN made_at + (300 + other) * interval '1 second' END,
    CASE WHEN events > 0 AND sort %% 3 = 0 THEN made_at + (300 + other) * interval '1 second' END,
    CASE WHEN events > 2 THEN made_at + (300 + 3 * other) * interval '1 second' END,
    '192.0.2.10', CASE WHEN tries > 0 THEN '192.0.2.25'::inet END
FROM history_chunk ORDER BY id
"""

_ATTEMPTS = """
INSERT INTO delivery_attempt (message_id, number, at, seconds, outcome, reason, rule, phase, code, enhanced, reply,
    mx_host, remote_ip, send_ip, tls, certificate, conversation)
SELECT id, number, made_at + (2 + sort) * interval '1 second', 0.2,
    CASE WHEN last AND fate = 1 THEN 'delivered' WHEN last AND code >= 500 THEN 'refused' ELSE 'deferred' END,
    CASE WHEN last THEN (%(reasons)s::text[])[fate] ELSE '' END, 'history', 'dot', code, '', reply,
    'mx.d' || domain - 1 || '.' || %(domain)s, '198.51.100.25', '192.0.2.25', 'TLSv1.3', '',
    '[["mail", "250 2.1.0 Ok"], ["rcpt", "250 2.1.5 Ok"], ["data", "354 Go on"]]'
FROM history_chunk
CROSS JOIN LATERAL generate_series(1, tries) number
CROSS JOIN LATERAL (SELECT number = tries AS last) place
CROSS JOIN LATERAL (
    SELECT CASE WHEN last THEN (%(codes)s::int[])[fate] ELSE 451 END AS code,
           CASE WHEN last THEN (%(replies)s::text[])[fate] ELSE '451 4.7.1 Greylisted, try again later' END AS reply
) said
ORDER BY id, number
"""

# An event's id is made of its time, as every id; what is left of it counts the events, so that none meets another.
_EVENTS = """
INSERT INTO tracking_event (id, message_id, sender_domain_id, receiving_domain_id, sent_at, kind, link, ip, user_agent,
    client, automatic, detail)
SELECT event, id, (%(sender_domains)s::bigint[])[1 + sort * sort / 13010], (%(receivers)s::bigint[])[domain],
    made_at + (2 + sort) * interval '1 second', kind,
    CASE WHEN kind = 'click' THEN 'https://shop.history.test/item/' || sort ELSE '' END, '203.0.113.7',
    'Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0', 'Firefox',
    CASE WHEN number = 0 AND sort %% 3 = 0 THEN 'history' ELSE '' END, '{}'
FROM history_chunk
CROSS JOIN LATERAL generate_series(0, events - 1) number
CROSS JOIN LATERAL (
    SELECT (((id >> 22) + 1000 * (300 + other) + 7919 * number * (1 + sort)) << 22) + (n * 8 + number & 4194303)
        AS event,
    CASE WHEN number = 3 AND other = 0 THEN 'complaint' WHEN number = 3 AND other < 3 THEN 'unsubscribe'
         WHEN number IN (2, 4) THEN 'click' ELSE 'open' END AS kind
) happened
WHERE event < %(last)s
ORDER BY event
"""


def _chunk(world: _World, start: int, count: int, *, first: int, step: int, readers: int, now: dt.datetime) -> Made:
    """Messages `start` to `start + count`, with a task for those of the batch user."""
    number = start // max(1, count)
    version = world.versions[number % TEMPLATES]
    sender, begun = world.senders[0], ids.time_of(first + start * step)
    edges: list[int] = []
    for fate in FATES[:-1]:
        edges.append(fate.share + (edges[-1] if edges else 0))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        task = Task.objects.create(
            api_user=world.users[ApiUser.Type.BATCH],
            subject=f"Good news, number {number}",
            group=world.group,
            group_name=world.group.name,
            template_id=version.template_id,
            template_name=f"History {number % TEMPLATES}",
            version=version,
            sender_address=sender,
            sender=sender.address,
            label=f"campaign-{number % LABELS:02}",
            status=TaskStatus.DONE,
            expanded=True,
            started_at=begun,
            ended_at=ids.time_of(first + (start + count) * step),
        )
        values: dict[str, Any] = {
            "start": start,
            "end": start + count - 1,
            "first": first,
            "step": step,
            "last": ids.id_at(now),
            "epoch": int(ids.EPOCH.timestamp() * 1000),
            "readers": readers,
            "domains": RECEIVING_DOMAINS,
            "domain": DOMAIN,
            "edges": edges,
            "tries": [fate.tries for fate in FATES],
            "statuses": [str(fate.status.value) for fate in FATES],
            "reasons": [str(fate.reason) for fate in FATES],
            "codes": [fate.code for fate in FATES],
            "replies": [fate.reply for fate in FATES],
            "label": task.label,
            "task": task.pk,
            "trigger": world.users[ApiUser.Type.TRIGGER].pk,
            "batch": world.users[ApiUser.Type.BATCH].pk,
            "versions": [one.pk for one in world.versions],
            "sender_domains": [one.domain_id for one in world.senders],
            "senders": [one.address for one in world.senders],
            "receivers": world.receivers,
        }
        cursor.execute(_DRAWN, values)
        written = []
        for statement in (_MESSAGES, _ATTEMPTS, _EVENTS):
            cursor.execute(statement, values)
            written.append(cursor.rowcount)
        cursor.execute(
            "SELECT (%(statuses)s::text[])[fate], count(*) FROM history_chunk WHERE NOT trigger GROUP BY 1", values
        )
        counts = cursor.fetchall()
        move_counts([(task.pk, status, count) for status, count in counts])
        requested = sum(count for _status, count in counts)
        Task.objects.filter(pk=task.pk).update(created_at=begun, requested=requested)
    return Made(*written)
