"""The way back for whoever pressed by mistake: offered where it is done, acted on by POST alone."""

from __future__ import annotations

import re

import pytest
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from delivery.models import Delta, Status
from suppression import services as suppression
from suppression.models import Entry
from tests.tracking.mail import Sent, send
from tracking import complaints
from tracking.links import tokens
from tracking.models import Event
from tracking.timeline import events


def undo_of(sent: Sent) -> str:
    return f"/r/{tokens().resubscribe(sent.message.pk)}"


def unsubscribed(to: str = "ann@example.com", reason: str = "") -> Sent:
    sent = send(to)
    Client().post(sent.unsubscribe, {"reason": reason})
    return sent


def lists() -> list[str]:
    return list(Entry.objects.values_list("list", flat=True))


def test_the_link_is_offered_where_it_is_done_and_on_coming_back(db: None, client: Client) -> None:
    sent = send()
    for answer in (client.post(sent.unsubscribe), client.get(sent.unsubscribe)):
        found = re.search(r'action="(/r/[\w-]{24})\?lang=en"', answer.content.decode())
        assert found and found.group(1) == undo_of(sent)


def test_looking_at_it_changes_nothing(db: None, client: Client) -> None:
    sent = unsubscribed()
    answer = client.get(undo_of(sent))
    assert "Nothing has changed yet" in answer.content.decode()
    client.head(undo_of(sent))
    assert lists() == ["unsubscription"]
    assert Event.objects.count() == 1


def test_pressing_takes_the_unsubscription_back_and_says_so(db: None) -> None:
    sent = unsubscribed()
    answer = Client(enforce_csrf_checks=True).post(undo_of(sent), REMOTE_ADDR="203.0.113.9")
    shown = answer.content.decode()
    assert "You are subscribed" in shown
    assert "an•••••@example.com" in shown
    assert "ann@" not in shown
    assert not answer.cookies
    assert lists() == []
    event = Event.objects.latest("id")
    assert (event.kind, event.message_id, event.ip) == ("resubscribe", sent.message.pk, "203.0.113.9")
    assert [entry.title for entry in events(sent.message)] == ["Unsubscribed", "Unsubscription taken back"]
    assert send("ann@example.com").message.status == Status.SENDING


def test_pressed_twice_it_changes_nothing_more(db: None, client: Client) -> None:
    sent = unsubscribed()
    for _ in range(2):
        assert "You are subscribed" in client.post(undo_of(sent)).content.decode()
    assert Event.objects.filter(kind="resubscribe").count() == 1


def test_afterwards_the_link_in_the_mail_unsubscribes_again(db: None, client: Client) -> None:
    sent = unsubscribed()
    client.post(undo_of(sent))
    assert "Stop these emails?" in client.get(sent.unsubscribe).content.decode()
    client.post(sent.unsubscribe)
    assert lists() == ["unsubscription"]
    assert Event.objects.filter(kind="unsubscribe").count() == 2
    # Counted once: the mail has lost one reader.
    assert Delta.objects.aggregate(sum=Sum("unsubscriptions"))["sum"] == 1


def test_what_was_reported_with_it_is_taken_back_too(db: None, client: Client) -> None:
    sent = unsubscribed(reason="spam")
    assert sorted(lists()) == ["spam_report", "unsubscription"]
    client.post(undo_of(sent))
    assert lists() == []
    client.post(sent.unsubscribe, {"reason": "spam"})
    assert sorted(lists()) == ["spam_report", "unsubscription"]


def test_a_feedback_loops_report_stands_and_the_page_says_that_mail_is_still_held_back(
    db: None, client: Client
) -> None:
    sent = unsubscribed(reason="spam")
    complaints.complain(sent.message, now=timezone.now(), source="report", detail={})
    shown = client.post(undo_of(sent)).content.decode()
    assert "Mail is still held back" in shown
    assert lists() == ["spam_report"]


def test_the_complaint_about_another_mail_stands(db: None, client: Client) -> None:
    other = send("ann@example.com")
    sent = unsubscribed(reason="spam")
    complaints.complain(other.message, now=timezone.now(), source="report", detail={})
    client.post(undo_of(sent))
    assert lists() == ["spam_report"]


def test_an_address_that_came_to_the_list_in_another_way_stays_there(db: None, client: Client) -> None:
    sent = send("ann@example.com")
    suppression.unsubscribe("ann@example.com", api_user_id=sent.message.api_user_id, now=timezone.now())
    assert "/r/" not in client.get(sent.unsubscribe).content.decode()
    assert "Mail is still held back" in client.post(undo_of(sent)).content.decode()
    assert lists() == ["unsubscription"]


def test_the_mails_own_token_takes_nothing_back(db: None, client: Client) -> None:
    sent = unsubscribed()
    token = sent.unsubscribe.removeprefix("/u/")
    for text in (token, token[:-1], undo_of(sent)[3:-1], "x" * 24, tokens().open(sent.message.pk)):
        assert client.post(f"/r/{text}").status_code == 404
    assert client.post(f"/u/{undo_of(sent)[3:]}").status_code == 404
    assert lists() == ["unsubscription"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_message_that_is_no_longer_kept_is_answered_like_a_forged_link(db: None, client: Client, method: str) -> None:
    gone = tokens().resubscribe(send().message.pk + 1)
    answer = getattr(client, method)(f"/r/{gone}")
    assert answer.status_code == 404
    assert answer.content == getattr(client, method)("/r/forged").content


def test_an_endless_body_is_refused(db: None, client: Client) -> None:
    sent = unsubscribed()
    assert client.post(undo_of(sent), {"x": "y" * 20_000}).status_code == 413
    assert lists() == ["unsubscription"]
