"""Asking for the work to be done: a job, while mail that came back waits and too few are at it."""

from __future__ import annotations

import time

from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from tracking.feedback import process

# Not more often: a job that was asked for has to begin first.
ASK_SECONDS = 1.0
# A cluster that is busy must not find many of these when it has time.
QUEUED = 10
_ask_at = 0.0


def keep_supplied() -> None:
    """What the supervisor calls at every tick."""
    global _ask_at
    if time.monotonic() < _ask_at or not wanted():
        return
    _ask_at = time.monotonic() + ASK_SECONDS
    if OrmQ.objects.filter(key="jobs").count() < QUEUED:
        async_task("tracking.jobs.process_feedback", cluster="jobs")


def wanted() -> bool:
    """Whether mail waits that could be worked on now, and somebody more may be at it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM tracking_feedbackmail WHERE state = 0 AND due <= %s) AND "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted "
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) < %s",
            [timezone.now(), process.LOCK, process.slots()],
        )
        return bool(cursor.fetchone()[0])
