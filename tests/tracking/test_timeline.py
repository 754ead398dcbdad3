"""What the recipient did stands on the message's page, in order."""

from __future__ import annotations

from typing import Any

from django.test import Client

from tests.tracking.mail import send
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


def test_a_mail_opened_a_thousand_times_shows_the_first(db: None, django_assert_num_queries: Any) -> None:
    message = send().message
    Event.objects.bulk_create(Event(message_id=message.pk, kind="open") for _ in range(MAX_EVENTS + 5))
    with django_assert_num_queries(1):
        found = list(events(message))
    assert len(found) == MAX_EVENTS + 1
    assert found[-1].title == "More opens and clicks"
