"""Signs of life. Each running part writes its row; the supervisor, the menu's foot and /healthz read them."""

from __future__ import annotations

import datetime as dt
import os
import socket
import time

from django.conf import settings
from django.utils import timezone

from console.models import Heartbeat

FRESH = dt.timedelta(seconds=45)
AGAIN_SECONDS = 5.0
_again_at = 0.0


def supervisor() -> str:
    """Who started this process: `host:pid` of `manage.py serve`; the process itself where it runs on its own."""
    return os.environ.get("POSTHORN_SUPERVISOR") or own_name()


def host() -> str:
    """This machine, as it stands in the names of supervisors and workers."""
    return (settings.MACHINE_NAME or socket.gethostname())[-32:]


def own_name() -> str:
    return f"{host()}:{os.getpid()}"


def beat(part: str) -> None:
    """Say that this part, under this supervisor, did some work just now."""
    name = f"{part}@{supervisor()}"[:64]
    Heartbeat.objects.update_or_create(name=name, defaults={"part": part, "beat_at": timezone.now()})


def at_work() -> None:
    """A sign of life from the middle of a long job: behind it those that are asked for would wait for its end, and the
    supervisor would take the cluster for dead. Outside of clusters nothing."""
    global _again_at
    cluster = os.environ.get("Q_CLUSTER_NAME", "")
    if cluster and time.monotonic() >= _again_at:
        _again_at = time.monotonic() + AGAIN_SECONDS
        beat(cluster)


def last_beat(part: str, of: str) -> dt.datetime | None:
    row = Heartbeat.objects.filter(name=f"{part}@{of}"[:64]).first()
    return row.beat_at if row else None


def alive() -> dict[str, int]:
    """Number of living parts by name."""
    found: dict[str, int] = {}
    for part in Heartbeat.objects.filter(beat_at__gt=timezone.now() - FRESH).values_list("part", flat=True):
        found[part] = found.get(part, 0) + 1
    return found


def forget(of: str) -> None:
    """Remove the rows of a supervisor that ends, and old ones."""
    Heartbeat.objects.filter(name__endswith=f"@{of}").delete()
    Heartbeat.objects.filter(beat_at__lt=timezone.now() - dt.timedelta(days=1)).delete()
