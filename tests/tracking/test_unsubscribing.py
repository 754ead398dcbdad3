"""The unsubscribe link: GET asks, POST acts, and nobody needs a cookie or a password."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from console.models import ApiUser
from delivery.models import Status
from suppression.models import Entry
from tests.tracking.mail import Sent, send
from tracking.links import tokens
from tracking.models import Event

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def post(path: str, body: str = "", content_type: str = "application/x-www-form-urlencoded", **extra: Any) -> Any:
    """A POST as a mail program sends it: no cookie, no Referer, no CSRF token, and the checks switched on."""
    return Client(enforce_csrf_checks=True).post(path, body, content_type=content_type, **extra)


def entries() -> list[tuple[str, str, str, int]]:
    return list(Entry.objects.values_list("list", "key", "api_user__name", "hits"))


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_the_page_changes_nothing(db: None, client: Client, method: str) -> None:
    answer = getattr(client, method)(send().unsubscribe)
    assert answer.status_code == 200
    assert not Entry.objects.exists()
    assert not Event.objects.exists()


def test_the_page_asks_in_the_senders_name_and_masks_the_address(db: None, client: Client) -> None:
    shown = client.get(send("ann.smith@example.com").unsubscribe).content.decode()
    assert "Nothing has changed yet" in shown
    assert "Morrow &amp; Finch" in shown
    assert "an•••••@example.com" in shown
    assert "ann.smith" not in shown
    assert "Posthorn" not in shown


def test_the_button_unsubscribes_without_a_cookie(db: None) -> None:
    answer = post(send("Ann@Example.com").unsubscribe)
    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.content.decode()
    assert entries() == [("unsubscription", "ann@example.com", "console-batch", 1)]


def test_one_click_unsubscribes_and_is_answered_without_a_redirect(db: None) -> None:
    sent = send()
    answer = post(sent.unsubscribe, "List-Unsubscribe=One-Click", REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="Mailer/1")
    assert answer.status_code == 200
    assert entries() == [("unsubscription", "ann.smith@example.com", "console-batch", 1)]
    event = Event.objects.get()
    assert (event.kind, event.message_id) == ("unsubscribe", sent.message.pk)
    assert (event.ip, event.user_agent, event.detail) == (
        "203.0.113.9",
        "Mailer/1",
        {"how": "one_click", "reason": ""},
    )


def test_one_click_may_come_as_multipart(db: None) -> None:
    Client(enforce_csrf_checks=True).post(send().unsubscribe, ONE_CLICK)
    assert Event.objects.get().detail["how"] == "one_click"


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=\u00e9", "text/plain"])
def test_a_body_that_cannot_be_read_is_no_reason_not_to_act(db: None, content_type: str) -> None:
    assert post(send().unsubscribe, "\x00garbage%%%", content_type).status_code == 200
    assert Entry.objects.count() == 1


def test_an_endless_body_is_refused(db: None) -> None:
    assert post(send().unsubscribe, "x" * 20_000).status_code == 413
    assert not Entry.objects.exists()


def test_a_second_request_changes_nothing_more(db: None) -> None:
    sent = send()
    post(sent.unsubscribe)
    before = Entry.objects.values().get()
    answer = post(sent.unsubscribe, "List-Unsubscribe=One-Click")
    assert "You are unsubscribed" in answer.content.decode()
    assert Entry.objects.values().get() == before
    assert Event.objects.count() == 1


def test_whoever_comes_back_is_told_that_it_is_done(db: None, client: Client) -> None:
    sent = send()
    post(sent.unsubscribe)
    shown = client.get(sent.unsubscribe).content.decode()
    assert "You are unsubscribed" in shown
    assert 'name="reason"' not in shown


def test_taken_off_by_an_operator_the_same_link_works_again(db: None) -> None:
    sent = send()
    post(sent.unsubscribe)
    Entry.objects.all().delete()
    post(sent.unsubscribe)
    assert Entry.objects.count() == 1
    assert Event.objects.count() == 2


def test_another_mail_to_the_same_address_counts_as_another_hit(db: None) -> None:
    first, second = send("ann@example.com"), send("ANN@example.com")
    post(first.unsubscribe)
    post(second.unsubscribe)
    assert entries() == [("unsubscription", "ann@example.com", "console-batch", 2)]


def test_the_next_mail_of_the_same_api_user_is_left_out_and_that_of_others_is_not(db: None) -> None:
    post(send("ann@example.com").unsubscribe)
    stopped = send("Ann@example.com").message
    assert (stopped.status, stopped.reason, stopped.last_reply) == (Status.INVALID, "unsubscribe", "unsubscribe")
    assert send("ann@example.com", type=ApiUser.Type.TRIGGER).message.status == Status.SENDING
    assert send("bob@example.com").message.status == Status.SENDING


def test_an_api_user_that_is_gone_is_no_error(db: None) -> None:
    sent = send()
    type(sent.message).objects.filter(pk=sent.message.pk).update(api_user_id=999_999)
    assert post(sent.unsubscribe).status_code == 200
    assert not Entry.objects.exists()


def bad_tokens(sent: Sent) -> list[str]:
    good = sent.unsubscribe.removeprefix("/u/")
    return [
        "x",
        "x" * 24,
        "x" * 5000,
        good[:-1],
        good + "A",
        ("B" if good[0] == "A" else "A") + good[1:],
        good[:-1] + ("B" if good[-1] == "A" else "A"),
        tokens().open(sent.message.pk),
        tokens().click(sent.message.pk, 0, sent.message.version_id),
        tokens().bounce(sent.message.pk),
        tokens().unsubscribe(sent.message.pk + 1),
        "%00",
        "é" * 24,
    ]


@pytest.mark.parametrize("number", range(13))
def test_a_token_that_is_not_ours_is_refused_and_nothing_is_revealed(db: None, number: int) -> None:
    sent = send()
    path = f"/u/{bad_tokens(sent)[number]}"
    asked, acted = Client().get(path), post(path, "List-Unsubscribe=One-Click")
    for answer in (asked, acted):
        assert answer.status_code == 404
        assert "This link is not valid" in answer.content.decode()
        assert "example.com" not in answer.content.decode()
        assert "Morrow" not in answer.content.decode()
    assert asked.content == acted.content
    assert not Entry.objects.exists()
    assert not Event.objects.exists()


def test_other_methods_are_refused(db: None, client: Client) -> None:
    path = send().unsubscribe
    assert {client.put(path).status_code, client.delete(path).status_code, client.patch(path).status_code} == {405}
    assert not Entry.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_public_answers_set_no_cookie_and_are_kept_by_nobody(db: None, method: str) -> None:
    sent = send()
    for path in (sent.unsubscribe, "/u/forged"):
        answer = getattr(Client(enforce_csrf_checks=True), method)(path)
        assert not answer.cookies
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "no-referrer"
        assert "default-src 'self'" in answer["Content-Security-Policy"]
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert "Cookie" not in answer.get("Vary", "") or "Set-Cookie" not in answer


def test_no_request_asks_the_database_much(db: None, django_assert_max_num_queries: Any) -> None:
    sent = send()
    for _ in range(2):
        with django_assert_max_num_queries(5):
            assert Client().get(sent.unsubscribe).status_code == 200
        # Two more here than outside of a test: the savepoint's.
        with django_assert_max_num_queries(10):
            assert post(sent.unsubscribe).status_code == 200
