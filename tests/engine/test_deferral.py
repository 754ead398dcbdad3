"""Three days of being put off, through the database: requested, claimed, decided and settled, while `now` is moved."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import pairwise

import pytest

from console.models import Account
from delivery.engine import waking
from delivery.engine.claim import Claimed
from delivery.engine.classify import about_us, classify
from delivery.engine.lane import unreachable
from delivery.engine.settle import decide, settle
from delivery.engine.types import Exchange, Phase
from delivery.models import Attempt, Message, Task, TaskStatus, Waiting
from delivery.services import tasks
from tests.engine.world import claim_all, exchange, fates, group_of
from tests.factories.delivery import AddressFactory
from tests.factories.sending import new_task

pytestmark = pytest.mark.django_db

BEGIN = dt.datetime(2026, 3, 27, 12, tzinfo=dt.UTC)  # over a change of the clocks, which must not matter
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)

LATER = exchange(452, "452 4.2.2 Mailbox full, over quota", Phase.RCPT, "4.2.2")
TOO_MUCH = exchange(421, "421 4.7.0 Too many connections from your host", Phase.GREETING, "4.7.0")
NOBODY = unreachable("Connection refused", Phase.CONNECT)

Answers = Callable[[Claimed, int], Exchange]


def requested(*people: str) -> Task:
    task = tasks.create_task(new_task(group=group_of(people), sender_address=AddressFactory()), now=BEGIN)
    tasks.expand(task.pk, now=BEGIN)
    return task


def live(answers: Answers, *, until: dt.timedelta) -> dict[str, list[dt.datetime]]:
    """A look each minute, as engines take one each half second; gives when each recipient was tried. `answers` is told
    how often the recipient was tried before."""
    tried: dict[str, list[dt.datetime]] = {}
    now, hours = BEGIN, Account.current().retry_hours
    while now < BEGIN + until and Waiting.objects.exists():
        waking.wake(now)
        settled = []
        for one in claim_all():
            seen = tried.setdefault(one.recipient, [])
            said = answers(one, len(seen))
            seen.append(now)
            reply = said.reply
            verdict = classify(reply.code, reply.enhanced, reply.text, reply.phase)
            enough = reply.code > 0 and about_us(verdict)
            settled.append(decide(one, said, verdict, now=now, retry_hours=hours, simulator=False, about_us=enough))
        assert settle(settled, now=now) == len(settled)
        now = next_look(now)
    return tried


def next_look(now: dt.datetime) -> dt.datetime:
    """The minute in which something comes due; nothing happens before."""
    due = Waiting.objects.filter(state=Waiting.State.LATER).order_by("due").values_list("due", flat=True).first()
    return now + MINUTE if due is None else max(now + MINUTE, due)


def test_mail_that_is_always_put_off_is_tried_for_72_hours_and_ends_as_a_soft_bounce() -> None:
    task = requested("ann@a.example")
    tried = live(lambda one, before: LATER, until=80 * HOUR)["ann@a.example"]
    waits = [after - before for before, after in pairwise(tried)]
    assert waits[:3] == [5 * MINUTE, 15 * MINUTE, 30 * MINUTE]
    assert all(HOUR <= wait <= 3 * HOUR for wait in waits[3:])
    assert len(set(waits[3:])) > 3, "with jitter"
    # To the end of the window, and not beyond it.
    assert BEGIN + 69 * HOUR < tried[-1] <= BEGIN + 72 * HOUR

    assert fates(task) == {"ann@a.example": ("soft_bounce", "other")}
    message = Message.objects.get()
    assert (message.attempts, message.last_reply) == (len(tried), LATER.reply.text)
    log = list(Attempt.objects.order_by("number").values_list("number", "outcome", "next_at"))
    assert [number for number, _outcome, _next in log] == list(range(1, len(tried) + 1))
    assert [next_at for _number, _outcome, next_at in log] == [*tried[1:], None]
    task.refresh_from_db()
    assert (task.status, task.ended_at) == (TaskStatus.DONE, tried[-1])
    assert tasks.counts_of([task.pk])[task.pk] == {"soft_bounce": 1}


def test_between_its_attempts_it_is_shown_as_put_off_with_the_last_reply_and_the_next_time() -> None:
    requested("ann@a.example")
    [tried] = live(lambda one, before: LATER, until=MINUTE).values()
    message, waiting = Message.objects.get(), Waiting.objects.get()
    assert (message.status, message.attempts, message.last_reply) == ("sending", 1, LATER.reply.text)
    assert (waiting.state, waiting.due, waiting.expires_at) == (
        Waiting.State.LATER,
        tried[0] + 5 * MINUTE,
        tried[0] + 72 * HOUR,
    )


def test_mail_whose_server_was_never_reached_ends_as_a_server_error() -> None:
    task = requested("ann@a.example")
    tried = live(lambda one, before: NOBODY, until=80 * HOUR)["ann@a.example"]
    assert BEGIN + 69 * HOUR < tried[-1] <= BEGIN + 72 * HOUR
    assert fates(task) == {"ann@a.example": ("invalid", "server_error")}


def test_one_answer_in_three_days_makes_it_a_soft_bounce() -> None:
    task = requested("ann@a.example")
    live(lambda one, before: LATER if before == 4 else NOBODY, until=80 * HOUR)
    assert fates(task) == {"ann@a.example": ("soft_bounce", "server_error")}


def test_what_is_taken_at_last_is_delivered_and_others_wait_for_nobody() -> None:
    task = requested("ann@a.example", "bob@b.example", "cai@c.example")

    def answers(one: Claimed, before: int) -> Exchange:
        takes = {"ann@a.example": 0, "bob@b.example": 6}.get(one.recipient, 1000)
        return exchange() if before >= takes else LATER

    tried = live(answers, until=80 * HOUR)
    assert fates(task) == {
        "ann@a.example": ("delivered", ""),
        "bob@b.example": ("delivered", ""),
        "cai@c.example": ("soft_bounce", "other"),
    }
    assert [len(tried[one]) for one in ("ann@a.example", "bob@b.example")] == [1, 7]


def test_an_answer_about_us_costs_no_attempt() -> None:
    """It goes back into the line at once, where the queue's pause decides, and the schedule begins with the first
    answer about the message."""
    requested("ann@a.example")
    tried = live(lambda one, before: TOO_MUCH if before < 3 else LATER, until=2 * HOUR)["ann@a.example"]
    waits = [after - before for before, after in pairwise(tried)]
    assert waits[:6] == [MINUTE, MINUTE, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE]
    waiting = Waiting.objects.get()
    assert (waiting.logged, waiting.attempts) == (len(tried), len(tried) - 3)


@pytest.mark.parametrize("hours", [1, 120])
def test_the_window_is_the_accounts(hours: int) -> None:
    Account.current()
    Account.objects.update(retry_hours=hours)
    task = requested("ann@a.example")
    tried = live(lambda one, before: LATER, until=(hours + 8) * HOUR)["ann@a.example"]
    assert BEGIN + (hours - 3) * HOUR < tried[-1] <= BEGIN + hours * HOUR
    assert fates(task) == {"ann@a.example": ("soft_bounce", "other")}
