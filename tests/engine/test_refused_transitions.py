"""A message that is no longer `sending` when its attempt is settled stays what it is: the attempt is in the log, and
nothing else follows from it. And of several claims of one message only the last is settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from delivery.callbacks import outbox
from delivery.engine.claim import Claimed
from delivery.engine.settle import Settled, settle
from delivery.engine.types import Phase, Verdict
from delivery.models import (
    Attempt,
    CallbackEvent,
    CreditEntry,
    Delta,
    DomainDay,
    Happening,
    HeldBy,
    Message,
    Status,
    Task,
    Waiting,
)
from delivery.services import callbacks, credits, quota, tasks
from delivery.services.counts import move_counts
from suppression.models import Entry
from tests.engine.world import claim_all, delivered, exchange, started
from tests.factories.delivery import AddressFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def everybody_wants_to_know() -> Iterator[None]:
    """A callback address that is told everything, limited credits, and a day that is counted."""
    callbacks.add(url="https://shop.example/", address=None, happenings=Happening.values)
    credits.top_up(100, by="Ann", now=timezone.now())
    outbox.forget()
    yield
    outbox.forget()


def in_hand(*names: str) -> tuple[Task, dict[str, Claimed]]:
    """A task to these, all of it claimed and counted for today."""
    task = started([f"{name}@reader.example" for name in names], AddressFactory())
    batch = claim_all()
    quota.reserve(batch, now=timezone.now())
    return task, {one.recipient.partition("@")[0]: one for one in batch}


def changed_by_another(one: Claimed, status: Status, **changed: Any) -> None:
    """What nothing of ours does with mail in hand. It counts, as all that moves rows do."""
    Message.objects.filter(pk=one.message_id).update(status=status, **changed)
    assert one.task_id is not None
    move_counts([(one.task_id, Status.SENDING.value, -1), (one.task_id, status.value, 1)])


def refused(one: Claimed, reason: str = "not_exist") -> Settled:
    verdict = Verdict("refused", reason, "recipient", "rule")
    reply = exchange(550, "550 5.1.1 no", Phase.RCPT)
    return Settled(one, Status.INVALID, reason=reason, last_reply=reply.reply.text, exchange=reply, verdict=verdict)


def deferred(one: Claimed) -> Settled:
    reply = exchange(450, "450 4.2.0 later", Phase.RCPT)
    return Settled(
        one,
        Status.SENDING,
        due=timezone.now(),
        last_reply=reply.reply.text,
        exchange=reply,
        verdict=Verdict("deferred", "other", "recipient", "rule"),
    )


def rows_and_counts(task: Task) -> tuple[dict[str, int], dict[str, int]]:
    rows = Counter(Message.objects.filter(task=task).values_list("status", flat=True))
    return dict(rows), {status: count for status, count in tasks.counts_of([task.pk])[task.pk].items() if count}


@pytest.mark.parametrize("reason", ["not_exist", "server_error"])
def test_from_a_row_that_is_refused_nothing_follows_but_its_attempt_in_the_log(reason: str) -> None:
    task, by = in_hand("ann", "bob")
    changed_by_another(by["ann"], Status.CANCELLED)
    spent = CreditEntry.objects.count()
    deltas = Delta.objects.count()
    assert settle([refused(by["ann"], reason), delivered(by["bob"])], now=timezone.now()) == 2

    assert set(Attempt.objects.values_list("message_id", flat=True)) == {one.message_id for one in by.values()}
    assert Message.objects.get(pk=by["ann"].message_id).status == Status.CANCELLED
    assert list(CallbackEvent.objects.values_list("message_id", "kind")) == [(by["bob"].message_id, "delivered")]
    assert not Entry.objects.exists()
    day = DomainDay.objects.get()
    assert (day.attempted, day.delivered, day.invalid) == (2, 1, 0)
    assert CreditEntry.objects.count() == spent
    assert Delta.objects.count() == deltas + 1
    rows, counts = rows_and_counts(task)
    assert counts == rows == {"cancelled": 1, "delivered": 1}
    assert not Waiting.objects.exists()
    task.refresh_from_db()
    assert task.ended_at is not None


def test_a_row_that_has_ended_meanwhile_is_not_put_back_into_the_line() -> None:
    task, by = in_hand("ann", "bob")
    changed_by_another(by["ann"], Status.CANCELLED)
    settle([deferred(by["ann"]), deferred(by["bob"])], now=timezone.now())
    assert list(Waiting.objects.values_list("message_id", flat=True)) == [by["bob"].message_id]
    assert list(CallbackEvent.objects.values_list("message_id", "kind")) == [(by["bob"].message_id, "deferred")]
    rows, counts = rows_and_counts(task)
    assert counts == rows == {"cancelled": 1, "sending": 1}


def test_a_row_that_is_held_meanwhile_waits_with_what_holds_it() -> None:
    task, by = in_hand("ann")
    changed_by_another(by["ann"], Status.HELD, held_by=HeldBy.ACCOUNT)
    settle([deferred(by["ann"])], now=timezone.now())
    waiting = Waiting.objects.get()
    assert (waiting.state, waiting.held_by) == (Waiting.State.HELD, HeldBy.ACCOUNT)
    rows, counts = rows_and_counts(task)
    assert counts == rows == {"held": 1}


def test_of_several_claims_of_one_message_in_a_journal_the_one_that_holds_is_settled() -> None:
    task, by = in_hand("ann")
    before = by["ann"]
    first = deferred(before)
    settle([first], now=timezone.now())
    Waiting.objects.update(state=Waiting.State.READY)
    [again] = claim_all()
    assert settle([first, delivered(again), first], now=timezone.now()) == 1
    assert Message.objects.get().status == Status.DELIVERED
    assert list(Attempt.objects.order_by("number").values_list("number", "outcome")) == [
        (1, "deferred"),
        (2, "delivered"),
    ]
    rows, counts = rows_and_counts(task)
    assert counts == rows == {"delivered": 1}
