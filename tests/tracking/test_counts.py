"""Complaints, hard bounces and unsubscriptions counted by day, sender domain and receiving domain."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import ids
from console.models import Account, ApiUser
from console.window import Window
from delivery.models import Message
from suppression import services as suppression
from suppression.models import Entry
from tests.factories.sending import message
from tracking import counting, unsubscribing
from tracking.models import Event
from tracking.visitors import Visitor

PAGES = ("spam-reports", "bounced", "unsubscriptions")
NOW = timezone.now()


def came(name: str, to: str, *, days: float = 0, sender: str = "hello@news.example.com", **fields: Any) -> Message:
    """What the page counts, so many days ago."""
    at = NOW - dt.timedelta(days=days)
    made = message(to, sender=sender, **fields)
    if name == "bounced":
        found = suppression.HardBounce(made.recipient, False, made.pk, "550 5.1.1", api_user_id=made.api_user_id)
        suppression.hard_bounces([found], now=at)
    else:
        Event.objects.create(
            id=ids.new_id() - (round(days * 86_400_000) << ids.SHIFT),
            message_id=made.pk,
            sender_domain_id=made.sender_domain_id,
            receiving_domain_id=made.receiving_domain_id,
            kind="complaint" if name == "spam-reports" else "unsubscribe",
        )
    return made


def shown(client: Client, name: str, **params: Any) -> Any:
    answer = client.get(f"/{name}/counts/", params)
    assert answer.status_code == 200
    return answer


def found(client: Client, name: str, **params: Any) -> counting.Counted:
    return shown(client, name, **params).context["found"]


def shares(them: list[counting.Share]) -> dict[str, int]:
    return {one.name: one.count for one in them}


@pytest.mark.parametrize("name", PAGES)
def test_what_came_is_counted_by_day_sender_and_receiver(viewer: Client, name: str) -> None:
    for number, days in enumerate([0, 0, 2]):
        came(name, f"ann{number}@gmail.com", days=days)
    came(name, "bob@outlook.com", sender="shop@shop.example.com")
    came(name, "old@gmail.com", days=9)
    counts = found(viewer, name)
    assert counts.total == 4
    assert [count for _day, count in counts.days] == [0, 0, 0, 0, 1, 0, 3]
    assert counts.days[-1][0] == NOW.date()
    assert shares(counts.sender_domains) == {"news.example.com": 3, "shop.example.com": 1}
    assert shares(counts.receiving_domains) == {"gmail.com": 3, "outlook.com": 1}


@pytest.mark.parametrize("name", PAGES)
def test_filters_narrow_what_is_counted(viewer: Client, name: str) -> None:
    first = came(name, "ann@gmail.com")
    other = came(name, "bob@outlook.com", sender="shop@shop.example.com", api_user=ApiUser.console("batch"))
    for params in (
        {"sender_domain": other.sender_domain_id},
        {"receiving_domain": "@Outlook.com"},
        {"api_user": other.api_user_id},
    ):
        counts = found(viewer, name, **params)
        assert (counts.total, shares(counts.receiving_domains)) == (1, {"outlook.com": 1})
    assert found(viewer, name, receiving_domain="nobody.example").total == 0
    assert found(viewer, name, sender_domain=first.sender_domain_id, api_user=other.api_user_id).total == 0


@pytest.mark.parametrize("name", PAGES)
def test_a_domain_leads_to_its_own_figures(viewer: Client, name: str) -> None:
    came(name, "ann@gmail.com")
    came(name, "bob@outlook.com")
    urls = {line[0]: line[1] for part in shown(viewer, name).context["parts"] for line in part.lines}
    assert viewer.get(urls["gmail.com"]).context["found"].total == 1
    assert viewer.get(urls["news.example.com"]).context["found"].total == 2


@pytest.mark.parametrize("name", PAGES)
def test_thirty_days_at_most_and_nothing_breaks_on_nonsense(viewer: Client, name: str) -> None:
    assert "31 days" in shown(viewer, name, **{"from": "2026-10-01", "to": "2026-10-31"}).content.decode()
    for value in ("x", "\x00", "' OR 1=1 --", "9" * 30):
        shown(viewer, name, sender_domain=value, receiving_domain=value, api_user=value, to=value)
    assert "Nothing came back here" in shown(viewer, name).content.decode()


def test_days_are_those_of_the_accounts_zone(viewer: Client) -> None:
    Account.objects.update_or_create(pk=1, defaults={"time_zone": "Asia/Tokyo"})
    noon = NOW.astimezone(dt.UTC).replace(hour=16, minute=0) - dt.timedelta(days=2)  # the day after, in Tokyo
    came("spam-reports", "ann@gmail.com", days=(NOW - noon) / dt.timedelta(days=1))
    days = dict(found(viewer, "spam-reports").days)
    assert days[noon.date() + dt.timedelta(days=1)] == 1


def test_an_unsubscription_that_was_taken_back_or_deleted_counts_still(viewer: Client) -> None:
    made = message("ann@gmail.com")
    unsubscribing.unsubscribe(made.pk, Visitor(), now=NOW, reason="spam")
    unsubscribing.take_back(made.pk, Visitor(), now=NOW)
    Entry.objects.all().delete()
    for name in ("unsubscriptions", "spam-reports"):
        counts = found(viewer, name)
        assert (counts.total, shares(counts.sender_domains)) == (1, {"news.example.com": 1})


def test_what_was_put_on_the_list_by_hand_has_no_sender_domain(viewer: Client) -> None:
    Entry.objects.create(list="bounce", key="x@nowhere.example", created_at=NOW, latest_at=NOW)
    answer = shown(viewer, "bounced")
    assert answer.context["found"].total == 1
    assert "Not known" in answer.content.decode()


def test_more_domains_than_can_be_named_are_added_up(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "NAMED", 2)
    for number in range(4):
        came("spam-reports", f"ann@d{number}.example")
    answer = shown(viewer, "spam-reports")
    lines = {name: count for name, _url, count, _parts in answer.context["parts"][1].lines}
    assert lines == {"d0.example": 1, "d1.example": 1, "All others": 2}


def test_of_too_many_the_latest_are_counted_and_the_page_says_so(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST", 2)
    for days in (0, 1, 2):
        came("spam-reports", "ann@gmail.com", days=days)
    answer = shown(viewer, "spam-reports")
    assert [count for _day, count in answer.context["found"].days][-3:] == [0, 1, 1]
    assert "There were more than 2" in answer.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_the_number_of_queries_does_not_grow(viewer: Client, name: str) -> None:
    shown(viewer, name)
    counts = []
    for size in (2, 6):
        for number in range(size):
            came(name, f"p{size}@d{size}x{number}.example", sender=f"a@s{number}.example.com")
        with CaptureQueriesContext(connection) as queries:
            shown(viewer, name)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_events_are_found_by_an_index_that_leaves_opens_and_clicks_alone(db: None) -> None:
    window = Window.days(30, Account.current().zone, NOW)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = counting.events(window, Event.Kind.COMPLAINT).explain()
    assert "kind_id_idx" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("name", PAGES)
def test_the_list_leads_to_its_counts(viewer: Client, name: str) -> None:
    assert f'href="/{name}/counts/"' in viewer.get(f"/{name}/").content.decode()


def test_an_address_of_a_list_leads_to_its_page(viewer: Client) -> None:
    came("bounced", "ann+x@gmail.com")
    assert 'href="/contact/?address=ann%2Bx%40gmail.com"' in viewer.get("/bounced/").content.decode()
