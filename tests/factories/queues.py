"""Queues with mail in line, counts and pauses."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from console import ids
from console.models import ApiUser
from delivery.models import Queue, QueuePause, Waiting
from delivery.services import flow, requests


def queue_with(
    domain: str,
    *,
    ready: int = 0,
    later: int = 0,
    held: int = 0,
    moving: bool = False,
    api_user: ApiUser | None = None,
    at: dt.datetime | None = None,
) -> Queue:
    """A queue with so many rows in line (without messages: enough for what only counts), and mail that moves."""
    at = at or timezone.now()
    user = api_user or ApiUser.console(ApiUser.Type.BATCH)
    known = requests.receiving_domains([domain])[domain]
    queue = Queue.objects.get_or_create(receiving_domain_id=known.id, api_user=user)[0]
    states = [(Waiting.State.READY, ready), (Waiting.State.LATER, later), (Waiting.State.HELD, held)]
    Waiting.objects.bulk_create(
        Waiting(
            message_id=ids.new_id(),
            limit_group_id=known.limit_group_id,
            queue=queue,
            state=state,
            priority=Waiting.Priority.BATCH,
            due=at + dt.timedelta(minutes=5),
        )
        for state, count in states
        for _n in range(count)
    )
    if moving:
        counted(queue, at=flow.last_end(at) - dt.timedelta(seconds=5), joined=10, tried=8, left=6, sent=6, delivered=6)
    return queue


def counted(queue: Queue, *, at: dt.datetime, sender_domain_id: int = 1, worker: int = 1, **counts: Any) -> None:
    """What an engine wrote of the bucket that begins at `at`."""
    flow.write([flow.Count(at, queue.pk, sender_domain_id, **counts)], worker=worker)


def pause(queue: Queue, *, minutes: float = 11, ip: str = "", **changed: Any) -> QueuePause:
    """Of the queue's limit group, since so many minutes."""
    now = timezone.now()
    return QueuePause.objects.create(
        **{
            "limit_group_id": queue.receiving_domain.limit_group_id,
            "sending_ip": ip,
            "pace": 0.5,
            "pace_at": now + dt.timedelta(minutes=5),
            "paused_until": now + dt.timedelta(minutes=5),
            "since": now - dt.timedelta(minutes=minutes),
            "reason": QueuePause.Reason.QUOTA,
            **changed,
        }
    )
