"""Figures to test with, through the deltas and the job that folds them."""

from __future__ import annotations

import datetime as dt
import random

from django.utils import timezone

from console import ids
from console.models import ApiUser
from delivery.services import rollup
from delivery.services.deltas import Deltas, Of
from delivery.services.requests import receiving_domains
from tests.factories.delivery import DomainFactory, TemplateFactory


def counted(at: dt.datetime, *, to: str = "example.org", of: Of | None = None, **columns: int) -> Of:
    """So much happened to mail requested at `at`. `of`: as returned before, for the same sender and template."""
    of = of or Of(
        0,
        ApiUser.console(ApiUser.Type.BATCH).pk,
        DomainFactory(verified=True).pk,
        0,
        TemplateFactory().current_id,
        "",
    )
    here = of._replace(message_id=ids.id_at(at), receiving_domain_id=receiving_domains([to])[to].id)
    changed = Deltas()
    changed.add(here, **columns)
    changed.write()
    return here


def fold() -> None:
    rollup.fold(now=timezone.now())


def weeks(count: int = 2, *, of: Of | None = None, complaints: int = 2) -> None:
    """So many weeks up to now, with some of everything by hour."""
    chooser = random.Random(5)
    now = timezone.now()
    of = of or counted(now, requested=0)
    domains = [known.id for known in receiving_domains([f"d{n}.example.org" for n in range(5)]).values()]
    changed = Deltas()
    for hours in range(count * 7 * 24):
        at = now - dt.timedelta(hours=hours)
        requested = chooser.randrange(200, 900) if 6 < at.hour < 20 else chooser.randrange(40)
        failed = {name: chooser.randrange(1 + requested // 40) for name in ("rejected", "invalid", "spam", "other")}
        delivered = requested - sum(failed.values())
        opened = round(delivered * chooser.uniform(0.3, 0.5))
        clicked = round(opened * chooser.uniform(0.1, 0.3))
        changed.add(
            of._replace(message_id=ids.id_at(at), receiving_domain_id=domains[hours % 5]),
            requested=requested,
            delivered=delivered,
            paid=requested - failed["rejected"],
            **failed,
            unique_opens=opened,
            opens=opened * 2,
            automatic_opens=opened // 3,
            unique_clicks=clicked,
            clicks=clicked + clicked // 4,
            automatic_clicks=clicked // 5,
            unsubscriptions=chooser.randrange(3),
            complaints=chooser.randrange(complaints) if delivered else 0,
        )
    changed.write()
    fold()
