"""What a verdict makes of a message: statuses, the retry window, what is put aside and what is never tried."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from console.models import Account, ApiUser
from delivery.engine import retry
from delivery.engine.claim import Claimed
from delivery.engine.settle import REPLY_SHOWN, Settled, decide, settle
from delivery.engine.types import Phase, Verdict
from delivery.models import Attempt, HeldBy, Message, ReceivingDomain, SenderAddress, Status, TaskStatus, Waiting
from delivery.models.status import FINAL, FIRST, OPEN, TRANSITIONS, may_become, sources
from delivery.services import holding, tasks
from delivery.simulator.server import Simulator
from tests.engine.world import claim_all, deliver, delivered, exchange, fates, started, taken
from tests.factories.delivery import AddressFactory

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
MINUTES = [dt.timedelta(minutes=n) for n in (5, 15, 30)]
HOUR = dt.timedelta(hours=1)
DEFERRED = Verdict("deferred", "other", "recipient", "put_off")
REFUSED = Verdict("refused", "not_exist", "recipient", "no_such_user")
LATER = exchange(450, "450 4.2.0 later", Phase.RCPT)
SILENT = exchange(0, "No answer", Phase.CONNECT)


def claimed(**changed: Any) -> Claimed:
    fields: dict[str, Any] = dict.fromkeys(Claimed.__dataclass_fields__, 0)
    return Claimed(**{**fields, "task_id": None, "answered": False, "expires_at": None, "variables": {}, **changed})


def decided(one: Claimed, *, by: Any = LATER, verdict: Verdict = DEFERRED, now: dt.datetime = NOW) -> Settled:
    return decide(one, by, verdict, now=now, retry_hours=72, simulator=False)


# --- deciding


def test_a_2xx_is_delivered_and_a_refusal_invalid_with_its_reason() -> None:
    accepted = decided(claimed(), by=exchange(), verdict=Verdict("delivered", "", "message", "accepted"))
    assert (accepted.status, accepted.reason, accepted.attempts) == (Status.DELIVERED, "", 1)
    refused = decided(claimed(attempts=4), by=exchange(550, "550 5.1.1 no", Phase.RCPT), verdict=REFUSED)
    assert (refused.status, refused.reason, refused.attempts) == (Status.INVALID, "not_exist", 5)
    assert refused.last_reply == "550 5.1.1 no"


@pytest.mark.parametrize(("attempts", "wait"), list(enumerate(MINUTES)))
def test_the_first_retries_come_after_5_15_and_30_minutes(attempts: int, wait: dt.timedelta) -> None:
    put_off = decided(claimed(attempts=attempts))
    assert (put_off.status, put_off.due) == (Status.SENDING, NOW + wait)


def test_of_a_long_answer_as_much_is_kept_with_the_message_as_lists_show() -> None:
    long = decided(claimed(), by=exchange(450, "450 " + "x" * 5000, Phase.RCPT))
    assert long.last_reply == ("450 " + "x" * 5000)[:REPLY_SHOWN]
    assert long.exchange is not None
    assert len(long.exchange.reply.text) == 5004


@given(attempts=st.integers(4, 200), seed=st.integers())
def test_later_retries_come_after_one_to_three_hours(attempts: int, seed: int) -> None:
    due = retry.next_attempt(attempts, NOW, simulator=False, rng=random.Random(seed))
    assert NOW + HOUR <= due <= NOW + 3 * HOUR


def test_a_receiver_that_wants_to_be_left_alone_is_tried_no_sooner() -> None:
    waits = [
        decide(claimed(attempts=n), LATER, DEFERRED, now=NOW, retry_hours=72, simulator=False, retry_minutes=20).due
        for n in range(3)
    ]
    assert waits == [NOW + dt.timedelta(minutes=n) for n in (20, 20, 30)]


def test_the_window_begins_with_the_first_attempt_and_stays() -> None:
    first = decided(claimed())
    assert first.expires_at == NOW + 72 * HOUR
    second = decided(claimed(attempts=1, expires_at=first.expires_at), now=NOW + HOUR)
    assert second.expires_at == first.expires_at


def test_an_answer_at_any_attempt_makes_it_a_soft_bounce_at_the_end_of_the_window() -> None:
    over = {"attempts": 30, "expires_at": NOW}
    for one, by in ((claimed(**over), LATER), (claimed(**over, answered=True), SILENT)):
        ended = decided(one, by=by)
        assert (ended.status, ended.reason) == (Status.SOFT_BOUNCE, "other")


@pytest.mark.parametrize(
    ("said", "shown"),
    [("spam", "spam"), ("not_exist", "not_exist"), ("server_error", "server_error"), ("format_error", "other")],
)
def test_a_soft_bounce_shows_one_of_its_six_reasons(said: str, shown: str) -> None:
    ended = decided(claimed(attempts=30, expires_at=NOW), verdict=Verdict("deferred", said, "message", "rule"))
    assert (ended.status, ended.reason) == (Status.SOFT_BOUNCE, shown)


def test_what_was_never_reached_is_a_server_error_at_the_end_of_the_window() -> None:
    ended = decided(claimed(attempts=30, expires_at=NOW), by=SILENT)
    assert (ended.status, ended.reason) == (Status.INVALID, "server_error")


@pytest.mark.parametrize(
    ("by", "status", "reason"),
    [
        (exchange(554, "554 5.7.1 listed", Phase.RCPT), Status.SOFT_BOUNCE, "ip_or_domain"),
        (SILENT, Status.INVALID, "server_error"),
    ],
)
def test_an_answer_about_us_is_an_answer_at_the_end_of_the_window(by: Any, status: Status, reason: str) -> None:
    listed = Verdict("refused", "ip_or_domain", "sender", "listed")
    over = claimed(attempts=3, expires_at=NOW - HOUR)
    ended = decide(over, by, listed, now=NOW, retry_hours=72, simulator=False, about_us=True)
    assert (ended.status, ended.reason, ended.attempts) == (status, reason, 3)


@given(
    attempts=st.integers(0, 60),
    minutes_left=st.integers(-10_000, 10_000) | st.none(),
    answered=st.booleans(),
    by=st.sampled_from([LATER, SILENT]),
)
def test_what_is_put_off_waits_within_its_window_or_ends(
    attempts: int, minutes_left: int | None, answered: bool, by: Any
) -> None:
    expires_at = None if minutes_left is None else NOW + dt.timedelta(minutes=minutes_left)
    one = decided(claimed(attempts=attempts, expires_at=expires_at, answered=answered), by=by)
    assert one.attempts == attempts + 1
    if one.status == Status.SENDING:
        assert one.due is not None
        assert one.expires_at is not None
        assert NOW < one.due <= one.expires_at
        assert one.answered == (answered or by is LATER)
        assert one.reason == ""
    else:
        assert one.due is None
        assert one.status == (Status.SOFT_BOUNCE if answered or by is LATER else Status.INVALID)
        assert one.reason


def test_a_message_always_ends_within_its_window() -> None:
    one, now, chooser = claimed(), NOW, random.Random(1)
    for attempt in range(200):
        settled = decided(one, now=now)
        if settled.status != Status.SENDING:
            break
        assert settled.due is not None
        now = settled.due + dt.timedelta(seconds=chooser.randint(0, 60))
        one = claimed(attempts=attempt + 1, expires_at=settled.expires_at, answered=settled.answered)
    assert settled.status == Status.SOFT_BOUNCE
    assert 24 < attempt < 80
    assert now <= NOW + 73 * HOUR


# --- transitions


def test_only_these_statuses_follow_one_another() -> None:
    """PRODUCT.md §2."""
    allowed = {
        "held": "sending invalid cancelled",
        "sending": "held delivered sent soft_bounce invalid cancelled",
        "sent": "delivered soft_bounce",
        "delivered": "soft_bounce",
    }
    for old in Status:
        assert TRANSITIONS[old] == set(allowed.get(old.value, "").split())
        assert {new for new in Status if may_become(old, new)} == TRANSITIONS[old]
    assert {"held", "sending", "control_group", "invalid"} == FIRST
    assert {"held", "sending"} == OPEN
    assert set(Status) - OPEN == FINAL
    assert sources(Status.SOFT_BOUNCE) == ["delivered", "sending", "sent"]


@pytest.mark.django_db
@pytest.mark.parametrize("status", [Status.CANCELLED, Status.HELD, Status.DELIVERED, Status.INVALID])
def test_settling_changes_no_message_that_is_not_sending(status: Status) -> None:
    started(["a@example.org"], AddressFactory())
    [one] = claim_all()
    Message.objects.update(status=status)
    settle([decided(one, by=exchange(550, "550 no", Phase.RCPT), verdict=REFUSED)], now=NOW)
    assert Message.objects.get().status == status


# --- writing


@pytest.mark.django_db
def test_a_batch_is_written_whole_each_message_as_it_ended() -> None:
    task = started([f"a{n}@example.org" for n in range(5)], AddressFactory())
    by = {one.recipient[1]: one for one in claim_all()}
    now = timezone.now()
    batch = [
        delivered(by["0"]),
        decided(by["1"], by=exchange(550, "550 5.1.1 no", Phase.RCPT), verdict=REFUSED, now=now),
        decided(by["2"], now=now),
        Settled(by["3"], Status.SENDING),
        Settled(by["4"], Status.HELD, held_by=HeldBy.ACCOUNT),
    ]
    assert settle(batch, now=now) == 5
    rows = {one.recipient[1]: one for one in Message.objects.all()}
    assert [(rows[n].status, rows[n].reason, rows[n].attempts) for n in "01234"] == [
        ("delivered", "", 1),
        ("invalid", "not_exist", 1),
        ("sending", "", 1),
        ("sending", "", 0),
        ("held", "", 0),
    ]
    assert (rows["4"].held_by, rows["2"].last_reply, rows["3"].last_reply) == ("account", "450 4.2.0 later", "")
    assert rows["0"].send_ip == "198.51.100.24"
    assert tasks.counts_of([task.pk])[task.pk] == {"delivered": 1, "invalid": 1, "sending": 2, "held": 1}

    waiting = {row.message_id: row for row in Waiting.objects.all()}
    assert set(waiting) == {rows[n].pk for n in "234"}
    put_off, given_back, held = (waiting[rows[n].pk] for n in "234")
    assert (put_off.state, put_off.due, put_off.attempts) == (Waiting.State.LATER, now + MINUTES[0], 1)
    assert (put_off.answered, put_off.expires_at) == (True, now + 72 * HOUR)
    assert (given_back.state, given_back.attempts, given_back.expires_at) == (Waiting.State.READY, 0, None)
    assert (held.state, held.held_by) == (Waiting.State.HELD, "account")
    assert {row.claim_token for row in waiting.values()} == {None}

    attempts = {one.message_id: one for one in Attempt.objects.all()}
    assert set(attempts) == {rows[n].pk for n in "012"}
    tried = attempts[rows["2"].pk]
    assert (tried.number, tried.outcome, tried.code, tried.phase) == (1, "deferred", 450, "rcpt")
    assert (tried.next_at, tried.reply, tried.rule) == (put_off.due, "450 4.2.0 later", "put_off")
    assert tried.conversation == [["greeting", "220 mx.example.org"], ["rcpt", "450 4.2.0 later"]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "back", [{"status": Status.SENDING}, {"status": Status.HELD, "held_by": HeldBy.ACCOUNT}], ids=["given back", "held"]
)
def test_what_goes_back_untried_keeps_what_was_said_before(back: dict[str, Any]) -> None:
    started(["a@example.org"], AddressFactory())
    [one] = claim_all()
    group, now = one.limit_group_id, timezone.now()
    # As from the journal, which keeps no group.
    settle([decided(replace(one, limit_group_id=0), now=now)], now=now)
    Waiting.objects.update(state=Waiting.State.READY)
    [again] = claim_all()
    assert again.limit_group_id == group
    settle([Settled(again, **back)], now=now)
    message, waiting = Message.objects.get(), Waiting.objects.get()
    assert (message.last_reply, message.attempts) == ("450 4.2.0 later", 1)
    assert (message.sent_at, message.send_ip) == (Attempt.objects.get().at, "198.51.100.24")
    assert (waiting.attempts, waiting.logged, waiting.answered) == (1, 1, True)
    assert waiting.expires_at == now + 72 * HOUR


@pytest.mark.django_db
def test_the_task_ends_with_its_last_row_and_not_before() -> None:
    task = started(["a@example.org", "b@example.org"], AddressFactory())
    first, second = claim_all()
    settle([delivered(first)], now=NOW)
    task.refresh_from_db()
    assert (task.status, task.ended_at) == (TaskStatus.SENDING, None)
    settle([delivered(second)], now=NOW)
    task.refresh_from_db()
    assert (task.status, task.ended_at) == (TaskStatus.DONE, NOW)


# --- what holds mail


def stop_account(sender: SenderAddress, task: Any) -> None:
    Account.objects.update(sending_stopped_at=timezone.now())


def disable_user(sender: SenderAddress, task: Any) -> None:
    ApiUser.objects.filter(pk=task.api_user_id).update(enabled=False)


def unverify(sender: SenderAddress, task: Any) -> None:
    type(sender.domain).objects.update(verified_at=None)


@pytest.mark.parametrize(
    ("cause", "held_by"),
    [
        (stop_account, HeldBy.ACCOUNT),
        (disable_user, HeldBy.API_USER),
        (unverify, HeldBy.DOMAIN_UNVERIFIED),
    ],
)
def test_mail_that_may_not_go_now_is_held_and_goes_when_it_may(
    outside: Simulator, sender: SenderAddress, cause: Any, held_by: HeldBy
) -> None:
    Account.current()
    task = started(["success+1@simulator.test"], sender)
    cause(sender, task)
    deliver()
    message = Message.objects.get()
    assert (message.status, message.held_by, message.attempts) == ("held", held_by, 0)
    assert tasks.counts_of([task.pk])[task.pk] == {"held": 1}
    assert not outside.accepted()
    # Taken up too early, it is held again.
    assert holding.release_all(held_by) == 1
    deliver()
    assert Message.objects.get().status == "held"

    Account.objects.update(sending_stopped_at=None)
    ApiUser.objects.update(enabled=True)
    type(sender.domain).objects.update(verified_at=timezone.now())
    holding.release_all(held_by)
    deliver()
    message.refresh_from_db()
    assert (message.status, message.held_by, message.attempts) == ("delivered", "", 1)
    task.refresh_from_db()
    assert task.status == TaskStatus.DONE


# --- ways that lead nowhere


def test_a_domain_that_takes_no_mail_does_not_exist_at_once(outside: Simulator, sender: SenderAddress) -> None:
    task = started(["someone@nullmx.test"], sender)
    deliver()
    assert fates(task) == {"someone@nullmx.test": ("invalid", "not_exist")}
    assert "null MX" in Attempt.objects.get().reply


def test_a_domain_does_not_exist_when_dns_says_so_twice_an_hour_apart(
    outside: Simulator, sender: SenderAddress
) -> None:
    task = started(["someone@nowhere.test"], sender)
    for _attempt in range(2):
        Waiting.objects.update(state=Waiting.State.READY, due=timezone.now())
        deliver_once()
        assert fates(task) == {"someone@nowhere.test": ("sending", "")}
    ReceivingDomain.objects.update(nxdomain_since=timezone.now() - HOUR)
    Waiting.objects.update(state=Waiting.State.READY, due=timezone.now())
    deliver_once()
    assert fates(task) == {"someone@nowhere.test": ("invalid", "not_exist")}
    assert [one.outcome for one in Attempt.objects.order_by("number")] == ["deferred", "deferred", "refused"]


def test_what_cannot_be_reached_is_tried_until_the_window_ends(outside: Simulator, sender: SenderAddress) -> None:
    task = started(["someone@down.test"], sender)
    deliver_once()
    waiting = Waiting.objects.get()
    assert (waiting.state, waiting.attempts, waiting.answered) == (Waiting.State.LATER, 1, False)
    Waiting.objects.update(state=Waiting.State.READY, expires_at=timezone.now())
    deliver_once()
    assert fates(task) == {"someone@down.test": ("invalid", "server_error")}
    assert not taken(outside)


def deliver_once() -> None:
    from delivery.engine import run

    run.deliver(seconds=30, idle_seconds=0.3)
