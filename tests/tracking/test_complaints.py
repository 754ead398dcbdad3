"""A complaint: on the list for 180 days, an event of the message, once in its sender domain's figures."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import connection
from django.utils import timezone

from delivery.models import DomainDay, Message
from suppression.models import Entry
from tests.tracking.mail import send
from tracking import complaints
from tracking.models import Event
from tracking.visitors import Visitor

NOW = timezone.now()


def complain(message: Message, source: complaints.Source = "report", days: int = 0) -> bool:
    return complaints.complain(message, now=NOW + dt.timedelta(days=days), source=source, detail={"type": "abuse"})


def test_a_report_stands_on_the_list_and_with_the_message(db: None) -> None:
    message = send("Ann@example.com").message
    assert complaints.complain(
        message, now=NOW, source="report", detail={"type": "abuse"}, visitor=Visitor("203.0.113.9", "Loop/1")
    )
    entry = Entry.objects.get()
    assert (entry.list, entry.key, entry.api_user, entry.message_id) == (
        "spam_report",
        "ann@example.com",
        None,
        message.pk,
    )
    assert entry.expires_at == NOW + dt.timedelta(days=180)
    event = Event.objects.get()
    assert (event.kind, event.message_id, event.ip) == ("complaint", message.pk, "203.0.113.9")
    assert event.detail == {"type": "abuse", "source": "report"}
    assert DomainDay.objects.get(domain=message.sender_domain_id).complaints == 1


def test_the_same_report_twice_changes_nothing(db: None) -> None:
    message = send("ann@example.com").message
    assert complain(message)
    before = Entry.objects.values().get()
    assert not complain(message, days=3)
    assert Entry.objects.values().get() == before
    assert Event.objects.count() == 1


def test_reported_on_the_page_and_by_the_loop_a_message_counts_once(db: None) -> None:
    message = send("ann@example.com").message
    assert complain(message, "page")
    assert complain(message, "report")
    assert Event.objects.count() == 2
    assert DomainDay.objects.get(domain=message.sender_domain_id).complaints == 1


def test_the_180_days_begin_anew_with_another_mails_report(db: None) -> None:
    first, second = (send("ann@example.com").message for _ in range(2))
    complain(first)
    complain(second, days=10)
    entry = Entry.objects.get()
    assert entry.hits == 2
    assert entry.expires_at == NOW + dt.timedelta(days=190)


def test_the_list_names_the_answer_or_the_reports_type(db: None) -> None:
    first, second = send("ann@example.com").message, send("bob@example.com").message
    complaints.complain(first, now=NOW, source="page", detail={"reason": "fraud"})
    complaints.complain(second, now=NOW, source="report", detail={"feedback_type": "abuse"})
    reasons = dict(Entry.objects.values_list("key", "reason"))
    assert reasons["ann@example.com"] == "This is a fraudulent email and I want to report it"
    assert reasons["bob@example.com"] == "abuse"


def test_a_complaint_about_the_simulators_mail_costs_no_reputation(db: None) -> None:
    assert complain(send("complaint@simulator.test").message)
    assert not DomainDay.objects.filter(complaints__gt=0).exists()
    assert Entry.objects.count() == 1


def test_of_a_message_that_is_no_longer_kept_nothing_is_written(db: None) -> None:
    message = send().message
    Message.objects.filter(pk=message.pk).delete()
    assert not complain(message)
    assert not Event.objects.exists()
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_report_read_by_several_at_once_counts_once() -> None:
    message = send("ann@example.com").message
    start, answers = threading.Barrier(4), []

    def read() -> None:
        try:
            start.wait()
            answers.append(complain(message))
        finally:
            connection.close()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, False, False, True]
    assert Entry.objects.get().hits == 1
    assert DomainDay.objects.get(domain=message.sender_domain_id).complaints == 1
