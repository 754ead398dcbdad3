"""Statistics: pages with figures, and their files."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from console.models import Heartbeat
from delivery.services.tasks import create_task, expand
from tests.factories.queues import pause, queue_with
from tests.factories.sending import new_task
from tests.factories.statistics import counted, weeks
from tests.samples import rows, url_of


@rows("sending-data", "tracking-data")
def figures(n: int) -> None:
    weeks(2)


@rows("home")
def overview(n: int) -> None:
    """A day like any other: mail, complaints over the mark, a queue that is paused."""
    now = timezone.now()
    for part in ("deliver", "jobs", "listener"):
        Heartbeat.objects.create(name=f"{part}@sample", part=part, beat_at=now)
    of = [counted(now, requested=0) for _domain in range(2)]
    weeks(1, of=of[0], complaints=3)
    weeks(1, of=of[1], complaints=1)
    expand(create_task(new_task()).pk, now=now)
    pause(queue_with("slow.example.org", ready=412), minutes=60 * 50)


@url_of("sending-data-file", "tracking-data-file")
def file() -> dict[str, Any]:
    return {"kind": "csv"}
