"""What the recipient did stands on the message's page, in order."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.utils import timezone

from delivery.models import Message
from tests.feedback.mails import complaint, report, return_path
from tests.tracking.mail import send
from tracking.feedback import process, store
from tracking.feedback.store import Mail
from tracking.models import Event
from tracking.timeline import MAX_EVENTS, events


def test_opens_clicks_and_unsubscribing_stand_on_the_messages_page(viewer: Client) -> None:
    sent, public = send(), Client()
    public.get(sent.open, HTTP_USER_AGENT="<b>Reader</b>")
    public.get(sent.click(0), REMOTE_ADDR="203.0.113.9")
    public.post(sent.unsubscribe, {"List-Unsubscribe": "One-Click"})
    found = list(events(sent.message))
    assert [entry.title for entry in found] == ["Opened", "Clicked", "Unsubscribed"]
    assert found[0].facts == "127.0.0.1 · <b>Reader</b>"
    assert found[1].facts == "https://shop.example/new?for=Ann&x=1 · 203.0.113.9"
    assert "one-click" in found[2].facts
    text = viewer.get(f"/email-status/{sent.message.pk}/").content.decode()
    assert text.index("Opened") < text.index("Clicked") < text.index("Unsubscribed")
    assert "<b>Reader" not in text


def test_what_came_back_by_mail_stands_there_in_the_servers_words(viewer: Client) -> None:
    message = send("ann@example.org").message
    Message.objects.filter(pk=message.pk).update(status="delivered")
    for mail, to in ((report(message), return_path(message)), (complaint(message), "fbl@bounce.mail.finch.example")):
        store.keep([Mail(mail, len(mail), to, "")], now=timezone.now())
    process.process()
    found = {entry.title: entry for entry in events(message)}
    assert set(found) == {"Returned by a bounce mail", "Reported as spam"}
    bounced = found["Returned by a bounce mail"]
    assert bounced.facts == "not exist · 5.1.1 · ann@example.org"
    assert [(said.who, said.text) for said in bounced.said] == [("mx.example.org", "550 5.1.1 user unknown")]
    assert "by a feedback loop" in found["Reported as spam"].facts
    text = viewer.get(f"/email-status/{message.pk}/").content.decode()
    assert "550 5.1.1 user unknown" in text


def test_a_mail_opened_a_thousand_times_shows_the_first(db: None, django_assert_num_queries: Any) -> None:
    message = send().message
    Event.objects.bulk_create(Event(message_id=message.pk, kind="open") for _ in range(MAX_EVENTS + 5))
    with django_assert_num_queries(1):
        found = list(events(message))
    assert len(found) == MAX_EVENTS + 1
    assert found[-1].title == "More opens and clicks"
