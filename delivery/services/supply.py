"""Keeping the clusters at work: as many engines as there are workers while mail is due, and callbacks sent."""

from __future__ import annotations

import time

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from console import heartbeat
from delivery.callbacks import sending
from delivery.engine import claim, journal, shares, waking
from delivery.services import pauses

REAP_SECONDS = 3.0
TELL_SECONDS = 2.0
MOST_QUEUED = 20
_reap_at = 0.0
_tell_at = 0.0


def top_up() -> int:
    """Ask for the engines that are missing under this supervisor; give their number. Asking twice harms nothing."""
    now = timezone.now()
    waking.wake(now)
    # Not for groups that are paused: engines would look, end, and be asked for again as long as it lasts.
    ready = claim.mail_is_ready(but_for=pauses.everywhere(now=now))
    if not ready and not journal.anything_left(settings.JOURNAL_DIR, shares.alive()):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM delivery_worker WHERE leased_until > clock_timestamp() AND name LIKE %s",
            [f"{heartbeat.supervisor()}/%"],
        )
        working = cursor.fetchone()[0]
    queued = OrmQ.objects.filter(key="deliver", lock__lte=timezone.now()).count()
    missing = max(0, settings.DELIVER_WORKERS - working - queued)
    for _one in range(missing):
        async_task("delivery.jobs.deliver", cluster="deliver")
    return missing


def keep_supplied() -> None:
    """What the supervisor calls at every tick."""
    global _reap_at
    if time.monotonic() >= _reap_at:
        _reap_at = time.monotonic() + REAP_SECONDS
        shares.reap()
    top_up()
    keep_telling()


def keep_telling() -> None:
    """Ask for somebody who sends callbacks, when there are any to be sent and nobody is at it."""
    global _tell_at
    if time.monotonic() < _tell_at:
        return
    _tell_at = time.monotonic() + TELL_SECONDS
    # A second one finds the address taken and ends; a cluster that hangs must not find thousands when it is back.
    if sending.due(now=timezone.now()) and OrmQ.objects.filter(key="jobs").count() < MOST_QUEUED:
        async_task("delivery.jobs.send_callbacks", cluster="jobs")
