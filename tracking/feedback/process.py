"""Working off the mail that came back: each exactly once, whoever is killed meanwhile.

Its row is the truth: what a mail does and that it is done are one transaction. Before that, and committed, it is
counted that somebody begins, so that a mail that kills its reader does not do so for ever: once it was tried, it is
taken alone, and in the end it is filed as failed, for a person to look at.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from console import ids
from tracking.feedback import act
from tracking.feedback.read import read
from tracking.models import FeedbackMail

log = structlog.get_logger()

AT_ONCE = 50
TRIES = 5
# From beginning until the rows are locked; then, whatever it takes, the lock keeps others off. After a crash it is how
# long a mail waits for the next.
LEASE = dt.timedelta(seconds=5)
# Before a mail is tried again that could not be worked on.
PAUSE = dt.timedelta(seconds=30)
# Of one job, so that imports and expansions get their turn.
SECONDS = 20.0
PRUNE_AT_ONCE = 2000
ERROR_LENGTH = 500
# What is no mail's fault: the database has gone, or had us wait in a circle with others.
AWAY = (OperationalError, InterfaceError)
# Half of the key of the advisory locks that say how many are at work; the other half numbers them.
LOCK = 0x706F7374


def process(*, seconds: float = SECONDS) -> int:
    """Work off what waits, for so long; give how many were filed. Does nothing where enough others are at it."""
    filed = 0
    give_up = time.monotonic() + seconds
    with _slot() as mine:
        while mine and time.monotonic() < give_up:
            claimed = claim(now=timezone.now())
            if not claimed:
                break
            filed += work(claimed)
    return filed


def slots() -> int:
    """How many may be at work at once: never all of the jobs' workers."""
    return max(1, settings.JOB_WORKERS - 1)


def claim(*, now: dt.datetime, limit: int = AT_ONCE) -> list[int]:
    """Begin: count a try for each, and let nobody else begin for a moment. One that was tried before comes alone."""
    with transaction.atomic():
        rows = list(
            FeedbackMail.objects.select_for_update(skip_locked=True)
            .filter(state=FeedbackMail.State.WAITING, due__lte=now)
            .order_by("due", "pk")
            .values_list("pk", "tries")[:limit]
        )
        if not rows:
            return []
        first, tries = rows[0]
        claimed = [first] if tries else [pk for pk, tries in rows if not tries]
        if tries >= TRIES:
            log.error("feedback_failed", mail=first, tries=tries)
            FeedbackMail.objects.filter(pk=first).update(state=FeedbackMail.State.FAILED, done_at=now)
        else:
            FeedbackMail.objects.filter(pk__in=claimed).update(tries=tries + 1, due=now + LEASE)
    return claimed


def work(mail_ids: Sequence[int]) -> int:
    """Act on these mails; give how many were filed. Whatever one of them raises, the others are acted on."""
    try:
        return _work(mail_ids)
    except AWAY:
        _give_back(mail_ids)
        raise
    except Exception as error:
        log.exception("feedback_not_processed", mails=list(mail_ids[:20]))
        if len(mail_ids) == 1:
            _note(mail_ids[0], error)
    filed = 0
    for mail_id in mail_ids if len(mail_ids) > 1 else ():
        try:
            filed += _work([mail_id])
        except AWAY:
            raise
        except Exception as error:
            log.exception("feedback_not_processed", mails=[mail_id])
            _note(mail_id, error)
    FeedbackMail.objects.filter(pk__in=mail_ids, state=FeedbackMail.State.WAITING).update(due=timezone.now() + PAUSE)
    return filed


def again(mails: QuerySet[FeedbackMail], *, now: dt.datetime) -> int:
    """Take up failed mails once more, as if nobody had tried; give how many."""
    return mails.filter(state=FeedbackMail.State.FAILED).update(
        state=FeedbackMail.State.WAITING, tries=0, due=now, done_at=None, error=""
    )


def _note(mail_id: int, error: Exception) -> None:
    """Kept for the person who looks at it when it has failed for good."""
    said = act.storable(f"{type(error).__name__}: {error}")[:ERROR_LENGTH]
    FeedbackMail.objects.filter(pk=mail_id).update(error=said)


def _work(mail_ids: Sequence[int]) -> int:
    now = timezone.now()
    with transaction.atomic():
        cases = [act.case(mail, _read(mail)) for mail in _ours(mail_ids)]
        filed = _file(act.together([one for one in cases if not one.alone], now=now), now=now)
    for one in cases:
        if one.alone:
            with transaction.atomic():
                if _ours([one.mail.pk]):
                    filed += _file([act.alone(one, now=now)], now=now)
    return filed


def _ours(mail_ids: Sequence[int]) -> list[FeedbackMail]:
    """Those that wait still, held until the end of the transaction."""
    return list(
        FeedbackMail.objects.select_for_update(skip_locked=True)
        .filter(pk__in=mail_ids, state=FeedbackMail.State.WAITING)
        .order_by("pk")
    )


def _read(mail: FeedbackMail) -> act.Feedback:
    return read(bytes(mail.raw), envelope_to=mail.envelope_to, envelope_from=mail.envelope_from)


def _file(done: Sequence[act.Done], *, now: dt.datetime) -> int:
    """Write what became of them. Give how many are done with."""
    if not done:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tracking_feedbackmail f SET type = v.type, message_id = v.message_id, outcome = v.outcome,
                state = CASE WHEN v.due IS NULL THEN %s ELSE f.state END,
                done_at = CASE WHEN v.due IS NULL THEN %s::timestamptz END,
                due = coalesce(v.due, f.due), tries = CASE WHEN v.due IS NULL THEN f.tries ELSE 0 END
            FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::timestamptz[])
                AS v(id, type, message_id, outcome, due)
            WHERE f.id = v.id
            """,
            [
                FeedbackMail.State.DONE,
                now,
                [one.mail_id for one in done],
                [one.type for one in done],
                [one.message_id for one in done],
                [one.outcome for one in done],
                [one.due for one in done],
            ],
        )
    return sum(one.due is None for one in done)


def _give_back(mail_ids: Sequence[int]) -> None:
    """The database's fault, not theirs: it does not count."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE tracking_feedbackmail SET tries = greatest(0, tries - 1) WHERE id = ANY(%s) AND state = %s",
                [list(mail_ids), FeedbackMail.State.WAITING],
            )
    except AWAY:
        connection.close()


@contextmanager
def _slot() -> Iterator[bool]:
    """Whether there is room for one more at work. The lock dies with the connection."""
    with connection.cursor() as cursor:
        got = next((number for number in range(slots()) if _lock(cursor, number)), None)
        try:
            yield got is not None
        finally:
            if got is not None:
                with connection.cursor() as again:
                    again.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK, got])


def _lock(cursor: object, number: int) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, number])  # type: ignore[attr-defined]
    return bool(cursor.fetchone()[0])  # type: ignore[attr-defined]


def prune(*, now: dt.datetime) -> int:
    """Delete what was filed and is older than settings say, in small steps."""
    oldest = ids.id_at(now - dt.timedelta(days=settings.FEEDBACK_KEEP_DAYS))
    deleted = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM tracking_feedbackmail WHERE id = ANY(ARRAY(SELECT id FROM tracking_feedbackmail "
                "WHERE id < %s AND state <> %s ORDER BY id LIMIT %s))",
                [oldest, FeedbackMail.State.WAITING, PRUNE_AT_ONCE],
            )
            deleted += cursor.rowcount
            if cursor.rowcount < PRUNE_AT_ONCE:
                return deleted
