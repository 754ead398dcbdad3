"""The page of opens and clicks: each with who and what it was, filtered, counted, and shown with the message."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from console import ids
from console.window import Window
from delivery.models import Message
from tests.factories.sending import message
from tests.tracking.test_automatic import BROWSER, GMAIL_PROXY
from tracking import counting, of_messages, recording
from tracking.hits import Hit
from tracking.models import Event
from tracking.pages.opens_and_clicks import HitFilter

NOW = timezone.now()


def came(of: Message, link: str = "", agent: str = BROWSER, *, days: float = 0) -> None:
    id = ids.new_id() - (round(days * 86_400_000) << ids.SHIFT)
    recording.write([Hit(id, of.pk, "click" if link else "open", link, "192.0.2.9", agent)])


@pytest.fixture
def hits(db: None) -> dict[str, Message]:
    ann = message("ann@gmail.com", sent_at=NOW - dt.timedelta(days=20))
    shop = {"sender": "shop@shop.example.com", "label": "spring", "task_id": 7}
    bob = message("bob@outlook.com", sent_at=NOW - dt.timedelta(days=3), **shop)
    came(ann, agent=GMAIL_PROXY)
    came(ann, "https://shop.example/a?b=c", days=1)
    came(bob, "https://other.example/", agent="curl/8.4.0", days=2)
    return {"ann": ann, "bob": bob}


def listed(client: Client, **params: Any) -> list[tuple[str, str]]:
    answer = client.get("/opens-and-clicks/", params)
    assert answer.status_code == 200
    return [(row.record.recipient, row.record.kind) for row in answer.context["table"].rows]


def test_each_hit_stands_there_newest_first(viewer: Client, hits: Any) -> None:
    assert listed(viewer) == [("ann@gmail.com", "open"), ("ann@gmail.com", "click"), ("bob@outlook.com", "click")]
    text = viewer.get("/opens-and-clicks/").content.decode()
    for shown in ("Gmail (image proxy)", "https://shop.example/a?b=c", "192.0.2.9", "automatic"):
        assert shown in text
    assert f'href="/email-status/{hits["ann"].pk}/"' in text


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"recipient": "ann@gmail.com"}, 2),
        ({"recipient": "BOB"}, 1),
        ({"recipient": "nobody@example.com"}, 0),
        ({"kind": "click"}, 2),
        ({"automatic": "no"}, 2),
        ({"automatic": "yes"}, 1),
        ({"link": "https://shop.example/"}, 1),
        ({"link": "https://shop.example/b"}, 0),
        ({"receiving_domain": "@Gmail.com"}, 2),
        ({"receiving_domain": "nowhere.example"}, 0),
        ({"sender": "shop@shop.example.com"}, 1),
        ({"type": "trigger"}, 3),
        ({"type": "batch"}, 0),
        ({"label": "spring"}, 1),
        ({"label": "Spring"}, 0),
        ({"task": "7"}, 1),
        ({"sent_from": f"{NOW - dt.timedelta(days=5):%Y-%m-%d}"}, 1),
        ({"sent_to": f"{NOW - dt.timedelta(days=5):%Y-%m-%d}"}, 2),
        ({"kind": "open", "automatic": "yes"}, 0),
    ],
)
def test_filters_narrow_the_list_and_the_counts_alike(
    viewer: Client, hits: Any, params: dict[str, str], found: int
) -> None:
    assert len(listed(viewer, **params)) == found
    assert viewer.get("/opens-and-clicks/counts/", params).context["found"].total == found


@pytest.mark.parametrize("most_events", [of_messages.MOST_EVENTS, 0])
def test_what_many_messages_share_is_found_as_well(
    hits: Any, monkeypatch: pytest.MonkeyPatch, most_events: int
) -> None:
    monkeypatch.setattr(of_messages, "MOST_MESSAGES", 0)
    monkeypatch.setattr(of_messages, "MOST_EVENTS", most_events)
    ann = hits["ann"]

    def found(**params: str) -> int:
        asked = HitFilter(QueryDict(urlencode(params)), queryset=counting.hits(Window.days(7, ZoneInfo("UTC"), NOW)))
        assert asked.is_valid()
        return int(asked.qs.count())

    assert found(recipient="ann") == 2
    assert (found(label="spring"), found(label="autumn"), found(task="7")) == (1, 0, 1)
    assert (found(type="trigger"), found(type="trigger", kind="click")) == (3, 2)
    assert found(api_user=str(ann.api_user_id)) == 3
    assert found(template=str(ann.version.template_id)) == 2


def test_people_and_machines_are_counted_apart(viewer: Client, hits: Any) -> None:
    answer = viewer.get("/opens-and-clicks/counts/", {"sender_domain": hits["ann"].sender_domain_id})
    found = answer.context["found"]
    assert found.parts == (1, 1, 0)
    found = viewer.get("/opens-and-clicks/counts/").context["found"]
    assert found.parts == (1, 1, 1)
    assert {one.name: one.parts for one in found.sender_domains} == {
        "news.example.com": (1, 1, 0),
        "shop.example.com": (0, 0, 1),
    }
    assert [parts for parts in found.day_parts if any(parts)] == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]


def test_email_status_says_who_opened(viewer: Client) -> None:
    read, scanned = message("ann@gmail.com"), message("bob@gmail.com")
    came(read)
    came(scanned, agent="curl/8.4.0")
    text = viewer.get("/email-status/").content.decode()
    assert text.count("opened (automatic)") == 1
    assert viewer.get("/email-status/", {"recipient": "ann"}).content.decode().count("opened (automatic)") == 0
    assert "Automatic:" in viewer.get(f"/email-status/{scanned.pk}/").content.decode()
    assert "Automatic:" not in viewer.get(f"/email-status/{read.pk}/").content.decode()


def test_the_timeline_tells_machines_from_people(viewer: Client) -> None:
    made = message("ann@gmail.com")
    came(made, agent="curl/8.4.0")
    came(made, "https://shop.example/", agent=BROWSER)
    text = viewer.get(f"/email-status/{made.pk}/").content.decode()
    assert "Opened by a machine" in text
    assert "a program, not a browser" in text
    assert "Firefox on Linux" in text
    assert Event.objects.count() == 2
