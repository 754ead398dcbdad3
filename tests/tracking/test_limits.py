"""Who asks too often is told when to come back; a mail provider that presses the button for millions is not."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from suppression.models import Entry
from tests.tracking.mail import send
from tracking import unsubscribe_page
from tracking.limiter import Limiter, client_of


def test_a_minutes_worth_may_come_at_once_and_then_one_at_a_time() -> None:
    limiter = Limiter(6)
    assert [limiter.wait("a", 100.0) for _ in range(6)] == [0] * 6
    assert limiter.wait("a", 100.0) == pytest.approx(10)
    assert limiter.wait("a", 105.0) == pytest.approx(5)
    assert limiter.wait("a", 110.0) == 0
    assert limiter.wait("a", 110.0) == pytest.approx(10)


def test_each_client_has_an_allowance_of_its_own() -> None:
    limiter = Limiter(1)
    assert limiter.wait("a", 1.0) == 0
    assert limiter.wait("b", 1.0) == 0
    assert limiter.wait("a", 1.0) > 0


def test_no_more_clients_are_remembered_than_there_is_room_for() -> None:
    limiter = Limiter(1, most_clients=3)
    for client in "abcd":
        limiter.wait(client, 1.0)
    assert limiter.wait("d", 1.0) > 0
    assert limiter.wait("a", 1.0) == 0


@given(st.lists(st.floats(0, 600), max_size=300).map(sorted))
def test_never_more_than_two_allowances_in_a_minute(times: list[float]) -> None:
    limiter = Limiter(10)
    answered = [at for at in times if limiter.wait("a", at) == 0]
    for first in answered:
        assert sum(first <= at < first + 60 for at in answered) <= 20


@pytest.mark.parametrize(
    ("ip", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        (None, ""),
    ],
)
def test_an_ipv6_network_is_one_client(ip: str | None, client: str) -> None:
    assert client_of(ip) == client


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BY_PAGE", "BY_GUESS"):
        monkeypatch.setattr(unsubscribe_page, name, Limiter(2))


def test_who_asks_too_often_is_told_when_to_come_back(db: None, tight: None, client: Client) -> None:
    path = send().unsubscribe
    assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429]
    answer = client.post(path, HTTP_ACCEPT_LANGUAGE="ja")
    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 30
    assert answer["Retry-After"] in answer.content.decode()
    assert "アクセスが多すぎます" in answer.content.decode()
    assert not Entry.objects.exists()
    assert client.get(path, REMOTE_ADDR="203.0.113.9").status_code == 200


def test_guessing_is_limited_apart_from_those_who_have_a_link(db: None, tight: None, client: Client) -> None:
    path = send().unsubscribe
    for link in ("/u/", "/r/"):
        client.get(f"{link}{'x' * 24}")
    assert client.get(f"/u/{'x' * 24}").status_code == 429
    assert client.get(path).status_code == 200


def test_one_click_is_not_held_up_by_the_pages_limit(db: None, tight: None) -> None:
    one_click: dict[str, Any] = {"content_type": "application/x-www-form-urlencoded", "REMOTE_ADDR": "209.85.220.41"}
    answers = [
        Client().post(send(f"p{n}@example.com").unsubscribe, "List-Unsubscribe=One-Click", **one_click)
        for n in range(6)
    ]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert Entry.objects.count() == 6
