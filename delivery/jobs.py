"""What django-q2 calls, one line each, and when. A task here means "work on this": done twice or late, it harms
nothing, because rows and leases say what is left to do."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from django.utils import timezone

from console import partitions, retention
from console.models import Account
from delivery.callbacks import sending
from delivery.engine import run
from delivery.models import HeldBy, Task, TaskStatus
from delivery.services import counts, domains, flow, going_on, holding, pauses, rollup, schedules, tasks

# Well below q2's timeout (settings), which would kill the worker.
DELIVER_SECONDS = 200.0


def deliver() -> str:
    # What there is by now is there to stay: to look through it again and again takes a twentieth of an engine's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    stop_file = os.environ.get("POSTHORN_STOP_FILE")
    report = run.deliver(seconds=DELIVER_SECONDS, stop_file=Path(stop_file) if stop_file else None)
    return f"{report.settled} settled in {report.seconds:.1f} s"


def expand_task(task_id: int) -> int:
    return tasks.expand(task_id, now=timezone.now())


def hold_task(task_id: int) -> int:
    return holding.hold_task(task_id)


def release_task(task_id: int) -> int:
    moved = holding.release_task(task_id)
    tasks.end_if_over(task_id, now=timezone.now())
    return moved


def keep_window(task_id: int) -> int:
    return schedules.keep_window(task_id)


def cancel_task(task_id: int) -> int:
    return holding.cancel_task(task_id, now=timezone.now())


def release(held_by: str) -> int:
    """Take up again everything held for this cause; what still must wait is held again when it is claimed."""
    return holding.release_all(HeldBy(held_by))


def go_on() -> int:
    """Begin a new day's quotas, and take up what waited for them."""
    return going_on.go_on(now=timezone.now())


def wake_group(group_id: int) -> int:
    return pauses.wake_group(group_id, now=timezone.now())


def check_domains() -> int:
    return domains.check_due(now=timezone.now())


def fold_statistics() -> int:
    return rollup.fold(now=timezone.now())


def send_callbacks() -> int:
    return sending.run()


def make_partitions() -> list[str]:
    return partitions.ensure(timezone.now())


def prune() -> int:
    return len(retention.prune(now=timezone.now()))


def tidy() -> None:
    """What a crash may have left half done is taken up again; what is old is cleared away."""
    now = timezone.now()
    # Not what waits for the clock: that is begun by the supervisors (services/schedules.py).
    begun = Task.objects.filter(status__in=[TaskStatus.WAITING, TaskStatus.SENDING], expanded=False, next_run_at=None)
    for task in begun.exclude(type=Task.Type.RECURRING, parent=None):
        tasks.ask_for_expansion(task.pk)
    for task in Task.objects.filter(status=TaskStatus.PAUSED):
        holding.hold_task(task.pk)
    for task in Task.objects.filter(status=TaskStatus.STOPPED, ended_at=None):
        holding.cancel_task(task.pk, now=now)
    counts.end_all(now=now)
    schedules.tidy_windows()
    holding.release_forgotten()
    if Account.current().sending_stopped_at is None:
        holding.release_all(HeldBy.ACCOUNT)
    tasks.prune(now=now)
    flow.fold(now=now)
    sending.tidy(now=now)
