"""What django-q2 calls, and when. A task here means "make what waits"; rows and leases say what that is."""

from __future__ import annotations

import time

from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from exports import making, tidying
from exports.models import Export, State

# Above what the largest export takes on a busy machine. q2 asks once more after an hour (settings); it is held then.
TIMEOUT_SECONDS = 10_800
LOOK_SECONDS = 2.0
MOST_QUEUED = 20
_look_at = 0.0


def make() -> bool:
    return making.make_next()


def tidy() -> int:
    return tidying.tidy(now=timezone.now())


def ask() -> None:
    """Have somebody begin; asked once too often, it finds nothing to do."""
    if OrmQ.objects.filter(key="jobs").count() < MOST_QUEUED:
        async_task("exports.jobs.make", cluster="jobs", timeout=TIMEOUT_SECONDS)


def keep_supplied() -> None:
    """What the supervisor calls at every tick. Of the cluster's workers one stays free for what mail waits for."""
    global _look_at
    if time.monotonic() < _look_at:
        return
    _look_at = time.monotonic() + LOOK_SECONDS
    now = timezone.now()
    if not Export.objects.filter(making.claimable(now)).exists():
        return
    running = Export.objects.filter(state=State.RUNNING, claimed_until__gte=now).count()
    if running < max(1, settings.JOB_WORKERS - 1):
        ask()
