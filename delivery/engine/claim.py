"""Stage one: take rows of limit groups that have mail, and commit. No network here, no long transaction.

A claim is a token and a deadline by the database's clock. Until deadline and grace are over nobody else takes the row;
settling matches the token, so whoever comes too late changes nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from console.arrays import numbers
from delivery.models import PauseCause, Status, TaskStatus, Waiting

CLAIM_SECONDS = settings.CLAIM_SECONDS
# After the deadline, what may still be on the wire has this long to be settled before others take over.
GRACE_SECONDS = CLAIM_SECONDS / 6
# No MAIL FROM in the last part of a claim: the conversation must end, and be settled, before it does.
MARGIN_SECONDS = CLAIM_SECONDS / 6
# Groups looked at in one pass: bounds the pass, not the work; the next pass goes on.
GROUPS_PER_PASS = 200


@dataclass(slots=True)
class Claimed:
    """A message in hand: its waiting row and what composing needs."""

    message_id: int
    token: int
    # By time.monotonic(): after it, no MAIL FROM.
    safe_until: float
    task_id: int | None
    limit_group_id: int
    queue_id: int
    attempts: int
    logged: int
    answered: bool
    expires_at: dt.datetime | None
    api_user_id: int
    version_id: int
    sender_domain_id: int
    receiving_domain_id: int
    receiving_domain: str
    recipient: str
    sender: str
    sender_name: str
    subject: str
    to_field: str
    variables: dict[str, str]
    # By time.monotonic(): after it, no MAIL FROM before it was asked again whether it may go (second_look.py).
    free_until: float = 0.0

    def may_begin(self, now: float) -> bool:
        """By time.monotonic()."""
        return now < self.safe_until and now < self.free_until


def new_token() -> int:
    return secrets.randbits(62) + 1


def groups_with_mail(after: int = 0) -> list[int]:
    """Limit groups with rows ready, in their order, found by hopping along the index: the cost is the groups', not the
    rows'. As many as one pass looks at: the next one begins `after` the last of these, or whoever stands behind
    those that can't be worked on now would never be seen."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE hop AS (
                (SELECT limit_group_id AS g FROM delivery_waiting WHERE state = 0 AND limit_group_id > %s
                 ORDER BY limit_group_id LIMIT 1)
                UNION ALL
                SELECT (SELECT limit_group_id FROM delivery_waiting
                        WHERE state = 0 AND limit_group_id > hop.g ORDER BY limit_group_id LIMIT 1)
                FROM hop WHERE hop.g IS NOT NULL
            )
            SELECT g FROM hop WHERE g IS NOT NULL LIMIT %s
            """,
            [after, GROUPS_PER_PASS],
        )
        return [row[0] for row in cursor.fetchall()]


def mail_is_ready(*, but_for: list[int]) -> bool:
    """Whether any limit group but these has rows ready."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE hop AS (
                (SELECT limit_group_id AS g FROM delivery_waiting WHERE state = 0 ORDER BY limit_group_id LIMIT 1)
                UNION ALL
                SELECT (SELECT limit_group_id FROM delivery_waiting
                        WHERE state = 0 AND limit_group_id > hop.g ORDER BY limit_group_id LIMIT 1)
                FROM hop WHERE hop.g = ANY(%(but_for)s::bigint[])
            )
            SELECT EXISTS (SELECT FROM hop WHERE g <> ALL(%(but_for)s::bigint[]))
            """,
            {"but_for": but_for},
        )
        return bool(cursor.fetchone()[0])


def resting_tasks() -> tuple[list[int], list[int]]:
    """Tasks that still have rows, of which none may be tried (paused), and of which only what was tried before may go
    on (stopped, or paused because a day's quota is used up): skipped until a job has moved them aside."""
    with connection.cursor() as cursor:
        # Where credits are used up, mail that has one goes its way, and mail without one is held.
        cursor.execute(
            "SELECT id, status = %s AND pause_cause <> %s FROM delivery_task "
            "WHERE (status = %s AND pause_cause <> %s) OR (status = %s AND ended_at IS NULL)",
            [TaskStatus.PAUSED, PauseCause.QUOTA, TaskStatus.PAUSED, PauseCause.CREDITS, TaskStatus.STOPPED],
        )
        rows = cursor.fetchall()
    return [id for id, whole in rows if whole], [id for id, whole in rows if not whole]


def give_back(tokens: list[int]) -> int:
    """Make ready what was claimed with these tokens by somebody who will not settle it; gives the count."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_waiting SET state = %s, claim_token = NULL, claim_deadline = NULL "
            "WHERE claim_token = ANY(%s) AND state = %s",
            [Waiting.State.READY, tokens, Waiting.State.CLAIMED],
        )
        return int(cursor.rowcount)


def extend(held: Sequence[Claimed]) -> None:
    """Hold on to these for as long as a new claim: a server that takes its time over a mail must not make another send
    it again. Whoever is frozen can't, and what others have taken over meanwhile stays theirs."""
    if not held:
        return
    asked_at = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_waiting w SET claim_deadline = clock_timestamp() + %s * interval '1 second' "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS held(id, token) "
            "WHERE w.message_id = held.id AND w.claim_token = held.token RETURNING w.message_id",
            [CLAIM_SECONDS, [one.message_id for one in held], [one.token for one in held]],
        )
        ours = {row[0] for row in cursor.fetchall()}
    for one in held:
        if one.message_id in ours:
            one.safe_until = asked_at + CLAIM_SECONDS - MARGIN_SECONDS


