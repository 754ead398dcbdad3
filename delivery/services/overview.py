"""What the overview shows: everything here costs the same however many messages there are."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import F, Q

from delivery.models import (
    Callback,
    DomainDay,
    RecipientGroup,
    SenderAddress,
    SenderDomain,
    Summary,
    Task,
    TaskStatus,
    Template,
    Waiting,
)
from delivery.services import quota, statistics
from delivery.services.statistics import Figures

# Waiting rows that are looked at; more are "over 100,000".
COUNTED = 100_000
MOST_PENDING = 500


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


@dataclass(frozen=True, slots=True)
class DomainWeek:
    """What some days' mail of a sender domain came to."""

    domain: SenderDomain
    figures: Figures


def domain_weeks(since: dt.datetime, now: dt.datetime) -> list[DomainWeek]:
    """Sender domains with mail requested since then, the most complained about first, then those with the most mail."""
    rows = Summary.objects.filter(dimension=Summary.Dimension.SENDER_DOMAIN)
    columns = statistics.behind(("requested", "delivery_rate", "complaint_rate"))
    found = {int(key): figures for key, figures in statistics.by(statistics.between(rows, since, now), "key", columns)}
    domains = SenderDomain.objects.in_bulk(found)
    weeks = [DomainWeek(domains[pk], figures) for pk, figures in found.items() if pk in domains]
    return sorted(weeks, key=lambda week: (-(week.figures["complaint_rate"] or 0), -week.figures.count("delivered")))


def fallen_days(now: dt.datetime) -> list[DomainDay]:
    """Days of domains that are blocked for today, or whose level went down last night."""
    today = quota.local_day(now)
    fallen = Q(day=today, blocked_at__isnull=False) | Q(day__gte=today - dt.timedelta(days=1), moved__lt=0)
    return list(DomainDay.objects.filter(fallen).select_related("domain").order_by("domain__name", "-day")[:10])


@dataclass(frozen=True, slots=True)
class Steps:
    """What a new installation has of all that a first task needs.

    `pending`: a domain that is to be verified, where none is; `nobody_in`: a group that nobody is in, where all are so.
    """

    domain: bool
    verified: bool
    address: bool
    template: bool
    group: bool
    task: bool
    pending: int | None = None
    nobody_in: int | None = None

    @property
    def done(self) -> bool:
        return self.task


def steps() -> Steps:
    if Task.objects.exists():
        return Steps(True, True, True, True, True, True)
    # The newest of those that are as far as any.
    domain = SenderDomain.objects.order_by(F("verified_at").asc(nulls_last=True), "-pk").first()
    group = RecipientGroup.objects.order_by("-size", "-pk").first()
    verified, filled = domain is not None and domain.verified, group is not None and group.size > 0
    return Steps(
        domain=domain is not None,
        verified=verified,
        address=SenderAddress.objects.exists(),
        template=Template.objects.filter(deleted_at=None, current__isnull=False).exists(),
        group=filled,
        task=False,
        pending=domain.pk if domain is not None and not verified else None,
        nobody_in=group.pk if group is not None and not filled else None,
    )


def suspended_callbacks() -> list[Callback]:
    return list(Callback.objects.filter(enabled=True, suspended_at__isnull=False).order_by("suspended_at")[:5])


def failed_tasks(since: dt.datetime) -> list[Task]:
    return list(Task.objects.filter(status=TaskStatus.FAILED, ended_at__gte=since).order_by("-id")[:5])


def pending_domains() -> list[SenderDomain]:
    """Domains that nothing can be sent from, those that lost their records first."""
    return list(SenderDomain.objects.filter(verified_at=None).order_by("-problem", "name")[:MOST_PENDING])
