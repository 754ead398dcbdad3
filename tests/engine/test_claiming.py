"""Who takes which row: each row one claim, trigger before batch, tasks by turn, shares to the living."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone

from console.models import Account, ApiUser
from delivery.engine import claim, run, waking
from delivery.engine.settle import Settled, settle
from delivery.models import Attempt, HeldBy, Message, PauseCause, SenderAddress, Status, Waiting
from delivery.services import holding, tasks
from delivery.services.regular import NewRegular, send_regular
from delivery.services.requests import Request, Wanted
from delivery.simulator.server import Simulator
from tests.engine.world import claim_all, delivered, fates, started, taken
from tests.factories.delivery import AddressFactory
from tests.factories.sending import request_mail, template

SOON = dt.timedelta(seconds=1)


def people(name: str, count: int) -> list[str]:
    return [f"success+{name}{n}@simulator.test" for n in range(count)]


def in_threads(count: int, work: Callable[[], object]) -> None:
    begin = threading.Barrier(count)

    def run_one() -> None:
        try:
            begin.wait()
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run_one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- one row, one claim


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_never_claim_the_same_row() -> None:
    started(people("a", 60), AddressFactory())
    got: list[int] = []

    def work() -> None:
        while batch := claim_all(7):
            got.extend(one.message_id for one in batch)

    in_threads(4, work)
    assert Counter(got) == dict.fromkeys(Message.objects.values_list("pk", flat=True), 1)
    assert set(Waiting.objects.values_list("state", flat=True)) == {Waiting.State.CLAIMED.value}


def test_two_engines_side_by_side_send_each_mail_once(outside: Simulator, sender: SenderAddress) -> None:
    everyone = people("a", 80)
    task = started(everyone, sender)
    in_threads(2, lambda: run.deliver(seconds=60, idle_seconds=0.5))
    assert fates(task) == dict.fromkeys(everyone, ("delivered", ""))
    assert taken(outside) == dict.fromkeys(everyone, 1)
    task.refresh_from_db()
    assert task.ended_at is not None


@pytest.mark.django_db
def test_a_claim_that_ran_out_goes_to_another_and_whoever_comes_late_changes_nothing() -> None:
    task = started(people("a", 1), AddressFactory())
    [first] = claim_all()
    assert claim_all() == []
    over = timezone.now() - dt.timedelta(seconds=claim.GRACE_SECONDS + 1)
    Waiting.objects.update(claim_deadline=over)
    assert waking.wake(timezone.now()) == 1
    [second] = claim_all()
    assert second.message_id == first.message_id
    assert second.token != first.token

    for late in (delivered(first), Settled(first, Status.SENDING), Settled(first, Status.HELD, held_by=HeldBy.ACCOUNT)):
        assert settle([late], now=timezone.now()) == 0
    assert Message.objects.get().status == Status.SENDING
    assert not Attempt.objects.exists()
    assert tasks.counts_of([task.pk])[task.pk] == {"sending": 1}

    assert settle([delivered(second)], now=timezone.now()) == 1
    assert settle([delivered(second)], now=timezone.now()) == 0
    assert (Message.objects.get().status, Attempt.objects.count()) == (Status.DELIVERED, 1)


@pytest.mark.django_db
def test_whoever_has_lost_a_claim_can_not_hold_on_to_it() -> None:
    started(people("a", 2), AddressFactory())
    lost, kept = claim_all()
    Waiting.objects.filter(pk=lost.message_id).update(claim_token=lost.token + 1)
    over = timezone.now() - SOON
    Waiting.objects.update(claim_deadline=over)
    lost.safe_until = kept.safe_until = 0.0
    claim.extend([lost, kept])
    deadlines = dict(Waiting.objects.values_list("message_id", "claim_deadline"))
    assert deadlines[lost.message_id] == over
    assert deadlines[kept.message_id] > timezone.now()
    assert lost.safe_until == 0.0 < kept.safe_until


@pytest.mark.django_db
def test_a_claim_is_its_holders_until_deadline_and_grace_are_over() -> None:
    started(people("a", 1), AddressFactory())
    [one] = claim_all()
    # Before the deadline the conversation must end, and be settled.
    assert one.safe_until <= time.monotonic() + claim.CLAIM_SECONDS - claim.MARGIN_SECONDS
    Waiting.objects.update(claim_deadline=timezone.now() - dt.timedelta(seconds=claim.GRACE_SECONDS / 2))
    assert waking.wake(timezone.now()) == 0
    assert claim_all() == []
    assert settle([delivered(one)], now=timezone.now()) == 1


@pytest.mark.django_db
def test_what_was_claimed_and_never_handed_on_can_be_given_back_at_once() -> None:
    started(people("a", 3), AddressFactory())
    groups = dict.fromkeys(claim.groups_with_mail(), 10)
    other = claim.claim(groups, limit=1)
    token = claim.new_token()
    assert len(claim.claim(groups, limit=10, token=token)) == 2
    assert claim.give_back([token]) == 2
    assert len(claim_all()) == 2
    assert settle([delivered(other[0])], now=timezone.now()) == 1


# --- in which order


@pytest.mark.django_db
def test_trigger_mail_overtakes_batch_mail() -> None:
    address = AddressFactory()
    task = started(people("batch", 20), address)
    send_regular(
        NewRegular(
            template=template(),
            subject="Code",
            sender_address=address,
            recipients="\n".join([*people("now", 3), "ann@other.sink.test"]),
            variables={"name": "Ann"},
        ),
        now=timezone.now(),
    )
    assert {one.task_id for one in claim_all(4)} == {None}
    assert {one.task_id for one in claim_all(4)} == {task.pk}


@pytest.mark.django_db
def test_tasks_share_a_queue_fairly() -> None:
    address = AddressFactory()
    first, second = started(people("a", 20), address), started(people("b", 20), address)
    assert Counter(one.task_id for one in claim_all(20)) == {first.pk: 10, second.pk: 10}


@pytest.mark.django_db
def test_a_later_task_begins_where_the_line_stands_and_neither_overtakes_nor_waits() -> None:
    address = AddressFactory()
    first = started(people("a", 30), address)
    settle([delivered(one) for one in claim_all(10)], now=timezone.now())
    second = started(people("b", 30), address)
    assert Counter(one.task_id for one in claim_all(20)) == {first.pk: 10, second.pk: 10}


@pytest.mark.django_db
def test_each_group_has_its_part_of_a_pass() -> None:
    everyone = [f"reader{n}@{domain}" for domain in ("big.sink.test", "small.sink.test") for n in range(10)]
    started(everyone, AddressFactory())
    batch = claim.claim(dict.fromkeys(claim.groups_with_mail(), 3), limit=100)
    assert Counter(one.receiving_domain for one in batch) == {"big.sink.test": 3, "small.sink.test": 3}


@pytest.mark.django_db
def test_groups_beyond_one_pass_are_looked_at_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "GROUPS_PER_PASS", 2)
    started([f"ann@{domain}.sink.test" for domain in "abcde"], AddressFactory())
    seen: list[int] = []
    after = 0
    while groups := claim.groups_with_mail(after):
        seen += groups
        after = groups[-1]
    assert seen == sorted(set(Waiting.objects.values_list("limit_group_id", flat=True)))


# --- what may not be claimed


@pytest.mark.django_db
def test_a_paused_tasks_rows_are_not_claimed_even_before_a_job_has_held_them() -> None:
    address = AddressFactory()
    paused, other = started(people("a", 3), address), started(people("b", 3), address)
    tasks.pause(paused, cause=PauseCause.OPERATOR)
    assert {one.task_id for one in claim_all()} == {other.pk}
    tasks.resume(paused)
    assert {one.task_id for one in claim_all()} == {paused.pk}


@pytest.mark.django_db
def test_of_a_stopped_task_only_what_was_tried_before_is_claimed() -> None:
    task = started(people("a", 3), AddressFactory())
    tried = Waiting.objects.order_by("message_id")[0].message_id
    Waiting.objects.filter(pk=tried).update(attempts=1)
    tasks.stop(task, now=timezone.now())
    assert [one.message_id for one in claim_all()] == [tried]


@pytest.mark.django_db
def test_held_mail_is_not_claimed() -> None:
    task = started(people("a", 3), AddressFactory())
    tasks.pause(task, cause=PauseCause.OPERATOR)
    holding.hold_task(task.pk)
    assert claim.groups_with_mail() == []


@pytest.mark.django_db
def test_back_from_a_hold_mail_that_was_put_off_still_waits_for_its_time() -> None:
    task = started(people("a", 2), AddressFactory())
    put_off = Waiting.objects.order_by("message_id")[0]
    later = timezone.now() + dt.timedelta(hours=1)
    Waiting.objects.filter(pk=put_off.pk).update(state=Waiting.State.LATER, due=later)
    tasks.pause(task, cause=PauseCause.OPERATOR)
    assert holding.hold_task(task.pk) == 2
    tasks.resume(task)
    holding.release_task(task.pk)
    assert set(Message.objects.values_list("status", flat=True)) == {Status.SENDING}
    assert [one.message_id for one in claim_all()] == [Waiting.objects.exclude(pk=put_off.pk).get().pk]
    assert Waiting.objects.filter(state=Waiting.State.LATER, due=later).count() == 1


@pytest.mark.django_db
def test_while_all_sending_is_stopped_a_resumed_task_takes_nothing_up() -> None:
    task = started(people("a", 2), AddressFactory())
    account = Account.current()
    account.sending_stopped_at = timezone.now()
    account.save()
    assert holding.hold_all(HeldBy.ACCOUNT, "true", []) == 2
    assert holding.release_task(task.pk) == 0
    account.sending_stopped_at = None
    account.save()
    assert holding.release_task(task.pk) == 2


@pytest.mark.django_db
def test_groups_whose_mail_is_held_or_in_hand_are_passed_over() -> None:
    started([f"ann@{domain}.sink.test" for domain in "abc"], AddressFactory())
    first, held, last = claim.groups_with_mail()
    Waiting.objects.filter(limit_group_id=held).update(state=Waiting.State.HELD)
    assert claim.groups_with_mail() == [first, last]
    assert not claim.mail_is_ready(but_for=[first, last])
    assert claim.mail_is_ready(but_for=[first, held])


@pytest.mark.django_db
@pytest.mark.parametrize("status", [Status.CANCELLED, Status.HELD, Status.DELIVERED])
def test_what_is_not_sending_is_never_handed_out(status: Status) -> None:
    started(people("a", 1), AddressFactory())
    Message.objects.update(status=status)
    assert claim_all() == []


@pytest.mark.django_db
def test_what_has_come_due_becomes_ready_and_the_rest_waits_on() -> None:
    now = timezone.now()
    api_user = ApiUser.console(ApiUser.Type.TRIGGER)
    address = AddressFactory()
    version = template().current
    assert version is not None
    request = Request(api_user, address.domain, version.pk, address.address)
    wanted = [Wanted(f"a{n}@example.org", f"a{n}@example.org", "example.org", "Hi", "") for n in range(3)]
    made = request_mail(request, wanted, now=now)
    Waiting.objects.update(state=Waiting.State.LATER)
    for seconds, message_id in zip((-60, 0, 60), made.ids, strict=True):
        Waiting.objects.filter(pk=message_id).update(due=now + dt.timedelta(seconds=seconds))
    assert claim_all() == []
    assert waking.wake(now) == 2
    assert sorted(one.message_id for one in claim_all()) == made.ids[:2]
    assert waking.wake(now + dt.timedelta(minutes=2)) == 1
