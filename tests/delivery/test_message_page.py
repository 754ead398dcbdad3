"""One message: its timeline with the replies verbatim, our reading of it, and the mail as it was sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.test import Client

from delivery import timeline
from delivery.models import Message
from delivery.neutral import neutralised
from delivery.timeline import Entry
from tests.factories.sending import attempt, message, template

pytestmark = pytest.mark.django_db


def page(client: Client, made: Message, view: str = "") -> str:
    answer = client.get(f"/email-status/{made.pk}/{view}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_each_attempt_shows_the_replies_and_marks_the_one_that_decided(viewer: Client) -> None:
    made = message(status="invalid", reason="not_exist", attempts=2, last_reply="550 5.1.1 <ann> unknown")
    attempt(made, 1, outcome="deferred", phase="connect", code=0, reply="timed out", conversation=[])
    attempt(
        made,
        2,
        outcome="refused",
        reason="not_exist",
        phase="rcpt",
        code=550,
        reply="550 5.1.1 <ann> unknown",
        conversation=[["mail", "250 fine"], ["rcpt", "550 5.1.1 <ann> unknown"], ["data", "503 no recipients"]],
    )
    html = page(viewer, made)
    assert '<dd class="is-last">550 5.1.1 &lt;ann&gt; unknown</dd>' in html
    assert '<dd class="is-last">timed out</dd>' in html
    assert "<dd>503 no recipients</dd>" in html
    assert "Attempt 2: refused, not exist" in html
    assert "Refused for good: the mailbox or its domain does not exist." in html
    assert str(made.pk) in html


def test_a_deferred_attempt_says_for_how_long(viewer: Client) -> None:
    made = message(status="sending", attempts=1)
    at = made.requested_at
    attempt(made, 1, outcome="deferred", at=at, next_at=at + dt.timedelta(minutes=5, seconds=0.4), code=451)
    assert "Attempt 1: put off for 5 min" in page(viewer, made)


@pytest.mark.parametrize(
    ("status", "words"), [("held", "put off<"), ("soft_bounce", "put off until the retry window ended")]
)
def test_only_what_was_given_up_is_said_to_have_reached_the_end_of_its_window(
    viewer: Client, status: str, words: str
) -> None:
    made = message(status=status, attempts=1, held_by="task_paused" if status == "held" else "")
    attempt(made, 1, outcome="deferred", code=451)
    assert f"Attempt 1: {words}" in page(viewer, made)


@pytest.mark.parametrize(
    ("status", "reason", "held_by", "words"),
    [
        ("held", "", "account", "Held: sending stopped for the account."),
        ("held", "", "task_paused", "It goes on when the task is resumed."),
        ("invalid", "unsubscribe", "", "this person has unsubscribed"),
        ("invalid", "blacklist", "", "on a suppression list"),
        ("cancelled", "", "", "its task was stopped"),
        ("control_group", "", "", "Held out on purpose"),
    ],
)
def test_what_was_not_tried_says_why(status: str, reason: str, held_by: str, words: str, viewer: Client) -> None:
    made = message(status=status, reason=reason, held_by=held_by)
    assert words in page(viewer, made)


def test_who_unsubscribed_between_two_attempts_is_told_apart(viewer: Client) -> None:
    made = message(status="invalid", reason="unsubscribe", attempts=1, last_reply="unsubscribe")
    attempt(made, 1, outcome="deferred", code=451)
    assert "Not tried again: this person has unsubscribed." in page(viewer, made)


def test_other_floors_add_to_the_timeline_in_order_of_time(viewer: Client, own_sources: None) -> None:
    made = message(attempts=1)
    attempt(made, 1)

    def opened(of: Message) -> Iterable[Entry]:
        yield Entry(of.requested_at + dt.timedelta(seconds=1), "Something between", "ok", "eye")

    timeline.timeline_sources.append(opened)
    html = page(viewer, made)
    assert html.index("Requested</div>") < html.index("Something between") < html.index("Attempt 1")


@pytest.fixture
def own_sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(timeline, "timeline_sources", list(timeline.timeline_sources))
    yield


def test_the_mail_is_shown_in_a_frame_of_its_own_where_nothing_loads(viewer: Client) -> None:
    source = (
        '<p>Hello {{name}}</p><img src="https://track.example/x.gif" alt="Linen"><a href="https://shop.example/">Go</a>'
    )
    made = message(version=template(source).current, variables={"name": "<b>Ann</b>"})
    assert f'src="/email-status/{made.pk}/mail/frame/" sandbox' in page(viewer, made, "mail/")
    answer = viewer.get(f"/email-status/{made.pk}/mail/frame/")
    html = answer.content.decode()
    assert "sandbox" in answer["Content-Security-Policy"]
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "Hello &lt;b&gt;Ann&lt;/b&gt;" in html
    assert "track.example" not in html
    assert 'href="http' not in html


def test_the_source_is_the_mail_but_for_its_signature(viewer: Client) -> None:
    made = message(subject="Grüße, Ann", variables={"name": "Ann"})
    html = page(viewer, made, "source/")
    assert f"Message-ID: &lt;{made.pk}@news.example.com&gt;" in html
    assert "Hello Ann" in html
    assert "The DKIM signature is made when the mail is sent" in html


def test_plain_text_is_shown_as_it_is(viewer: Client) -> None:
    made = message(variables={"name": "<i>Ann</i>"})
    assert "Hello &lt;i&gt;Ann&lt;/i&gt;" in page(viewer, made, "mail/?as=text")


def test_a_mail_that_cannot_be_made_again_says_so(viewer: Client) -> None:
    made = message(version_id=999_999)
    for view in ("mail/", "source/"):
        assert "The mail can't be shown" in page(viewer, made, view)
    assert page(viewer, made, "mail/frame/") == ""


@pytest.mark.parametrize("key", ["1", "9" * 18, "9" * 30])
def test_an_id_that_is_none_is_not_found(key: str, viewer: Client) -> None:
    assert viewer.get(f"/email-status/{key}/").status_code == 404


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://x.example" target=_blank ping="https://x.example">x</a>',
        '<a href="javascript:alert(1)">x</a>',
        '<img src="https://x.example" srcset="https://x.example 2x">',
        '<table background="https://x.example"><tr><td>x</table>',
        '<form action="https://x.example"><button formaction="https://x.example">x</button></form>',
        '<meta http-equiv="refresh" content="0;url=https://x.example"><base href="https://x.example">',
        '<script src="https://x.example"></script><iframe src="https://x.example"></iframe>',
        '<svg><a xlink:href="https://x.example">x</a><image href="https://x.example"/></svg>',
        '<video poster="https://x.example" src="https://x.example"></video>',
        '<body onload="fetch(1)"><p>x</p>',
    ],
)
def test_nothing_leads_or_loads_anywhere(html: str) -> None:
    made = neutralised(html)
    for attribute in ("src=", "srcset=", "background=", "action=", "xlink", "onload", "poster=", "ping=", "target="):
        assert attribute not in made
    for tag in ("<script", "<iframe", "<meta", "<base"):
        assert tag not in made
    assert 'href="http' not in made
    assert 'href="java' not in made


def test_pictures_within_the_mail_stay() -> None:
    assert 'src="data:image/gif;base64,R0"' in neutralised('<img src="data:image/gif;base64,R0">')


@pytest.mark.parametrize(
    ("to", "whole_world", "explained"),
    [("ann@gmail.com", True, True), ("ann@gmail.com", False, False), ("ann@nullmx.test", True, False)],
)
def test_it_says_that_no_mail_leaves_an_installation_whose_world_is_the_simulator(
    to: str, whole_world: bool, explained: bool, viewer: Client, settings: Any
) -> None:
    settings.SIMULATED_WORLD = whole_world
    made = message(to, status="sending", attempts=1)
    attempt(
        made, 1, outcome="deferred", reason="not_exist", phase="dns", code=0, reply="No such domain", conversation=[]
    )
    html = page(viewer, made)
    assert ("gmail.com is not known to the simulator" in html) is explained
    assert ('href="/simulator/"' in html.partition('id="story"')[2]) is explained
    assert "It is tried again" in html
