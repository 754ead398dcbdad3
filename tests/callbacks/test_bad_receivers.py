"""Receivers that are slow, broken or hostile: each attempt is bounded, each event is tried as planned, none is lost."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from console.outbound import MAX_ANSWER
from delivery.callbacks import sending
from delivery.callbacks.outbox import Happened
from delivery.models import Callback, CallbackEvent, Happening
from tests.callbacks.conftest import happen
from tests.callbacks.receiver import Receiver, drips, fails, floods, hangs, hangs_up, takes
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


def delivered(count: int = 1) -> list[int]:
    now = timezone.now()
    made = [message(f"p{n}@example.org").pk for n in range(count)]
    happen(*(Happened(pk, Happening.DELIVERED, now) for pk in made))
    return made


@pytest.mark.parametrize(
    ("behave", "problem", "code"),
    [
        (fails, "", 500),
        (hangs, "no answer within 1 s", None),
        (drips, "no answer within 1 s", None),
        (hangs_up, "closed", None),
    ],
    ids=["500", "hangs", "drips", "hangs up"],
)
def test_a_failed_attempt_is_written_down_and_tried_again_a_minute_later(
    server: Callable[..., Receiver],
    told_to: Callable[..., Callback],
    behave: Any,
    problem: str,
    code: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if behave in (hangs, drips):
        monkeypatch.setattr(sending, "TRY_SECONDS", 1.0)
    told_to(server(behave).url)
    delivered()
    now = timezone.now()
    assert sending.run(seconds=5, clock=lambda: now) == 1
    event = CallbackEvent.objects.get()
    assert (event.state, event.attempts, event.status_code) == ("waiting", 1, code)
    assert problem in event.problem.lower()
    assert event.due == now + dt.timedelta(minutes=1)


def test_ten_gigabytes_are_read_to_64_kilobytes_and_the_event_is_taken(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    receiver = server(floods)
    told_to(receiver.url)
    delivered()
    sending.run(seconds=5)
    event = CallbackEvent.objects.get()
    assert (event.state, event.status_code) == ("taken", 200)
    assert len(event.answer) <= sending.ANSWER_SHOWN <= MAX_ANSWER
    assert receiver.flooded < 100 * 1024**2  # the rest waits in sockets' buffers


def test_redirects_are_not_followed(server: Callable[..., Receiver], told_to: Callable[..., Callback]) -> None:
    inner = server(takes)
    outer = server(lambda handler: handler.answer(302, Location=inner.url))
    told_to(outer.url)
    delivered()
    sending.run(seconds=5)
    assert not inner.asked
    event = CallbackEvent.objects.get()
    assert (event.state, event.status_code) == ("waiting", 302)


def test_the_attempts_follow_the_plan_and_then_it_is_given_up(
    server: Callable[..., Receiver], told_to: Callable[..., Callback], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SUSPEND_AFTER", dt.timedelta(days=30))
    receiver = server(fails)
    told_to(receiver.url)
    delivered()
    now = timezone.now()
    waits = []
    while (event := CallbackEvent.objects.get()).state == "waiting":
        moment = max(now, event.due or now)
        waits.append(int((moment - now).total_seconds() // 60))
        now = moment
        sending.run(seconds=5, clock=lambda at=now: at)  # type: ignore[misc]
    assert waits == [0, 1, 2, 4, 8, 16, 60, 180, 480]
    assert (event.state, event.attempts, len(receiver.asked)) == ("given_up", 9, 9)


def test_an_address_that_fails_for_an_hour_is_suspended_probed_and_resumed_with_all_its_events(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    receiver = server(fails)
    callback = told_to(receiver.url)
    delivered(20)
    start = timezone.now()
    sending.run(seconds=5, clock=lambda: start)
    callback.refresh_from_db()
    asked = len(receiver.asked)
    assert asked < 20  # a row of failures is enough
    assert callback.rest_until == start + sending.REST
    hour = start + sending.SUSPEND_AFTER
    sending.run(seconds=5, clock=lambda: hour)
    callback.refresh_from_db()
    assert callback.suspended_at == hour
    # One event at a time from now on, and it costs the event nothing.
    counts = list(CallbackEvent.objects.order_by("id").values_list("attempts", flat=True))
    asked = len(receiver.asked)
    probe = hour + sending.PROBE_EVERY
    assert sending.run(seconds=5, clock=lambda: probe - dt.timedelta(seconds=1)) == 0
    assert sending.run(seconds=5, clock=lambda: probe) == 1
    assert counts == list(CallbackEvent.objects.order_by("id").values_list("attempts", flat=True))
    receiver.behave = takes
    again = probe + sending.PROBE_EVERY
    sending.run(seconds=5, clock=lambda: again)
    callback.refresh_from_db()
    assert (callback.suspended_at, callback.failing_since) == (None, None)
    assert CallbackEvent.objects.filter(state="taken").count() == 20


def test_what_nobody_takes_is_given_up_after_three_days_and_deleted_after_seven(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    told_to(server(fails).url)
    delivered(2)
    now = timezone.now()
    sending.tidy(now=now + dt.timedelta(days=2, hours=23))
    assert CallbackEvent.objects.filter(state="waiting").count() == 2
    sending.tidy(now=now + dt.timedelta(days=3, hours=1))
    assert CallbackEvent.objects.filter(state="given_up").count() == 2
    assert sending.tidy(now=now + dt.timedelta(days=7, hours=1)) == 2


def test_two_senders_side_by_side_tell_nothing_twice(
    transactional_db: None, server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    import threading

    from django.db import connection

    receiver = server()
    told_to(receiver.url)
    made = delivered(60)

    def work() -> None:
        sending.run(seconds=10)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sending.run(seconds=10)
    assert sorted(int(told["messageId"]) for told in receiver.told()) == sorted(made)


def test_one_that_hung_up_does_not_spoil_the_attempts_after_it(
    server: Callable[..., Receiver], told_to: Callable[..., Callback], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AT_ONCE", 1)  # all by one sender, one after the other
    receiver = server()
    receiver.behave = lambda handler: (hangs_up if len(receiver.asked) == 1 else takes)(handler)
    told_to(receiver.url)
    delivered(4)
    now = timezone.now()
    sending.run(seconds=5, clock=lambda: now)
    assert sorted(CallbackEvent.objects.values_list("state", flat=True)) == ["taken", "taken", "taken", "waiting"]


def test_what_one_turn_has_no_time_for_is_left_to_the_next_and_nothing_is_told_twice(
    server: Callable[..., Receiver], told_to: Callable[..., Callback], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow a receiver is, a turn ends before its lease does."""
    monkeypatch.setattr(sending, "TURN_SECONDS", 0.5)
    receiver = server(lambda handler: (time.sleep(0.2), takes(handler)))
    told_to(receiver.url)
    one, now = message("ann@example.org"), timezone.now()
    happen(*(Happened(one.pk, Happening.CLICK, now) for _click in range(8)))
    assert 0 < sending.run(seconds=0.1) < 8
    sending.run(seconds=10)
    told = [told["eventId"] for told in receiver.told()]
    assert len(told) == len(set(told)) == 8
    assert told == sorted(told, key=int)


def test_an_event_that_its_receiver_never_takes_keeps_no_other_from_ending_a_suspension(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    receiver = server()
    told_to(receiver.url)
    [poison] = delivered(1)
    receiver.behave = lambda handler: (fails if str(poison) in str(receiver.asked[-1]) else takes)(handler)
    now = timezone.now()
    sending.run(seconds=5, clock=lambda: now)
    Callback.objects.update(failing_since=now - sending.SUSPEND_AFTER, suspended_at=now, rest_until=None)
    delivered(2)
    probes = [now + n * sending.PROBE_EVERY for n in (1, 2)]
    for at in probes:
        sending.run(seconds=5, clock=lambda at=at: at)  # type: ignore[misc]
    assert Callback.objects.get().suspended_at is None
    assert CallbackEvent.objects.filter(state="taken").count() == 2
