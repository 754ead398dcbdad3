"""Daily quotas over days that the tests choose: reserved at the first attempt, held over the cap, and going on."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from console.models import Account, ApiUser
from delivery import jobs
from delivery.engine.claim import Claimed
from delivery.engine.settle import Settled, settle
from delivery.engine.types import Verdict
from delivery.models import (
    DomainDay,
    HeldBy,
    Message,
    PauseCause,
    SenderAddress,
    SenderDomain,
    Status,
    Task,
    TaskStatus,
    Waiting,
)
from delivery.services import going_on, holding, quota, tasks, warmup
from delivery.services.regular import NewRegular, RegularRefused, send_regular
from delivery.simulator.server import Simulator
from tests.engine.world import claim_all, deliver, delivered, exchange, fates, group_of, started
from tests.factories.delivery import AddressFactory
from tests.factories.sending import new_task, template

pytestmark = pytest.mark.django_db
# Noon in Tokyo, and night in London.
MORNING = dt.datetime(2026, 3, 2, 3, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def in_tokyo(db: None) -> None:
    account = Account.current()
    account.time_zone = "Asia/Tokyo"
    account.save()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caps a hundredth of the real ones, and few messages are enough to judge by."""
    monkeypatch.setattr(warmup, "CAPS", tuple(one // 100 for one in warmup.CAPS))
    monkeypatch.setattr(warmup, "ENOUGH", 3)


def people(count: int, domain: str = "reader.example") -> list[str]:
    return [f"reader{n}@{domain}" for n in range(count)]


def refused(one: Claimed, reason: str = "not_exist") -> Settled:
    verdict = Verdict("refused", reason, "recipient", "rule")
    return Settled(one, Status.INVALID, reason=reason, exchange=exchange(550, "550 no"), verdict=verdict)


def refused_at(ends: Sequence[str], one: Claimed) -> Settled:
    return refused(one) if one.recipient.endswith(tuple(ends)) else delivered(one)


def put_off(one: Claimed, until: dt.datetime) -> Settled:
    verdict = Verdict("deferred", "other", "recipient", "rule")
    return Settled(one, Status.SENDING, due=until, exchange=exchange(450, "450 later"), verdict=verdict)


def work(now: dt.datetime, ends: Callable[[Claimed], Settled] = delivered, *, at_once: int = 7) -> Counter[str]:
    """As the engine does, until nothing is left that may be tried; gives what was made of it."""
    made: Counter[str] = Counter()
    while batch := claim_all(at_once):
        over = going_on.over_quota(batch, now=now)
        settled = [
            Settled(one, Status.HELD, held_by=over[one.message_id]) if one.message_id in over else ends(one)
            for one in batch
        ]
        assert settle(settled, now=now) == len(batch)
        made.update(str(one.held_by or one.status) for one in settled)
        for task in Task.objects.filter(status=TaskStatus.PAUSED):
            holding.hold_task(task.pk)
    return made


LEVELS = [1, 2, 3, 4, 5, 6, 6, 6, 6, 5, 4, 5, 6, 6, 6, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6]


def older(sender: SenderAddress, level: int) -> SenderAddress:
    """Its domain has that level."""
    SenderDomain.objects.filter(pk=sender.domain_id).update(level=level)
    return sender


def today(task: Task, now: dt.datetime) -> DomainDay:
    return DomainDay.objects.get(domain__name=task.sender.rpartition("@")[2], day=quota.local_day(now))


def test_mail_over_the_cap_is_held_its_task_paused_and_goes_on_the_next_local_day(small: None) -> None:
    task = started(people(12), AddressFactory())
    assert work(MORNING)["delivered"] == 5
    task.refresh_from_db()
    assert (task.status, task.pause_cause) == (TaskStatus.PAUSED, PauseCause.QUOTA)
    assert tasks.counts_of([task.pk])[task.pk] == {"delivered": 5, "held": 7}
    assert set(Message.objects.filter(status="held").values_list("held_by", flat=True)) == {HeldBy.QUOTA}
    # Still the same day in Tokyo, though another in London.
    evening = MORNING + dt.timedelta(hours=11, minutes=59)
    assert going_on.go_on(now=evening) == 0
    assert work(evening) == {}

    midnight = MORNING + dt.timedelta(hours=12)
    assert going_on.go_on(now=midnight) == 7
    assert work(midnight) == {"delivered": 7}
    task.refresh_from_db()
    assert (task.status, today(task, midnight).level) == (TaskStatus.DONE, 2)


def test_warming_up_over_25_days(small: None) -> None:
    """All goes well at first, then the list is bad for two days and terrible for one, then all goes well again."""
    sender = AddressFactory()
    bad, terrible = (8, 9), 14
    levels, days = [], []
    for number in range(25):
        now = MORNING + number * DAY
        going_on.go_on(now=now)
        going_on.go_on(now=now + dt.timedelta(hours=1))  # once a day, however often it is asked
        day = DomainDay.objects.get(domain=sender.domain, day=quota.local_day(now))
        levels.append(day.level)
        started(people(100, f"d{number}.example"), sender)
        # One in ten, or in five, does not exist.
        wrong = ("7@", "3@") if number == terrible else ("7@",) if number in bad else ("nobody@",)
        ends = [f"{one}d{number}.example" for one in wrong]
        work(now, partial(refused_at, ends), at_once=50)
        day.refresh_from_db()
        days.append(day)
        assert day.attempted <= warmup.cap(day.level)
        assert (day.blocked_at is not None) == (number == terrible)
        # What is over the cap is of no interest to the next day here.
        for task in Task.objects.filter(status=TaskStatus.PAUSED):
            tasks.stop(task, now=now)
            holding.cancel_task(task.pk, now=now)
    assert levels == LEVELS
    moved = DomainDay.objects.filter(domain=sender.domain).order_by("day").values_list("moved", "why")
    assert [list(moved)[n] for n in (0, 5, 8, 9, terrible)] == [
        *((1, "good"), (0, ""), (-1, "invalid"), (-1, "invalid"), (-1, "invalid"))
    ]
    assert days[5].attempted == 100


def test_a_domain_whose_mail_is_refused_is_blocked_for_the_day(small: None) -> None:
    task = started(people(20), older(AddressFactory(), 3))
    made = work(MORNING, lambda one: refused(one, "spam"), at_once=4)
    assert made == {"invalid": 4, "domain_blocked": 4}
    task.refresh_from_db()
    assert (task.status, task.pause_cause) == (TaskStatus.PAUSED, PauseCause.DOMAIN)
    assert set(Message.objects.filter(status="held").values_list("held_by", flat=True)) == {HeldBy.DOMAIN_BLOCKED}
    assert today(task, MORNING).blocked_at == MORNING
    assert going_on.go_on(now=MORNING + dt.timedelta(hours=1)) == 0
    assert going_on.go_on(now=MORNING + DAY) == 16
    assert today(task, MORNING + DAY).level == 2


def test_retries_count_once_and_go_on_while_the_quota_is_used_up(small: None) -> None:
    task = started(people(8), AddressFactory())
    made = work(MORNING, lambda one: put_off(one, MORNING))
    assert (made["sending"], made["quota"]) == (5, 2)
    Waiting.objects.filter(state=Waiting.State.LATER).update(state=Waiting.State.READY)
    assert work(MORNING) == {"delivered": 5}
    day = today(task, MORNING)
    assert (day.attempted, day.delivered) == (5, 5)


def test_a_retry_on_the_next_day_counts_for_the_day_of_the_first_attempt(small: None) -> None:
    task = started(people(3), AddressFactory())
    assert work(MORNING, lambda one: put_off(one, MORNING)) == {"sending": 3}
    Waiting.objects.update(state=Waiting.State.READY)
    quota.open_days(now=MORNING + DAY)
    assert work(MORNING + DAY) == {"delivered": 3}
    found = [(day.attempted, day.delivered) for day in (today(task, MORNING), today(task, MORNING + DAY))]
    assert found == [(3, 3), (0, 0)]


def test_what_was_not_tried_after_all_says_nothing_of_its_domain(small: None) -> None:
    task = started(people(1), AddressFactory())
    batch = claim_all()
    assert quota.reserve(batch, now=MORNING) == {}
    settle([Settled(one, Status.INVALID, reason="format_error") for one in batch], now=MORNING)
    assert today(task, MORNING).invalid == 0


def test_what_is_claimed_again_after_a_crash_is_not_counted_again(small: None) -> None:
    task = started(people(5), AddressFactory())
    assert going_on.over_quota(claim_all(), now=MORNING) == {}
    Waiting.objects.update(state=Waiting.State.READY, claim_token=None)
    assert work(MORNING) == {"delivered": 5}
    assert today(task, MORNING).attempted == 5
    # A day later it would count for that day: nothing was tried on this one.
    task = started(people(2, "again.example"), AddressFactory())
    going_on.over_quota(claim_all(), now=MORNING)
    Waiting.objects.update(state=Waiting.State.READY, claim_token=None)
    work(MORNING + DAY)
    assert today(task, MORNING + DAY).attempted == 2


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_never_go_over_the_cap(small: None) -> None:
    sender = older(AddressFactory(), 3)
    task = started(people(60), sender)
    batches = [claim_all(6) for _ in range(10)]
    quota.open_days(now=MORNING)
    over: list[int] = []

    def reserve(batch: list[Claimed]) -> None:
        try:
            over.extend(quota.reserve(batch, now=MORNING))
        finally:
            connection.close()

    threads = [threading.Thread(target=reserve, args=[batch]) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(over), today(task, MORNING).attempted) == (40, 20)


def test_the_simulator_costs_nothing_of_the_quota(small: None, settings: Any) -> None:
    settings.SIMULATOR = True
    task = started(people(6, "simulator.test") + people(6, "gmail.moods.test"), AddressFactory())
    assert work(MORNING) == {"delivered": 12}
    assert not DomainDay.objects.filter(domain__name=task.sender.rpartition("@")[2], attempted__gt=0).exists()


def test_an_api_user_has_a_quota_of_its_own() -> None:
    user = ApiUser.console(ApiUser.Type.BATCH)
    user.daily_quota = 3
    user.save()
    task = started(people(5), AddressFactory())
    assert work(MORNING)["delivered"] == 3
    task.refresh_from_db()
    assert task.pause_cause == PauseCause.QUOTA
    going_on.go_on(now=MORNING + DAY)
    assert work(MORNING + DAY) == {"delivered": 2}


def test_only_as_much_as_may_go_is_taken_up(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(going_on, "MARGIN", 2)
    task = started(people(40), AddressFactory())
    work(MORNING)
    assert going_on.go_on(now=MORNING + DAY) == 10 + 2
    assert work(MORNING + DAY) == {"delivered": 10, "quota": 2}
    task.refresh_from_db()
    assert task.status == TaskStatus.PAUSED
    # Suppressed since, so that the day has room left: it is taken up, too.
    assert going_on.go_on(now=MORNING + 2 * DAY) == 22
    Waiting.objects.filter(pk__in=[one.message_id for one in claim_all(20)]).delete()
    assert going_on.go_on(now=MORNING + 2 * DAY) == 0  # the job of tidying has not yet counted them


def test_a_level_set_by_hand_holds_at_once(small: None) -> None:
    sender = AddressFactory()
    task = started(people(30), sender)
    work(MORNING)
    quota.set_level(sender.domain, 4, now=MORNING)
    assert going_on.go_on(now=MORNING) == 25
    assert work(MORNING) == {"delivered": 25}
    assert (today(task, MORNING).attempted, today(task, MORNING).level) == (30, 4)


def regular(sender: Any, count: int, domain: str = "reader.example") -> Any:
    lines = "\n".join(people(count, domain))
    return send_regular(NewRegular(template("<p>Hello</p>"), "Hi", sender, lines), now=MORNING)


def test_regular_mail_over_the_quota_is_an_error_at_once(small: None, settings: Any) -> None:
    settings.SIMULATOR = True
    sender = AddressFactory()
    with pytest.raises(RegularRefused, match="leaves 5") as error:
        regular(sender, 6)
    assert error.value.field == "sender_address"
    assert not Message.objects.exists()
    regular(sender, 5)
    assert work(MORNING) == {"delivered": 5}
    with pytest.raises(RegularRefused, match="used up"):
        regular(sender, 1)
    assert len(regular(sender, 8, "simulator.test").ids) == 8


def test_regular_mail_that_met_the_end_of_the_day_goes_on_the_next(small: None) -> None:
    sender = AddressFactory()
    regular(sender, 3)
    regular(sender, 4)
    assert work(MORNING) == {"delivered": 5, "quota": 2}
    assert going_on.go_on(now=MORNING) == 0
    assert going_on.go_on(now=MORNING + DAY) == 2
    assert work(MORNING + DAY) == {"delivered": 2}


def test_rows_made_while_the_task_is_paused_are_held_from_the_beginning(small: None) -> None:
    task = tasks.create_task(new_task(group=group_of(people(9)), sender_address=AddressFactory()))
    tasks.start(task.pk, now=MORNING)
    task.refresh_from_db()
    tasks.pause(task, cause=PauseCause.QUOTA)
    tasks.expand(task.pk, now=MORNING)
    assert set(Message.objects.values_list("status", "held_by")) == {("held", HeldBy.QUOTA)}


@pytest.mark.usefixtures("hasty")
def test_the_engine_holds_what_is_over_the_cap(outside: Simulator, sender: Any, settings: Any) -> None:
    # Not called the simulator, so that its mail counts.
    settings.SIMULATOR_DOMAIN = "elsewhere.test"
    user = ApiUser.console(ApiUser.Type.BATCH)
    user.daily_quota = 4
    user.save()
    task = started([f"success+{n}@simulator.test" for n in range(10)], sender)
    deliver()
    holding.hold_task(task.pk)
    assert Counter(status for status, _reason in fates(task).values()) == {"delivered": 4, "held": 6}
    task.refresh_from_db()
    assert (task.status, task.pause_cause) == (TaskStatus.PAUSED, PauseCause.QUOTA)
    assert today(task, timezone.now()).delivered == 4
    assert jobs.go_on() == 0
    user.daily_quota = None
    user.save()
    assert jobs.go_on() == 6
    deliver()
    task.refresh_from_db()
    assert task.status == TaskStatus.DONE


def test_mail_that_a_failed_task_has_made_goes_on_the_next_day_too(small: None) -> None:
    task = started(people(8), AddressFactory())
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.FAILED)
    assert work(MORNING) == {"delivered": 5, "quota": 3}
    assert going_on.go_on(now=MORNING) == 0
    assert going_on.go_on(now=MORNING + DAY) == 3
    assert work(MORNING + DAY) == {"delivered": 3}


def test_a_disabled_api_users_mail_goes_on_when_it_is_enabled_however_that_came_about() -> None:
    user = ApiUser.console(ApiUser.Type.BATCH)
    ApiUser.objects.filter(pk=user.pk).update(enabled=False)
    started(people(4), AddressFactory())
    other = ApiUser.console(ApiUser.Type.TRIGGER)
    assert other.enabled
    assert (work(MORNING), going_on.go_on(now=MORNING)) == ({}, 0)
    ApiUser.objects.filter(pk=user.pk).update(enabled=True)
    assert going_on.go_on(now=MORNING) == 4
    assert work(MORNING) == {"delivered": 4}


def test_nothing_is_taken_up_while_all_sending_is_stopped(small: None) -> None:
    started(people(8), AddressFactory())
    work(MORNING)
    Account.objects.update(sending_stopped_at=MORNING)
    assert going_on.go_on(now=MORNING + DAY) == 0
    Account.objects.update(sending_stopped_at=None)
    assert going_on.go_on(now=MORNING + DAY) == 3
