"""The last stage: what became of each message, written in batches, each in one transaction.

A row is settled only where the claim token still matches; whoever lost the claim changes nothing, so an attempt is
written down once. And a message moves only from `sending`: where it is something else already, what was tried stays in
the log, and nothing follows from it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection, transaction

from console.arrays import numbers, texts
from console.copying import copy_in
from delivery.callbacks import outbox
from delivery.callbacks.outbox import Happened
from delivery.engine import retry
from delivery.engine.claim import Claimed
from delivery.engine.retry import is_simulated
from delivery.engine.tally import Tally
from delivery.engine.types import Exchange, Verdict
from delivery.models import Happening, Reason, Status, Waiting
from delivery.models.status import FINAL, soft_reason
from delivery.services.bouncing import Bounced, list_hard_bounces
from delivery.services.counts import end_tasks, move_counts
from delivery.services.credits import give_back
from delivery.services.deltas import Deltas, Of
from delivery.services.quota import count_ends

log = structlog.get_logger()

REPLY_SHOWN = 500
# A claim of a message: its id and the claim's token.
Key = tuple[int, int]
# Once, for every attempt is written down.
_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(slots=True)
class Settled:
    """A message on its way back to the database."""

    claimed: Claimed
    # Final; or SENDING when it is put off until `due` or only given back; or HELD, with why.
    status: Status
    held_by: str = ""
    reason: str = ""
    last_reply: str = ""
    due: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    answered: bool = False
    verdict: Verdict | None = None
    # None: not tried (suppressed, or given back).
    exchange: Exchange | None = None
    # Whether the attempt counts for the retry schedule: an answer about us or the site is logged, and costs nothing.
    counts: bool = True
    # Where it stands in the journal; 0: nowhere.
    page: int = 0

    @property
    def key(self) -> Key:
        return self.claimed.message_id, self.claimed.token

    @property
    def attempts(self) -> int:
        """For the retry schedule."""
        return self.claimed.attempts + (self.exchange is not None and self.counts)

    @property
    def logged(self) -> int:
        """Number of this attempt in the send log, and how many there are."""
        return self.claimed.logged + (self.exchange is not None)


def decide(
    claimed: Claimed,
    exchange: Exchange,
    verdict: Verdict,
    *,
    now: dt.datetime,
    retry_hours: int,
    simulator: bool,
    about_us: bool = False,
    relayed: bool = False,
    retry_minutes: int = 0,
) -> Settled:
    """What a verdict means for the message: PRODUCT's status machine and retry window. Pure.

    `about_us`: the answer was not about the message but about how much we send or from where. The message goes back
    into the line at once, where its queue's pause or another sending IP decides, and the attempt does not count.
    `relayed`: it went to a relay, whose acceptance says no more than that. `retry_minutes`: the receiver wants no
    sooner attempt.
    """
    reply = exchange.reply.text[:REPLY_SHOWN]
    answered = claimed.answered or 400 <= exchange.reply.code < 500
    done = Settled(claimed, Status.DELIVERED, last_reply=reply, verdict=verdict, exchange=exchange, answered=answered)
    if verdict.outcome == "delivered":
        done.status = Status.SENT if relayed else Status.DELIVERED
        return done
    if verdict.outcome == "refused" and not about_us:
        done.status, done.reason = Status.INVALID, verdict.reason or Reason.OTHER
        return done
    done.counts = not about_us
    expires_at = claimed.expires_at or retry.window_end(now, hours=retry_hours, simulator=simulator)
    due = (
        None
        if about_us
        else retry.next_attempt(
            claimed.attempts + 1, now, simulator=simulator, least=dt.timedelta(minutes=retry_minutes)
        )
    )
    if (due or now) <= expires_at:
        done.status, done.due, done.expires_at = Status.SENDING, due, expires_at
    elif answered or (about_us and exchange.reply.code):
        done.status, done.reason = Status.SOFT_BOUNCE, soft_reason(verdict.reason)
    else:
        done.status, done.reason = Status.INVALID, Reason.SERVER_ERROR
    return done


def settle(batch: Sequence[Settled], *, now: dt.datetime, tally: Tally | None = None) -> int:
    """Write a batch; give the number of messages whose claim was still ours, which are what `tally` counts."""
    if not batch:
        return 0
    final = [one for one in batch if one.status in FINAL]
    put_off = [one for one in batch if one.status not in FINAL]
    with transaction.atomic(), connection.cursor() as cursor:
        ended = _end_waiting(cursor, final)
        # By the token, too: a journal may hold an earlier claim of the same message, settled before.
        ours = ended.keys() | _put_off(cursor, put_off, now)
        kept = [one for one in batch if one.key in ours]
        wanted = [one for one in kept if one.exchange is not None or one.status != Status.SENDING]
        labels = _update_messages(cursor, wanted)
        changed = [one for one in wanted if one.claimed.message_id in labels]
        if len(changed) != len(wanted):
            _refuse(cursor, [one.claimed.message_id for one in wanted if one.claimed.message_id not in labels])
        _count_outcomes(changed, labels)
        _write_attempts(cursor, [one for one in kept if one.exchange is not None])
        outbox.tell(_told(one, now) for one in changed)
        list_hard_bounces([_bounced(one) for one in changed if _is_hard(one)], now=now)
        over = [(one, *ended[one.key]) for one in changed if one.status in FINAL]
        count_ends(
            (one.claimed.sender_domain_id, day, one.status, one.reason)
            for one, day, _credit in over
            if one.exchange is not None
        )
        give_back(((one.claimed.task_id, one.status, one.reason) for one, _day, credit in over if credit), now=now)
        moved = [one for one in changed if one.status != Status.SENDING and one.claimed.task_id]
        move_counts(
            delta
            for one in moved
            if one.claimed.task_id
            for delta in (
                (one.claimed.task_id, Status.SENDING.value, -1),
                (one.claimed.task_id, one.status.value, 1),
            )
        )
        end_tasks({one.claimed.task_id for one in moved if one.claimed.task_id}, now=now)
    if tally is not None:
        # What was refused, too: it was tried, and has left the queue.
        tally.add(kept, now=now)
    return len(kept)


def _told(one: Settled, now: dt.datetime) -> Happened | None:
    """What other systems hear of it."""
    message_id, at = one.claimed.message_id, _moment(one.exchange) or now
    if one.status in FINAL:
        return outbox.ended(message_id, one.status, one.reason, one.last_reply, at)
    if one.exchange is None or not one.counts:
        return None
    return Happened(message_id, Happening.DEFERRED, at, {"reason": one.last_reply})


def _end_waiting(cursor: Any, final: Sequence[Settled]) -> dict[Key, tuple[dt.date | None, bool | None]]:
    """Those whose claim was still ours, with the day for whose quota they were counted, and whether a credit is
    reserved for them."""
    if not final:
        return {}
    cursor.execute(
        """
        DELETE FROM delivery_waiting w USING unnest(%s::bigint[], %s::bigint[]) AS v(id, token)
        WHERE w.message_id = v.id AND w.claim_token = v.token
        RETURNING v.id, v.token, w.reserved_on, w.credit
        """,
        [numbers(one.claimed.message_id for one in final), numbers(one.claimed.token for one in final)],
    )
    return {(message_id, token): (day, credit) for message_id, token, day, credit in cursor.fetchall()}


def _put_off(cursor: Any, put_off: Sequence[Settled], now: dt.datetime) -> set[Key]:
    """Back into the line: later when it was tried, at once when it was only given back."""
    if not put_off:
        return set()
    cursor.execute(
        """
        UPDATE delivery_waiting w SET state = v.state, held_by = v.held_by, due = v.due,
            limit_group_id = coalesce(nullif(v.limit_group, 0), w.limit_group_id),
            expires_at = v.expires_at, attempts = v.attempts, logged = v.logged,
            answered = v.answered, claim_token = NULL, claim_deadline = NULL
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::smallint[], %s::text[],
                    %s::timestamptz[], %s::timestamptz[], %s::smallint[], %s::smallint[], %s::boolean[])
            AS v(id, token, limit_group, state, held_by, due, expires_at, attempts, logged, answered)
        WHERE w.message_id = v.id AND w.claim_token = v.token RETURNING v.id, v.token
        """,
        [
            [one.claimed.message_id for one in put_off],
            [one.claimed.token for one in put_off],
            # A domain resolved meanwhile has another group than the row was claimed in.
            [one.claimed.limit_group_id for one in put_off],
            [_state(one) for one in put_off],
            [str(one.held_by) for one in put_off],
            [one.due or now for one in put_off],
            [one.expires_at or one.claimed.expires_at for one in put_off],
            [one.attempts for one in put_off],
            [one.logged for one in put_off],
            [one.answered or one.claimed.answered for one in put_off],
        ],
    )
    return set(cursor.fetchall())


def _is_hard(one: Settled) -> bool:
    return one.status in FINAL and one.reason == Reason.NOT_EXIST and one.exchange is not None


def _bounced(one: Settled) -> Bounced:
    claimed = one.claimed
    return Bounced(
        claimed.message_id,
        claimed.api_user_id,
        claimed.recipient,
        claimed.receiving_domain_id,
        words=one.last_reply,
    )


def _state(one: Settled) -> Waiting.State:
    if one.held_by:
        return Waiting.State.HELD
    return Waiting.State.LATER if one.due else Waiting.State.READY


def _update_messages(cursor: Any, batch: Sequence[Settled]) -> dict[int, str]:
    """Gives the labels of those that were changed."""
    if not batch:
        return {}
    message_ids = [one.claimed.message_id for one in batch]
    # In the order in which opens, clicks and corrections lock them: an UPDATE takes them as it finds them, and two
    # could wait for each other in a circle. Each is looked up by its id, here (LIMIT keeps it so) and, by the setting,
    # in the rest of the transaction: the summary of pages that lists go by would be believed to be cheaper, and read
    # all between them.
    cursor.execute(
        """
        SELECT count(*), set_config('enable_bitmapscan', 'off', true)
        FROM unnest(%s::bigint[]) AS wanted(id) CROSS JOIN LATERAL (
            SELECT FROM delivery_message WHERE id = wanted.id AND id BETWEEN %s AND %s FOR NO KEY UPDATE LIMIT 1
        ) locked
        """,
        [numbers(sorted(message_ids)), min(message_ids), max(message_ids)],
    )
    cursor.execute(
        """
        UPDATE delivery_message m SET status = v.status, reason = v.reason, held_by = v.held_by,
            attempts = v.attempts, last_reply = CASE WHEN v.reply = '' THEN m.last_reply ELSE v.reply END,
            sent_at = coalesce(to_timestamp(nullif(v.sent_at, 0)), m.sent_at), send_ip = coalesce(v.ip, m.send_ip)
        FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::smallint[], %s::text[], %s::float8[],
                    %s::inet[]) AS v(id, status, reason, held_by, attempts, reply, sent_at, ip)
        WHERE m.id = v.id AND m.id BETWEEN %s AND %s AND m.status = 'sending'
        RETURNING m.id, m.label
        """,
        [
            numbers(message_ids),
            texts(one.status for one in batch),
            texts(one.reason for one in batch),
            texts(one.held_by for one in batch),
            numbers(one.logged for one in batch),
            texts(one.last_reply for one in batch),
            numbers(one.exchange.started + one.exchange.seconds if one.exchange else 0 for one in batch),
            texts((one.exchange.local_ip or None) if one.exchange else None for one in batch),
            min(message_ids),
            max(message_ids),
        ],
    )
    return dict(cursor.fetchall())


def _refuse(cursor: Any, message_ids: Sequence[int]) -> None:
    """Messages that were not `sending` any more, which nothing of ours brings about. Whoever changed them has counted
    that. What still waits of them goes with what they are: one that has ended out of the line, one that is held into
    its hold."""
    log.error("transition_refused", messages=message_ids[:20], refused=len(message_ids))
    cursor.execute(
        "UPDATE delivery_waiting w SET state = %s, held_by = m.held_by FROM delivery_message m "
        "WHERE w.message_id = ANY(%s) AND m.id = w.message_id AND m.status = %s RETURNING w.message_id",
        [Waiting.State.HELD, list(message_ids), Status.HELD],
    )
    held = {row[0] for row in cursor.fetchall()}
    cursor.execute(
        "DELETE FROM delivery_waiting WHERE message_id = ANY(%s)", [[one for one in message_ids if one not in held]]
    )


def _count_outcomes(changed: Sequence[Settled], labels: Mapping[int, str]) -> None:
    """For the statistics."""
    deltas = Deltas()
    for one in changed:
        if one.status not in FINAL:
            continue
        of = one.claimed
        deltas.moved(
            Of(
                of.message_id,
                of.api_user_id,
                of.sender_domain_id,
                of.receiving_domain_id,
                of.version_id,
                labels[of.message_id],
            ),
            (Status.SENDING, ""),
            (one.status, one.reason),
            free=is_simulated(of.receiving_domain),
        )
    deltas.write()


def _write_attempts(cursor: Any, tried: Sequence[Settled]) -> None:
    if not tried:
        return
    columns = (
        "delivery_attempt (message_id, number, at, seconds, outcome, reason, rule, phase, code, enhanced, reply, "
        "mx_host, remote_ip, send_ip, tls, certificate, conversation, next_at)"
    )
    rows = (
        (
            one.claimed.message_id,
            one.logged,
            _moment(exchange),
            exchange.seconds,
            # A relay's acceptance is no delivery yet.
            "sent" if one.status == Status.SENT else verdict.outcome,
            verdict.reason,
            verdict.rule,
            exchange.reply.phase.value,
            exchange.reply.code,
            exchange.reply.enhanced,
            exchange.reply.text,
            exchange.mx_host,
            exchange.remote_ip or None,
            exchange.local_ip or None,
            exchange.tls,
            exchange.certificate,
            _json(exchange.conversation),
            one.due,
        )
        for one in tried
        if (exchange := one.exchange) is not None and (verdict := one.verdict) is not None
    )
    copy_in(cursor, columns, rows)


def _moment(exchange: Exchange | None) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(exchange.started + exchange.seconds, dt.UTC) if exchange else None
