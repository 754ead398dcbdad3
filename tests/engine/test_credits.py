"""Credits: reserved at the request, given back at the end, and a ledger that adds up whatever happens."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from delivery import jobs
from delivery.engine.claim import Claimed
from delivery.engine.settle import Settled, settle
from delivery.engine.types import Verdict
from delivery.models import CreditEntry, HeldBy, Message, PauseCause, Reason, Status, Task, TaskStatus, Waiting
from delivery.services import credits, going_on, holding, tasks, warmup
from delivery.services.regular import NewRegular, send_regular
from suppression import services as suppression
from tests.engine.world import claim_all, delivered, exchange, group_of, started
from tests.factories.delivery import AddressFactory
from tests.factories.sending import new_task, template

pytestmark = pytest.mark.django_db
UNPAID = [Reason.SERVER_ERROR, Reason.IP_OR_DOMAIN, Reason.OTHER]
PAID = [Reason.FORMAT_ERROR, Reason.NOT_EXIST, Reason.SPAM, Reason.REJECTED]


def ledger_sum() -> int:
    """What is left, if all is well."""
    return CreditEntry.objects.aggregate(sum=Sum("delta"))["sum"] or 0


def people(count: int, domain: str = "reader.example") -> list[str]:
    return [f"reader{n}@{domain}" for n in range(count)]


def give(amount: int) -> None:
    credits.top_up(amount, by="Ann", now=timezone.now())


def ended(one: Claimed, status: Status, reason: str = "") -> Settled:
    verdict = Verdict("refused", reason, "recipient", "rule")
    return Settled(one, status, reason=reason, exchange=exchange(550, "550 no"), verdict=verdict)


def deliver_all() -> int:
    batch = claim_all()
    return settle([delivered(one) for one in batch], now=timezone.now())


def state(task: Task) -> tuple[str, str]:
    task.refresh_from_db()
    return task.status, task.pause_cause


def test_without_a_limit_nothing_is_reserved_or_written_down() -> None:
    started(people(3), AddressFactory())
    assert credits.left() is None
    assert set(Waiting.objects.values_list("credit", flat=True)) == {None}
    deliver_all()
    assert not CreditEntry.objects.exists()


def test_one_is_reserved_for_each_recipient_at_the_request() -> None:
    give(100)
    started(people(30), AddressFactory())
    assert credits.left() == 70
    entry = CreditEntry.objects.latest("pk")
    assert (entry.kind, entry.delta, entry.task_id is not None) == ("reserved", -30, True)


@pytest.mark.parametrize(
    ("status", "reason", "cost"),
    [
        *((status, "", 1) for status in (Status.DELIVERED, Status.SENT)),
        *((Status.SOFT_BOUNCE, reason, 1) for reason in ("other", "server_error", "ip_or_domain")),
        *((Status.INVALID, reason, 1) for reason in PAID),
        *((Status.INVALID, reason, 0) for reason in [*UNPAID, Reason.BLACKLIST, Reason.UNSUBSCRIBE]),
    ],
)
def test_it_is_given_back_unless_the_outcome_is_paid(status: Status, reason: str, cost: int) -> None:
    give(10)
    started(people(1), AddressFactory())
    [one] = claim_all()
    settle([ended(one, status, reason)], now=timezone.now())
    assert credits.left() == ledger_sum() == 10 - cost


def test_suppressed_and_simulator_mail_and_the_control_group_cost_none(settings: Any) -> None:
    settings.SIMULATOR = True
    give(50)
    sender = AddressFactory()
    started(people(5, "simulator.test"), sender)
    assert credits.left() == 50
    suppression.unsubscribe("reader0@reader.example", api_user_id=Task.objects.get().api_user_id, now=timezone.now())
    task = started(people(40), sender, control_percent=50)
    held_out = tasks.counts_of([task.pk])[task.pk]["control_group"]
    assert 5 < held_out < 35
    assert credits.left() == 50 - (40 - held_out - 1)


def test_used_up_the_rest_is_held_and_goes_on_when_topped_up() -> None:
    give(4)
    task = started(people(10), AddressFactory())
    assert state(task) == (TaskStatus.PAUSED, PauseCause.CREDITS)
    assert tasks.counts_of([task.pk])[task.pk] == {"sending": 4, "held": 6}
    assert set(Message.objects.filter(status="held").values_list("held_by", flat=True)) == {HeldBy.CREDITS}
    # What has a credit goes its way.
    assert (deliver_all(), credits.left(), jobs.go_on()) == (4, 0, 0)
    give(2)
    assert (jobs.go_on(), credits.left(), state(task)[0]) == (2, 0, TaskStatus.PAUSED)
    give(100)
    assert jobs.go_on() == 4
    assert state(task) == (TaskStatus.SENDING, "")
    assert (deliver_all(), credits.left()) == (6, 96)
    assert state(task)[0] == TaskStatus.DONE


def test_what_is_given_back_serves_those_who_wait() -> None:
    give(3)
    task = started(people(5), AddressFactory())
    settle([ended(one, Status.INVALID, Reason.OTHER) for one in claim_all()], now=timezone.now())
    assert (jobs.go_on(), credits.left()) == (2, 1)
    assert state(task)[0] == TaskStatus.SENDING


def test_an_operator_who_resumes_sends_nothing_that_has_no_credit() -> None:
    give(1)
    task = started(people(3), AddressFactory())
    tasks.resume(task)
    jobs.release_task(task.pk)
    assert (deliver_all(), deliver_all()) == (1, 0)
    assert jobs.go_on() == 0
    assert state(task) == (TaskStatus.PAUSED, PauseCause.CREDITS)


def test_mail_of_a_task_that_an_operator_paused_waits_on() -> None:
    give(0)
    task = started(people(3), AddressFactory())
    Task.objects.filter(pk=task.pk).update(pause_cause=PauseCause.OPERATOR)
    give(10)
    assert (jobs.go_on(), credits.left()) == (0, 10)


def test_without_a_limit_again_all_goes_on_and_costs_nothing() -> None:
    give(0)
    task = started(people(3), AddressFactory())
    credits.lift_limit()
    assert jobs.go_on() == 3
    assert (deliver_all(), state(task)[0], ledger_sum()) == (3, TaskStatus.DONE, 0)


def test_what_is_cancelled_is_given_back_and_what_had_none_is_not() -> None:
    give(4)
    task = started(people(10), AddressFactory())
    tasks.stop(task, now=timezone.now())
    holding.cancel_task(task.pk, now=timezone.now())
    assert (credits.left(), ledger_sum()) == (4, 4)
    assert state(task)[0] == TaskStatus.STOPPED


def test_regular_mail_without_credit_is_held_and_goes_on() -> None:
    give(1)
    mail = NewRegular(template("<p>Hello</p>"), "Hi", AddressFactory(), "\n".join(people(3)))
    send_regular(mail, now=timezone.now())
    assert Counter(Message.objects.values_list("status", flat=True)) == {"sending": 1, "held": 2}
    give(5)
    assert (jobs.go_on(), deliver_all(), credits.left()) == (2, 3, 3)


def test_a_limit_set_anew_is_what_is_left_whatever_was_before() -> None:
    give(10)
    started(people(4), AddressFactory())
    credits.lift_limit()
    give(20)
    assert (credits.left(), ledger_sum()) == (20, 20)
    give(-5)
    assert credits.left() == 15


def test_the_ledger_adds_up_whatever_happens() -> None:
    chance = random.Random(7)
    sender = AddressFactory()
    give(60)
    topped = 60
    for turn in range(30):
        match chance.randrange(5):
            case 0:
                started(people(chance.randint(1, 25), f"d{turn}.example"), sender)
            case 1 | 2:
                outcomes = [
                    *((Status.INVALID, one) for one in Reason),
                    (Status.DELIVERED, ""),
                    (Status.SOFT_BOUNCE, ""),
                ]
                batch = claim_all(chance.randint(1, 20))
                settled = [ended(one, *chance.choice(outcomes)) for one in batch]
                # Settled twice, as by a worker that was thought dead.
                settle(settled, now=timezone.now())
                settle(settled, now=timezone.now())
            case 3 if task := Task.objects.filter(status__in=["sending", "paused"]).order_by("?").first():
                tasks.stop(task, now=timezone.now())
                holding.cancel_task(task.pk, now=timezone.now())
            case _:
                amount = chance.randint(1, 15)
                give(amount)
                topped += amount
        going_on.go_on(now=timezone.now())
        reserved = Waiting.objects.filter(credit=True).count()
        ends = Message.objects.exclude(status__in=["held", "sending"]).values_list("status", "reason")
        paid = sum(credits.is_paid(status, reason) for status, reason in ends)
        assert credits.left() == ledger_sum() == topped - paid - reserved
        assert credits.left() >= 0
        assert (Waiting.objects.filter(credit=False).count() == 0) or credits.left() == 0


@pytest.mark.django_db(transaction=True)
def test_requests_side_by_side_never_spend_a_credit_twice() -> None:
    give(25)
    sender = AddressFactory()
    made = [
        tasks.create_task(new_task(group=group_of(people(10, f"d{n}.example")), sender_address=sender))
        for n in range(4)
    ]

    def expand(task: Task) -> None:
        try:
            tasks.expand(task.pk, now=timezone.now())
        finally:
            connection.close()

    threads = [threading.Thread(target=expand, args=[task]) for task in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Waiting.objects.filter(credit=True).count(), credits.left()) == (25, 0)


def test_mail_that_a_failed_task_has_made_goes_on_when_credits_are_added() -> None:
    give(0)
    task = started(people(3), AddressFactory())
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.FAILED, pause_cause="")
    give(3)
    assert (jobs.go_on(), deliver_all()) == (3, 3)


def test_a_task_may_be_short_of_both_quota_and_credits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "CAPS", tuple(one // 100 for one in warmup.CAPS))
    give(8)
    task = started(people(10), AddressFactory())
    now = timezone.now()

    def work() -> Counter[str]:
        batch = claim_all()
        over = going_on.over_quota(batch, now=now)
        settle(
            [
                Settled(one, Status.HELD, held_by=over[one.message_id]) if one.message_id in over else delivered(one)
                for one in batch
            ],
            now=now,
        )
        return Counter(Message.objects.values_list("status", "held_by"))

    assert work() == {("delivered", ""): 5, ("held", HeldBy.QUOTA): 3, ("held", HeldBy.CREDITS): 2}
    assert state(task) == (TaskStatus.PAUSED, PauseCause.CREDITS)
    now += dt.timedelta(days=1)
    assert going_on.go_on(now=now) == 3
    assert work() == {("delivered", ""): 8, ("held", HeldBy.CREDITS): 2}
    give(2)
    assert going_on.go_on(now=now) == 2
    work()
    assert (state(task)[0], credits.left()) == (TaskStatus.DONE, 0)
