"""What a mail that came back does: to the message, the lists, the figures; and only if its token is ours."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from delivery.models import DomainDay, Message, Reason, Status, TaskCount
from delivery.services import outcomes
from delivery.services.outcomes import Correction
from delivery.tokens import Tokens
from suppression.models import Entry
from tests.factories.sending import attempt, message
from tests.feedback.filed import came, events, fate, processed
from tests.feedback.mails import auto_reply, bounce_host, complaint, report, return_path, way_out
from tracking.feedback import act, process
from tracking.feedback.act import Outcome
from tracking.feedback.reading import sns
from tracking.models import Event, FeedbackMail

pytestmark = pytest.mark.django_db


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
    row = processed(complaint(sent, "not-spam"), f"fbl@{bounce_host(sent)}")
    assert (row.message_id, row.outcome) == (sent.pk, Outcome.NOTHING)
    assert not Entry.objects.exists()


@pytest.mark.parametrize(("told", "kind"), [("abuse", "complaint"), ("not-spam", "other"), (None, "complaint")])
def test_what_ses_tells_of_no_spam_is_no_complaint_either(told: str | None, kind: str) -> None:
    about = {"complainedRecipients": [{"emailAddress": "ann@example.org"}], "complaintFeedbackType": told}
    found = sns.read(json.dumps({"notificationType": "Complaint", "complaint": about}))
    assert found is not None
    assert (found[0], [one.recipient for one in found[1]]) == (kind, ["ann@example.org"])


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


# --- what people see


def test_the_messages_page_says_that_it_was_accepted_and_what_follows_for_the_address(viewer: Client) -> None:
    gone, refused = message(), message()
    processed(report(gone), return_path(gone))
    processed(report(refused, "5.7.1", "550 5.7.1 Message refused by policy"), return_path(refused))
    first, second = (viewer.get(f"/email-status/{one.pk}/").content.decode() for one in (gone, refused))
    assert "Accepted first, then returned by a bounce mail." in first and "goes on the bounce list" in first
    assert "Accepted first, then returned by a bounce mail." in second and "stays mailable" in second
