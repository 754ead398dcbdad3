"""Why somebody unsubscribes: kept with the entry and the event, shown in the list and on the message's page."""

from __future__ import annotations

import pytest
from django.test import Client

from delivery.models import DomainDay, Status
from suppression.models import Entry, UnsubscribeReason
from tests.tracking.mail import send
from tracking.models import Event
from tracking.timeline import events

SPAM = "This is spam"


@pytest.mark.parametrize("reason", ["not_wanted", "not_mine"])
def test_a_reason_is_kept_with_the_entry_and_the_event(db: None, client: Client, reason: str) -> None:
    client.post(send().unsubscribe, {"reason": reason})
    assert list(Entry.objects.values_list("list", "reason")) == [("unsubscription", reason)]
    assert Event.objects.get().detail == {"how": "page", "reason": reason}


def test_none_is_chosen_beforehand_and_none_is_needed(db: None, client: Client) -> None:
    sent = send()
    shown = client.get(sent.unsubscribe).content.decode()
    assert shown.count('type="radio"') == 4
    assert "checked" not in shown
    assert "required" not in shown
    client.post(sent.unsubscribe)
    assert Entry.objects.get().reason == ""


@pytest.mark.parametrize("reason", ["", "no such reason", "spam\x00", "x" * 9000])
def test_what_is_no_reason_unsubscribes_all_the_same(db: None, client: Client, reason: str) -> None:
    assert client.post(send().unsubscribe, {"reason": reason}).status_code == 200
    entry = Entry.objects.get()
    assert (entry.list, entry.reason) == ("unsubscription", "")


@pytest.mark.parametrize("reason", ["spam", "fraud"])
def test_spam_and_fraud_are_complaints_as_well(db: None, client: Client, reason: str) -> None:
    sent = send("ann@example.com")
    answer = client.post(sent.unsubscribe, {"reason": reason}, REMOTE_ADDR="203.0.113.9")
    assert "Your report is noted" in answer.content.decode()
    listed = {entry.list: entry for entry in Entry.objects.all()}
    assert set(listed) == {"unsubscription", "spam_report"}
    assert listed["spam_report"].reason == UnsubscribeReason(reason).label
    assert listed["spam_report"].message_id == sent.message.pk
    complaint = Event.objects.get(kind="complaint")
    assert (complaint.ip, complaint.detail) == ("203.0.113.9", {"reason": reason, "source": "page"})
    assert DomainDay.objects.get(domain=sent.message.sender_domain_id).complaints == 1
    later = send("ann@example.com", type="trigger").message
    assert (later.status, later.reason) == (Status.INVALID, "blacklist")


def test_pressed_twice_a_complaint_counts_once(db: None, client: Client) -> None:
    sent = send()
    for _ in range(3):
        client.post(sent.unsubscribe, {"reason": "spam"})
    assert Event.objects.filter(kind="complaint").count() == 1
    assert Entry.objects.get(list="spam_report").hits == 1


def test_spam_said_after_the_mail_programs_one_click_is_still_heard(db: None, client: Client) -> None:
    sent = send()
    client.post(sent.unsubscribe, {"List-Unsubscribe": "One-Click"})
    client.post(sent.unsubscribe, {"reason": "spam"})
    assert set(Entry.objects.values_list("list", flat=True)) == {"unsubscription", "spam_report"}


def test_the_reason_stands_on_the_messages_timeline(viewer: Client, client: Client) -> None:
    sent = send()
    client.post(sent.unsubscribe, {"reason": "spam"}, HTTP_ACCEPT_LANGUAGE="ja")
    found = {entry.title: entry.facts for entry in events(sent.message)}
    assert "on the page" in found["Unsubscribed"]
    assert SPAM in found["Unsubscribed"]
    assert SPAM in found["Reported as spam"]
    assert SPAM in viewer.get(f"/email-status/{sent.message.pk}/").content.decode()
