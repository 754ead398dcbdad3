"""Queues in every state."""

from __future__ import annotations

from typing import Any

from delivery.models import LookedAt, Queue, QueuePause
from tests.factories.queues import pause, queue_with
from tests.samples import rows, url_of

_named = iter(range(10_000))


@rows("queues")
def queues(n: int) -> None:
    for number in range(n):
        queue = queue_with(f"mx{next(_named)}.example.org", ready=2 * number, later=number % 3, moving=number % 2 == 0)
        if number % 3 == 1:
            reason = list(QueuePause.Reason)[number % 4]
            pause(queue, reason=reason, minutes=11 if number % 2 else 60 * 54, said="421 4.7.0 Too many connections")
    LookedAt.objects.all().delete()  # so that the next who looks sees them


def _queue() -> Queue:
    return queue_with(f"mx{next(_named)}.example.org", ready=3)


@url_of("queue-pause", "queue-recover")
def queue() -> dict[str, Any]:
    return {"pk": _queue().pk}


@url_of("limits")
def limits() -> dict[str, Any]:
    return {"pk": _queue().receiving_domain.limit_group_id}
