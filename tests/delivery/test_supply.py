"""Engines are asked for while mail is due, as many as are missing, and no more."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from console import heartbeat
from delivery.engine import shares
from delivery.models import LimitGroup, QueuePause, Waiting
from delivery.services import supply
from tests.engine.world import claim_all, started
from tests.factories.delivery import AddressFactory

HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def two_workers(db: None, settings: Any) -> None:
    settings.DELIVER_WORKERS = 2


def due() -> None:
    started(["ann@example.org"], AddressFactory())
    OrmQ.objects.all().delete()


def test_nothing_due_asks_for_nothing() -> None:
    assert supply.top_up() == 0


def test_mail_that_is_due_asks_for_an_engine_a_worker_and_only_once() -> None:
    due()
    assert supply.top_up() == 2
    assert supply.top_up() == 0
    assert OrmQ.objects.filter(key="deliver").count() == 2


def test_engines_at_work_count_and_those_of_other_machines_do_not() -> None:
    due()
    shares.beat(1, f"{heartbeat.supervisor()}/1")
    shares.beat(2, "another-machine:7/1")
    assert supply.top_up() == 1


@pytest.mark.parametrize(
    ("changed", "is_due"),
    [
        ({"state": Waiting.State.LATER, "due": -HOUR}, True),
        ({"state": Waiting.State.LATER, "due": HOUR}, False),
        ({"state": Waiting.State.HELD}, False),
        ({"state": Waiting.State.CLAIMED, "claim_deadline": HOUR}, False),
        ({"state": Waiting.State.CLAIMED, "claim_deadline": -HOUR}, True),
    ],
)
def test_what_is_put_off_held_or_claimed_is_due_only_when_its_time_has_come(
    changed: dict[str, Any], is_due: bool
) -> None:
    due()
    claim_all()
    now = timezone.now()
    Waiting.objects.update(
        **{name: now + value if isinstance(value, dt.timedelta) else value for name, value in changed.items()}
    )
    assert bool(supply.top_up()) is is_due


# --- paused


def paused(name: str, *ips: str, until: dt.timedelta = HOUR) -> None:
    for ip in ips:
        QueuePause.objects.create(
            limit_group=LimitGroup.objects.get(name=f"domain:{name}"),
            sending_ip=ip,
            pace_at=timezone.now(),
            paused_until=timezone.now() + until,
            since=timezone.now(),
            reason=QueuePause.Reason.QUOTA,
        )


@pytest.mark.parametrize("ips", [("",), ("127.0.0.2", "127.0.0.3")])
def test_mail_for_a_group_that_is_paused_from_every_ip_asks_for_no_engine(settings: Any, ips: tuple[str, ...]) -> None:
    settings.SENDING_IPS = ["127.0.0.2", "127.0.0.3"]
    due()
    paused("example.org", *ips)
    assert supply.top_up() == 0
    Waiting.objects.update(state=Waiting.State.LATER, due=timezone.now() - HOUR)
    assert supply.top_up() == 0, "a retry that comes due meanwhile waits, too"
    QueuePause.objects.update(paused_until=timezone.now())
    assert supply.top_up() == 2


def test_one_sending_ip_that_goes_on_is_enough(settings: Any) -> None:
    settings.SENDING_IPS = ["127.0.0.2", "127.0.0.3"]
    due()
    paused("example.org", "127.0.0.2")
    assert supply.top_up() == 2


@pytest.mark.parametrize("other", ["a.example", "z.example"])
def test_a_paused_group_does_not_hide_the_mail_of_others(other: str) -> None:
    started([f"ann@{name}" for name in sorted([other, "m.example"])], AddressFactory())
    OrmQ.objects.all().delete()
    paused("m.example", "")
    assert supply.top_up() == 2
