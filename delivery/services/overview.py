"""What the overview shows: everything here costs the same however many messages there are."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import Sum

from delivery.models import (
    RecipientGroup,
    SenderAddress,
    SenderDomain,
    Status,
    Task,
    TaskCount,
    TaskStatus,
    Template,
    Waiting,
)

# Waiting rows that are looked at; more are "over 100,000".
COUNTED = 100_000
FIGURES = (Status.DELIVERED, Status.SOFT_BOUNCE, Status.INVALID, Status.SENDING, Status.HELD)


@dataclass(frozen=True, slots=True)
class Line:
    """What waits, as far as it was counted. `held`: cause → count."""

    waiting: int = 0
    later: int = 0
    sending: int = 0
    held: dict[str, int] = field(default_factory=dict)
    more: bool = False

    @property
    def all(self) -> int:
        return self.waiting + self.later + self.sending + sum(self.held.values())


def line() -> Line:
    """What stands in line, by state, over at most COUNTED rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, held_by, count(*) FROM (SELECT state, held_by FROM delivery_waiting LIMIT %s) w "
            "GROUP BY state, held_by",
            [COUNTED + 1],
        )
        rows = cursor.fetchall()
    by_state: dict[int, int] = {}
    held: dict[str, int] = {}
    for state, held_by, count in rows:
        if state == Waiting.State.HELD:
            held[held_by] = held.get(held_by, 0) + count
        else:
            by_state[state] = by_state.get(state, 0) + count
    return Line(
        waiting=by_state.get(Waiting.State.READY, 0),
        later=by_state.get(Waiting.State.LATER, 0),
        sending=by_state.get(Waiting.State.CLAIMED, 0),
        held=held,
        more=sum(count for _state, _held_by, count in rows) > COUNTED,
    )


def batch_figures(since: dt.datetime) -> dict[str, int]:
    """Counts by status of the tasks made since then, from their own counters; and `requests`, all of them."""
    counts = TaskCount.objects.filter(task__created_at__gte=since).order_by().values("status").annotate(n=Sum("count"))
    found = {row["status"]: int(row["n"]) for row in counts}
    left_out = found.get(Status.CONTROL_GROUP, 0) + found.get(Status.CANCELLED, 0)
    return {**found, "requests": sum(found.values()) - left_out}


@dataclass(frozen=True, slots=True)
class Steps:
    """What a new installation has of all that a first task needs."""

    domain: bool
    verified: bool
    address: bool
    template: bool
    group: bool
    task: bool

    @property
    def done(self) -> bool:
        return self.task


def steps() -> Steps:
    if Task.objects.exists():
        return Steps(True, True, True, True, True, True)
    return Steps(
        domain=SenderDomain.objects.exists(),
        verified=SenderDomain.objects.filter(verified_at__isnull=False).exists(),
        address=SenderAddress.objects.exists(),
        template=Template.objects.filter(deleted_at=None, current__isnull=False).exists(),
        group=RecipientGroup.objects.filter(size__gt=0).exists(),
        task=False,
    )


def failed_tasks(since: dt.datetime) -> list[Task]:
    return list(Task.objects.filter(status=TaskStatus.FAILED, ended_at__gte=since).order_by("-id")[:5])


def pending_domains() -> list[SenderDomain]:
    """Domains that nothing can be sent from, those that lost their records first."""
    return list(SenderDomain.objects.filter(verified_at=None).order_by("-problem", "name")[:10])
