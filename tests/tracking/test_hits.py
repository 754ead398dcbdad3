"""Clicks and opens: redirected and recorded, and only what we signed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from delivery.models import Message
from delivery.services import quota
from delivery.tokens import Clicked
from tests.tracking.mail import send
from tracking.links import click_target, tokens
from tracking.models import Event


def test_a_click_leads_to_the_link_as_the_recipient_has_it_and_is_recorded(db: None, client: Client) -> None:
    sent = send(name="Zoë & Co")
    answer = client.get(sent.click(0), REMOTE_ADDR="2001:db8::7", HTTP_USER_AGENT="Browser/2")
    assert answer.status_code == 302
    assert answer["Location"] == "https://shop.example/new?for=Zo%C3%AB%20%26%20Co&x=1"
    event = Event.objects.get()
    assert (event.kind, event.message_id, event.link) == ("click", sent.message.pk, answer["Location"])
    assert (event.ip, event.user_agent) == ("2001:db8::7", "Browser/2")
    sent.message.refresh_from_db()
    assert sent.message.clicked_at is not None
    assert sent.message.opened_at is None


def test_the_first_click_gives_the_message_its_time_and_each_is_an_event(db: None, client: Client) -> None:
    sent = send()
    client.get(sent.click(0))
    first = Message.objects.get(pk=sent.message.pk).clicked_at
    client.get(sent.click(0))
    assert Message.objects.get(pk=sent.message.pk).clicked_at == first
    assert Event.objects.filter(kind="click").count() == 2


def test_an_open_gets_an_image_and_is_recorded(db: None, client: Client) -> None:
    sent = send()
    answer = client.get(sent.open)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "image/gif"
    assert answer.content[:6] == b"GIF89a"
    assert answer.content[-1:] == b";"
    assert Event.objects.get().kind == "open"
    sent.message.refresh_from_db()
    assert sent.message.opened_at is not None


def test_head_is_answered_and_does_not_count(db: None, client: Client) -> None:
    sent = send()
    assert client.head(sent.click(0))["Location"].startswith("https://shop.example/")
    assert client.head(sent.open).status_code == 200
    assert not Event.objects.exists()
    sent.message.refresh_from_db()
    assert (sent.message.opened_at, sent.message.clicked_at) == (None, None)


@pytest.mark.parametrize("page", ["https://one.example/a?b=c", "http://one.example:8080/"])
def test_a_link_that_is_a_variable_leads_where_the_list_says(db: None, client: Client, page: str) -> None:
    assert client.get(send(page=page).click(1))["Location"] == page


@pytest.mark.parametrize(
    "page",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "ftp://a.example/", "/x", "", "https://", "http://["],
)
def test_only_the_web_is_led_to(db: None, client: Client, page: str) -> None:
    answer = client.get(send(page=page).click(1))
    assert answer.status_code == 404
    assert "Location" not in answer
    assert not Event.objects.exists()


@pytest.mark.parametrize("text", ["x", "a" * 28, "https://evil.example", "..%2f..", "é" * 28])
def test_a_forged_link_leads_nowhere(db: None, client: Client, text: str) -> None:
    for path in (f"/c/{text}", f"/o/{text}.gif"):
        answer = client.get(path)
        assert answer.status_code in (302, 404) and "evil" not in answer.get("Location", "")
    assert not Event.objects.exists()


def test_tokens_of_other_kinds_and_links_that_are_not_there_lead_nowhere(db: None, client: Client) -> None:
    message = send().message
    pk, version = message.pk, message.version_id
    for path in (
        f"/c/{tokens().unsubscribe(pk)}",
        f"/c/{tokens().open(pk)}",
        f"/o/{tokens().unsubscribe(pk)}.gif",
        f"/o/{tokens().click(pk, 0, version)}.gif",
        f"/c/{tokens().click(pk, 3, version)}",
        f"/c/{tokens().click(pk, 0, version + 1)}",
        # This link holds a variable, and there is nobody to fill it for.
        f"/c/{tokens().click(pk + 1, 0, version)}",
    ):
        assert client.get(path).status_code == 404
    assert not Event.objects.exists()


def test_of_a_message_that_is_no_longer_kept_nothing_is_recorded(db: None, client: Client) -> None:
    assert client.get(f"/o/{tokens().open(send().message.pk + 1)}.gif").status_code == 200
    assert not Event.objects.exists()


def test_hits_set_no_cookie_and_are_kept_by_nobody(db: None, client: Client) -> None:
    sent = send()
    for path in (sent.click(0), sent.open, "/c/forged"):
        answer = client.get(path)
        assert not answer.cookies
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "no-referrer"


def test_nothing_is_posted_to_them(db: None, client: Client) -> None:
    sent = send()
    assert {client.post(sent.click(0)).status_code, client.post(sent.open).status_code} == {405}


def test_a_client_cannot_choose_its_address_but_our_proxy_can(db: None, client: Client, settings: Any) -> None:
    sent = send()
    forwarded = {"HTTP_X_FORWARDED_FOR": "192.0.2.1, 203.0.113.5"}
    client.get(sent.open, **forwarded)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client.get(sent.open, **forwarded)
    client.get(sent.open, HTTP_X_FORWARDED_FOR="nonsense", HTTP_USER_AGENT="a\x00b" + "c" * 900)
    ips = list(Event.objects.order_by("id").values_list("ip", flat=True))
    assert ips == ["127.0.0.1", "203.0.113.5", None]
    assert Event.objects.latest("id").user_agent.startswith("abccc")
    assert len(Event.objects.latest("id").user_agent) == 500


def test_a_link_without_a_variable_is_known_without_asking_the_database(
    db: None, django_assert_num_queries: Any
) -> None:
    # How often a prepared statement was run by this connection.
    runs = "SELECT coalesce(sum(generic_plans + custom_plans), 0)::int FROM pg_prepared_statements"
    message = send(page="https://one.example/").message
    fixed, filled = (Clicked(message.pk, number, message.version_id) for number in (2, 1))
    click_target(fixed)
    with django_assert_num_queries(0):
        assert click_target(fixed) == "https://shop.example/sale"
    with connection.cursor() as cursor:
        before = cursor.execute(runs).fetchone()[0]
        with django_assert_num_queries(0):
            assert click_target(filled) == "https://one.example/"
        assert cursor.execute(runs).fetchone()[0] == before + 1


def test_a_link_of_the_first_release_still_leads_where_it_did(db: None) -> None:
    message = send().message
    assert click_target(Clicked(message.pk, 2, None)) == "https://shop.example/sale"
    assert click_target(Clicked(message.pk + 1, 2, None)) is None


def test_a_first_open_counts_for_the_warm_up_of_the_day_on_which_it_came(db: None, client: Client) -> None:
    sent = send(to="ann@reader.example")
    message = sent.message
    day = quota.open_day(message.sender_domain_id, quota.local_day(timezone.now()))
    assert day is not None
    client.get(sent.open)
    client.get(sent.open)
    # The simulator is nobody whose opens say anything.
    client.get(send(to="success@simulator.test").open)
    day.refresh_from_db()
    assert day.opens == 1


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
    ],
)
def test_addresses_can_be_kept_without_their_last_part(
    db: None, client: Client, settings: Any, seen: str, kept: str
) -> None:
    settings.ANONYMISE_IP = True
    client.get(send().open, REMOTE_ADDR=seen)
    assert Event.objects.get().ip == kept
