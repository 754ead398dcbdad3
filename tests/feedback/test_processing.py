"""What a mail that came back does: to the message, the lists, the figures; once, and only if its token is ours."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import hypothesis
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from delivery.models import DomainDay, Message, Reason, Status, TaskCount
from delivery.services import outcomes
from delivery.services.outcomes import Correction
from delivery.tokens import Tokens
from suppression.models import Entry
from tests.factories.sending import attempt, message
from tests.feedback.mails import auto_reply, bounce_host, complaint, report, return_path, way_out
from tracking.feedback import act, process, store
from tracking.feedback.act import Outcome
from tracking.feedback.store import Mail
from tracking.feedback.types import Feedback, Returned
from tracking.models import Event, FeedbackMail

pytestmark = pytest.mark.django_db


def came(mail: bytes, to: str, sender: str | None = "") -> FeedbackMail:
    """The row of a mail that has come, waiting."""
    store.keep([Mail(mail, len(mail), to, sender, "192.0.2.9")], now=timezone.now())
    return FeedbackMail.objects.order_by("-pk")[0]


def processed(mail: bytes, to: str, sender: str | None = "") -> FeedbackMail:
    row = came(mail, to, sender)
    process.process()
    row.refresh_from_db()
    return row


def fate(of: Message) -> tuple[str, str, str]:
    of.refresh_from_db()
    return of.status, of.reason, of.last_reply


def events(of: Message) -> list[str]:
    return list(Event.objects.filter(message_id=of.pk).order_by("pk").values_list("kind", flat=True))


# --- bounce mails


def test_a_delivered_mail_that_came_back_is_a_soft_bounce_with_the_servers_words() -> None:
    sent = message()
    row = processed(report(sent, "5.7.1", "550 5.7.1 Message rejected as spam by content filter"), return_path(sent))
    assert fate(sent) == ("soft_bounce", "spam", "550 5.7.1 Message rejected as spam by content filter")
    assert (row.state, row.type, row.message_id) == (FeedbackMail.State.DONE, "bounce", sent.pk)
    assert row.outcome == Outcome.CORRECTED
    event = Event.objects.get(message_id=sent.pk)
    assert event.kind == Event.Kind.BOUNCE
    assert "rejected as spam" in event.detail["said"]
    assert not Entry.objects.exists()


def test_a_returned_mail_whose_address_does_not_exist_feeds_the_bounce_list() -> None:
    sent = message("Ann@example.org")
    processed(report(sent), return_path(sent))
    assert fate(sent)[:2] == ("soft_bounce", "not_exist")
    entry = Entry.objects.get()
    assert (entry.list, entry.key, entry.hits, entry.message_id) == (Entry.List.BOUNCE, "ann@example.org", 1, sent.pk)


def test_what_a_relay_had_taken_may_come_back_or_arrive() -> None:
    returned, arrived = message(status=Status.SENT), message(status=Status.SENT)
    processed(report(returned, "5.2.2", "552 5.2.2 mailbox full"), return_path(returned))
    processed(report(arrived, "2.0.0", "250 2.0.0 delivered to mailbox", "delivered"), return_path(arrived))
    assert fate(returned)[:2] == ("soft_bounce", "other")
    assert fate(arrived)[:2] == ("delivered", "")
    assert events(arrived) == ["success"]


def test_a_success_notice_for_a_delivered_mail_is_only_noted() -> None:
    sent = message()
    assert processed(report(sent, "2.0.0", "", "relayed"), return_path(sent)).outcome == Outcome.NOTED
    assert fate(sent)[0] == "delivered"


def test_a_delay_warning_and_an_automatic_answer_change_nothing_but_are_noted() -> None:
    late, away = message(), message()
    processed(report(late, "4.4.1", "451 4.4.1 no answer", "delayed"), return_path(late))
    processed(auto_reply(away), return_path(away), away.recipient)
    assert (fate(late)[0], events(late)) == ("delivered", ["delay"])
    assert (fate(away)[0], events(away)) == ("delivered", ["reply"])


@pytest.mark.parametrize("reason", [*Reason.values, "", "nonsense"])
def test_a_soft_bounce_shows_one_of_six_reasons(reason: str) -> None:
    sent = message()
    assert outcomes.correct([Correction(sent.pk, Status.SOFT_BOUNCE, reason, "words")], now=timezone.now()) == {sent.pk}
    six = {"server_error", "ip_or_domain", "not_exist", "spam", "rejected", "other"}
    assert fate(sent)[1] == (reason if reason in six else "other")


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.SENT, Status.DELIVERED)])
@pytest.mark.parametrize("new", [Status.SOFT_BOUNCE, Status.DELIVERED])
def test_what_may_not_follow_is_refused(status: Status, new: Status) -> None:
    sent = message(status=status, reason="other" if status == Status.SOFT_BOUNCE else "")
    assert not outcomes.correct([Correction(sent.pk, new, "spam", "words")], now=timezone.now())
    assert fate(sent)[0] == status


def test_a_second_bounce_mail_changes_nothing_more() -> None:
    sent = message()
    processed(report(sent, number=1), return_path(sent))
    row = processed(report(sent, "5.7.1", "550 5.7.1 rejected by policy", number=2), return_path(sent))
    assert fate(sent)[1] == "not_exist"
    assert row.outcome == Outcome.NOTED
    assert Entry.objects.get().hits == 1


def test_several_mails_at_once_about_one_message_correct_it_once() -> None:
    sent = message()
    for number in range(3):
        came(report(sent, number=number), return_path(sent))
    assert process.process() == 3
    assert sorted(FeedbackMail.objects.values_list("outcome", flat=True)) == ["corrected", "noted", "noted"]
    assert Entry.objects.get().hits == 1


def test_of_a_report_on_many_the_one_about_this_recipient_counts() -> None:
    sent = message("ann@example.org")
    others = "".join(
        f"Final-Recipient: rfc822; p{n}@example.org\r\nAction: failed\r\nStatus: 5.7.1\r\n"
        f"Diagnostic-Code: smtp; 550 5.7.1 spam\r\n\r\n"
        for n in range(120)
    )
    mail = report(sent).decode().replace("Final-Recipient", "\r\n" + others + "Final-Recipient", 1).encode()
    # Only the first hundred are read; the message's own is found when it is among them.
    early = (
        report(sent, number=2)
        .decode()
        .replace(
            "\r\n\r\n--=_b\r\nContent-Type: message/rfc822",
            f"\r\n\r\n{others}\r\n--=_b\r\nContent-Type: message/rfc822",
            1,
        )
    )
    processed(early.encode(), return_path(sent))
    assert fate(sent)[1] == "not_exist"
    assert processed(mail, return_path(sent)).state == FeedbackMail.State.DONE


# --- whom it is about


def test_a_forged_or_foreign_token_changes_nothing() -> None:
    sent = message()
    forged = Tokens({1: b"another key of 16+ bytes"}).bounce(sent.pk)
    mail = report(sent).replace(return_path(sent)[2:34].encode(), forged.encode())
    row = processed(mail, f"b+{forged}@{bounce_host(sent)}")
    assert row.outcome == Outcome.NO_TOKEN
    assert (fate(sent)[0], events(sent)) == ("delivered", [])


def test_a_message_id_that_anybody_can_write_is_no_proof() -> None:
    sent = message()
    mail = report(sent).replace(return_path(sent).encode(), b"us@example.com")
    assert processed(mail, f"fbl@{bounce_host(sent)}").outcome == Outcome.NO_TOKEN
    assert fate(sent)[0] == "delivered"


def test_the_token_in_the_mail_helps_where_the_envelope_is_not_known() -> None:
    sent = message()
    processed(report(sent), "")
    assert fate(sent)[:2] == ("soft_bounce", "not_exist")


def test_a_message_that_is_no_longer_kept_changes_nothing() -> None:
    sent = message()
    Message.objects.filter(pk=sent.pk).delete()
    assert processed(report(sent), return_path(sent)).outcome == Outcome.NO_MESSAGE
    assert not Event.objects.exists()


def test_a_bounce_mail_quicker_than_the_engine_waits_for_it() -> None:
    sent = message(status=Status.SENDING)
    row = processed(report(sent), return_path(sent))
    assert row.state == FeedbackMail.State.WAITING
    assert (fate(sent)[0], events(sent)) == ("sending", [])
    Message.objects.filter(pk=sent.pk).update(status=Status.DELIVERED)
    FeedbackMail.objects.update(due=timezone.now())
    process.process()
    assert fate(sent)[:2] == ("soft_bounce", "not_exist")
    assert events(sent) == ["bounce"]


def test_a_bounce_mail_does_not_wait_for_ever() -> None:
    sent = message(status=Status.HELD)
    row = came(report(sent), return_path(sent))
    FeedbackMail.objects.update(received_at=timezone.now() - act.PATIENCE - dt.timedelta(minutes=1))
    process.process()
    row.refresh_from_db()
    assert (row.state, row.outcome) == (FeedbackMail.State.DONE, Outcome.NOTED)
    assert (fate(sent)[0], events(sent)) == ("held", ["bounce"])


# --- complaints and unsubscriptions


def test_a_complaint_with_a_redacted_recipient_finds_its_message() -> None:
    sent = message("ann@example.org")
    row = processed(complaint(sent), f"fbl@{bounce_host(sent)}", "abuse@example.org")
    assert (row.type, row.outcome, row.message_id) == ("complaint", Outcome.LISTED, sent.pk)
    entry = Entry.objects.get()
    assert (entry.list, entry.key) == (Entry.List.SPAM_REPORT, "ann@example.org")
    assert entry.expires_at and (entry.expires_at - timezone.now()).days in (179, 180)
    event = Event.objects.get(message_id=sent.pk)
    assert (event.kind, event.detail["feedback_type"]) == (Event.Kind.COMPLAINT, "abuse")
    assert fate(sent)[0] == "delivered"


def test_a_report_that_it_is_no_spam_lists_nobody() -> None:
    sent = message()
    processed(complaint(sent, "not-spam"), f"fbl@{bounce_host(sent)}")
    assert not Entry.objects.exists()


def test_a_mail_to_the_way_out_unsubscribes() -> None:
    sent = message("ann@example.org")
    row = processed(b"From: x\r\nSubject: unsubscribe\r\n\r\n\r\n", way_out(sent), "someone@else.example")
    assert (row.type, row.outcome) == ("unsubscribe", Outcome.UNSUBSCRIBED)
    entry = Entry.objects.get()
    assert (entry.list, entry.key, entry.api_user_id) == (
        Entry.List.UNSUBSCRIPTION,
        "ann@example.org",
        sent.api_user_id,
    )
    again = processed(b"From: x\r\nSubject: unsubscribe, please!\r\n\r\n\r\n", way_out(sent))
    assert again.outcome == Outcome.KNOWN
    assert events(sent) == ["unsubscribe"]


def test_a_word_in_the_subject_unsubscribes_nobody() -> None:
    sent = message()
    processed(b"From: x\r\nSubject: unsubscribe\r\n\r\n\r\n", return_path(sent))
    assert not Entry.objects.exists()


# --- figures


def test_a_return_moves_the_counts_of_the_task_and_of_the_first_attempts_day() -> None:
    from delivery.services.tasks import create_task
    from tests.factories.sending import new_task

    task = create_task(new_task())
    sent = message("ann@example.org", task=task)
    first = attempt(sent)
    day = DomainDay.objects.create(
        domain_id=sent.sender_domain_id, day=first.at.date(), level=1, attempted=10, delivered=8
    )
    TaskCount.objects.create(task=task, status=Status.DELIVERED, count=3)
    processed(report(sent), return_path(sent))
    day.refresh_from_db()
    assert (day.delivered, day.invalid, day.spam) == (7, 1, 0)
    assert dict(TaskCount.objects.filter(task=task).values_list("status", "count")) == {
        "delivered": 2,
        "soft_bounce": 1,
    }


def test_mail_to_the_simulator_counts_for_no_domain(settings: Any) -> None:
    settings.SIMULATOR = True
    sent = message("bouncelater+x@simulator.test")
    first = attempt(sent)
    day = DomainDay.objects.create(domain_id=sent.sender_domain_id, day=first.at.date(), level=1, delivered=8)
    processed(report(sent), return_path(sent))
    day.refresh_from_db()
    assert (day.delivered, day.invalid) == (8, 0)


# --- once, and whatever comes


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


def test_the_messages_page_says_that_it_was_accepted_and_what_follows_for_the_address(viewer: Client) -> None:
    gone, refused = message(), message()
    processed(report(gone), return_path(gone))
    processed(report(refused, "5.7.1", "550 5.7.1 Message refused by policy"), return_path(refused))
    first, second = (viewer.get(f"/email-status/{one.pk}/").content.decode() for one in (gone, refused))
    assert "Accepted first, then returned by a bounce mail." in first and "goes on the bounce list" in first
    assert "Accepted first, then returned by a bounce mail." in second and "stays mailable" in second