def claim(groups: dict[int, int], *, limit: int, token: int = 0) -> list[Claimed]:
    """Take up to `groups[id]` ready rows of each group, `limit` in all: trigger mail first, then by turn.

    With a `token` of the caller's, what was taken can be given back even when this call fails half way.
    """
    if not groups or limit <= 0:
        return []
    token = token or new_token()
    taken_at = time.monotonic()
    paused, stopped = resting_tasks()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            WITH taken AS (
                SELECT w.message_id FROM unnest(%(groups)s::bigint[], %(room)s::int[]) AS g(id, room)
                CROSS JOIN LATERAL (
                    SELECT message_id, priority, turn FROM delivery_waiting
                    WHERE state = 0 AND limit_group_id = g.id
                      AND (task_id IS NULL OR (task_id <> ALL(%(paused)s::bigint[])
                           AND (attempts > 0 OR task_id <> ALL(%(stopped)s::bigint[]))))
                    ORDER BY priority, turn, message_id LIMIT g.room FOR UPDATE SKIP LOCKED
                ) w ORDER BY w.priority, w.turn LIMIT %(limit)s
            )
            UPDATE delivery_waiting w SET state = %(claimed)s, claim_token = %(token)s,
                claim_deadline = clock_timestamp() + %(seconds)s * interval '1 second'
            FROM taken WHERE w.message_id = taken.message_id
            RETURNING w.message_id, w.task_id, w.limit_group_id, w.queue_id, w.attempts, w.logged, w.answered,
                      w.expires_at, w.priority, w.turn
            """,
            {
                "groups": list(groups),
                "room": list(groups.values()),
                "paused": paused,
                "stopped": stopped,
                "limit": limit,
                "claimed": Waiting.State.CLAIMED,
                "token": token,
                "seconds": CLAIM_SECONDS,
            },
        )
        waiting = sorted(cursor.fetchall(), key=lambda row: row[-2:])
    if not waiting:
        return []
    details = _details([row[0] for row in waiting])
    safe_until = taken_at + CLAIM_SECONDS - MARGIN_SECONDS
    return [
        Claimed(row[0], token, safe_until, *row[1:-2], *details[row[0]])
        for row in waiting
        # A waiting row without its message can't be; should it ever, the claim runs out and the log tells.
        if row[0] in details
    ]


def _details(message_ids: list[int]) -> dict[int, tuple[Any, ...]]:
    with connection.cursor() as cursor:
        # The bounds let PostgreSQL leave out the partitions of other months. Each is looked up by its id (LIMIT keeps
        # it so): the summary of pages that lists go by would be believed to be cheaper, and read all between them.
        cursor.execute(
            """
            SELECT m.id, m.api_user_id, m.version_id, m.sender_domain_id, m.receiving_domain_id, d.name, m.recipient,
                   m.sender, m.sender_name, m.subject, m.to_field, m.variables
            FROM unnest(%s::bigint[]) AS wanted(id) CROSS JOIN LATERAL (
                SELECT * FROM delivery_message WHERE id = wanted.id AND id BETWEEN %s AND %s AND status = %s LIMIT 1
            ) m JOIN delivery_receivingdomain d ON d.id = m.receiving_domain_id
            """,
            [numbers(message_ids), min(message_ids), max(message_ids), Status.SENDING],
        )
        # Django hands JSON out as text to raw cursors.
        return {row[0]: (*row[1:-1], json.loads(row[-1])) for row in cursor.fetchall()}
