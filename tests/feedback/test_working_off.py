"""Mails that came back are worked off once each, whatever they hold, whoever fails at them, and however many work."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import hypothesis
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from delivery.models import Message, Status
from tests.factories.sending import message
from tests.feedback.filed import came, fate, processed
from tests.feedback.mails import report, return_path
from tracking.feedback import act, process
from tracking.feedback.act import Outcome
from tracking.feedback.types import Feedback, Returned
from tracking.models import Event, FeedbackMail

pytestmark = pytest.mark.django_db


def test_a_mail_at_which_the_reader_fails_is_filed_and_the_others_are_acted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = message(), message()
    came(report(bad), return_path(bad))
    came(report(good), return_path(good))
    real = process.read

    def read(raw: bytes, **envelope: Any) -> Any:
        if str(bad.pk).encode() in raw:
            raise RuntimeError("poison")
        return real(raw, **envelope)

    monkeypatch.setattr(process, "read", read)
    for _time in range(process.TRIES + 1):
        process.process()
        FeedbackMail.objects.filter(state=FeedbackMail.State.WAITING).update(due=timezone.now())
    states = dict(FeedbackMail.objects.values_list("envelope_to", "state"))
    assert states == {return_path(bad): FeedbackMail.State.FAILED, return_path(good): FeedbackMail.State.DONE}
    assert fate(good)[0] == "soft_bounce"
    assert process.process() == 0


def test_a_mail_that_killed_its_reader_is_taken_alone_the_next_time() -> None:
    sent = [message() for _n in range(3)]
    for one in sent:
        came(report(one), return_path(one))
    now = timezone.now()
    assert len(process.claim(now=now)) == 3
    # The worker is gone now, with all three in hand.
    later = now + process.LEASE + dt.timedelta(seconds=1)
    assert [len(process.claim(now=later)) for _time in range(4)] == [1, 1, 1, 0]


def again_and_again() -> None:
    """As often as would have it filed as failed, and more."""
    for _time in range(process.TRIES + 2):
        FeedbackMail.objects.update(due=timezone.now())
        process.process()


def test_a_mail_that_waits_for_its_message_to_end_does_not_wear_out() -> None:
    sent = message(status=Status.SENDING)
    row = came(report(sent), return_path(sent))
    again_and_again()
    row.refresh_from_db()
    assert (row.state, row.tries) == (FeedbackMail.State.WAITING, 0)
    Message.objects.update(status=Status.DELIVERED)
    again_and_again()
    assert fate(sent)[0] == "soft_bounce"


def test_a_database_that_goes_away_costs_a_mail_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise OperationalError("the server closed the connection")

    sent = message()
    row = came(report(sent), return_path(sent))
    with monkeypatch.context() as patch:
        patch.setattr(act, "together", gone)
        for _time in range(process.TRIES + 2):
            FeedbackMail.objects.update(due=timezone.now())
            with pytest.raises(OperationalError):
                process.process()
    row.refresh_from_db()
    assert (row.state, row.tries) == (FeedbackMail.State.WAITING, 0)
    again_and_again()
    assert fate(sent)[0] == "soft_bounce"


NASTY = {
    "empty": b"",
    "zeros": b"\0" * 1000,
    "eight bits": bytes(range(256)) * 40,
    "no end": b"Subject: x\r\n" * 20_000,
    "nested": b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(10_000)),
    "of 1970": b"Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nSubject: Undeliverable\r\n\r\n550 5.1.1 no such user\r\n",
    "surrogates": "Subject: Undelivered\r\n\r\n550 5.1.1 \udcff\ud800 no\0 such user\r\n".encode(
        "utf-8", "surrogatepass"
    ),
}


@pytest.mark.parametrize("name", NASTY)
def test_whatever_comes_is_filed_as_seen(name: str) -> None:
    sent = message()
    row = processed(NASTY[name], return_path(sent))
    assert row.state == FeedbackMail.State.DONE


@given(text=st.text(max_size=200), facts=st.dictionaries(st.text(max_size=60), st.text(max_size=400), max_size=20))
@hypothesis.settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_a_reader_finds_can_be_kept(text: str, facts: dict[str, str]) -> None:
    sent = message()
    returned = Returned(text[:50], "failed", text[:9], text, "permanent", "not_exist", text)
    for kind in ("bounce", "complaint"):
        row = came(report(sent, number=len(kind)), return_path(sent))
        one = act.Case(row, Feedback(kind, (returned,), facts=facts, feedback_type=text), sent.pk)  # type: ignore[arg-type]
        done = act.alone(one, now=timezone.now()) if one.alone else act.together([one], now=timezone.now())[0]
        assert done.outcome in (Outcome.CORRECTED, Outcome.LISTED)


@pytest.mark.django_db(transaction=True)
def test_two_at_work_never_act_on_the_same_mail(settings: Any) -> None:
    settings.JOB_WORKERS = 4
    sent = [message() for _n in range(70)]
    for one in sent:
        came(report(one), return_path(one))
    done: list[int] = []

    def work() -> None:
        try:
            done.append(process.process())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 70
    assert Event.objects.count() == 70
    assert Message.objects.filter(status=Status.SOFT_BOUNCE).count() == 70


@pytest.mark.django_db(transaction=True)
def test_no_more_are_at_work_than_the_jobs_can_spare() -> None:
    sent = message()
    came(report(sent), return_path(sent))
    seen: list[int] = []

    def another() -> None:
        try:
            seen.append(process.process())
        finally:
            connection.close()

    with process._slot() as mine:
        assert mine
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
    assert seen == [0]
    assert process.process() == 1


def test_what_was_filed_is_deleted_when_it_is_old_and_what_waits_is_kept(settings: Any) -> None:
    settings.FEEDBACK_KEEP_DAYS = 30
    done, waiting = message(), message()
    processed(report(done), return_path(done))
    came(report(waiting), return_path(waiting))
    now = timezone.now()
    assert process.prune(now=now + dt.timedelta(days=29)) == 0
    assert process.prune(now=now + dt.timedelta(days=31)) == 1
    assert FeedbackMail.objects.get().envelope_to == return_path(waiting)
