"""One address's page: all its mail, what it did, what keeps mail from it, and taking that away."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.models import ApiUser
from console.partitions import ensure
from delivery.models import Message, Reason, Status
from suppression import services as suppression
from suppression.address import parse
from suppression.models import Change, Entry
from tests.factories.sending import message
from tracking import complaints, contacts
from tracking.models import Event

ANN = "ann@example.org"
NOW = timezone.now()


def page(client: Client, address: str = ANN, **params: Any) -> Any:
    answer = client.get("/contact/", {"address": address, **params})
    assert answer.status_code == 200
    return answer


def text(client: Client, address: str = ANN) -> str:
    return page(client, address).content.decode()


def put(name: str, key: str = ANN, **fields: Any) -> Entry:
    return Entry.objects.create(list=name, key=key, **{"created_at": NOW, "latest_at": NOW, **fields})


# --- finding


def test_without_an_address_it_asks_for_one(viewer: Client) -> None:
    assert "Enter a whole address" in viewer.get("/contact/", {"address": ""}).content.decode()
    plain = viewer.get("/contact/").content.decode()
    assert 'name="address"' in plain
    assert "is-invalid" not in plain


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ann", "There is no @"),
        ("@example.org", "Nothing stands before the @"),
        ("a b@example.org", "space"),
        ("%", "There is no @"),
        ("x" * 500, "at most"),
    ],
)
def test_a_wrong_address_says_what_to_enter(viewer: Client, typed: str, said: str) -> None:
    answer = viewer.get("/contact/", {"address": typed})
    assert answer.status_code == 200
    assert said in answer.content.decode()


def test_the_search_of_the_top_bar_leads_there(viewer: Client) -> None:
    assert viewer.get("/search/", {"q": " Ann@Example.ORG "})["Location"] == "/contact/?address=Ann%40example.org"


def test_a_messages_page_leads_there(viewer: Client) -> None:
    made = message("ann+new@example.org")
    assert "/contact/?address=ann%2Bnew%40example.org" in viewer.get(f"/email-status/{made.pk}/").content.decode()


# --- history


def test_all_mail_of_the_address_is_listed_newest_first_however_it_was_spelt(viewer: Client) -> None:
    ensure(NOW, months_back=3)
    old = message("ANN@example.org", at=NOW - dt.timedelta(days=80))
    new = message("ann@example.org")
    message("joann@example.org")
    message("ann@example.com")
    answer = page(viewer, "Ann@EXAMPLE.org")
    assert [row.record.pk for row in answer.context["table"].rows] == [new.pk, old.pk]
    assert answer.context["figures"].messages == 2


def test_a_greek_address_is_found_in_either_small_sigma(viewer: Client) -> None:
    first, second = message("νικος@example.org"), message("ΝΙΚΟΣ@example.org")
    for typed in ("νικος@example.org", "ΝΙΚΟΣ@example.org", "νικοσ@example.org"):
        assert {row.record.pk for row in page(viewer, typed).context["table"].rows} == {first.pk, second.pk}


def test_the_history_has_pages(viewer: Client) -> None:
    for _ in range(12):
        message(ANN)
    second = page(viewer, size="10", page="2")
    assert len(second.context["table"].rows) == 2
    assert "address=ann%40example.org" in second.context["pager"].previous


def test_an_address_that_was_never_mailed_has_a_page_all_the_same(viewer: Client) -> None:
    shown = text(viewer, "nobody@example.org")
    assert "Active" in shown
    assert "none yet" in shown


def test_figures_are_counted(viewer: Client) -> None:
    made = message(ANN, opened_at=NOW, clicked_at=NOW)
    for source in ("page", "report"):
        complaints.complain(made, now=NOW, source=source, detail={})
    message(ANN, status=Status.INVALID, reason=Reason.NOT_EXIST)
    context = page(viewer).context
    figures = context["figures"]
    assert context["complaints"] == 1
    assert (figures.messages, figures.delivered, figures.opened, figures.clicked, figures.not_exist) == (2, 1, 1, 1, 1)


def test_what_the_address_did_stands_there_newest_first_with_its_message(viewer: Client) -> None:
    made, other = message(ANN, subject="Shoes"), message("bob@example.org", subject="Hats")
    for kind in ("open", "click", "complaint"):
        Event.objects.create(message_id=made.pk, kind=kind, ip="203.0.113.9")
    Event.objects.create(message_id=other.pk, kind="open")
    events = page(viewer).context["events"]
    assert [entry.title for entry, _pk, _subject in events] == ["Reported as spam", "Clicked", "Opened"]
    assert {(pk, subject) for _entry, pk, subject in events} == {(made.pk, "Shoes")}


def test_of_very_many_events_the_newest_are_shown(viewer: Client) -> None:
    made = message(ANN)
    Event.objects.bulk_create(Event(message_id=made.pk, kind="open") for _ in range(contacts.MAX_EVENTS + 5))
    answer = page(viewer)
    assert len(answer.context["events"]) == contacts.MAX_EVENTS
    assert "of the newest messages" in answer.content.decode()


def test_the_number_of_queries_does_not_grow(viewer: Client) -> None:
    counts = []
    page(viewer)
    for _ in range(2):
        for number in range(6):
            made = message(ANN)
            Event.objects.create(message_id=made.pk, kind="open")
            user, _made = ApiUser.objects.get_or_create(name=f"shop-{number}-{len(counts)}", type="batch")
            suppression.unsubscribe(ANN, api_user_id=user.pk, now=NOW, message_id=made.pk)
        with CaptureQueriesContext(connection) as queries:
            page(viewer)
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 24


def test_the_history_is_read_by_the_index_of_the_recipient(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = contacts.newest(parse(ANN), 20).explain()
    assert "Seq Scan" not in plan
    assert "Index Cond: (lower(recipient) = " in plan


# --- what stops mail


def test_a_hard_bounce_strikes_the_address_through(viewer: Client) -> None:
    made = message(ANN, subject="Shoes")
    suppression.hard_bounces([suppression.HardBounce(ANN, False, made.pk, "550 5.1.1 No such user")], now=NOW)
    shown = text(viewer, "Ann@example.org")
    assert '<del class="ph-gone">' in shown
    assert "Deactivated" in shown
    assert "550 5.1.1 No such user" in shown
    assert f'href="/email-status/{made.pk}/">Shoes</a>' in shown


def test_each_list_says_what_stops_mail_or_that_the_address_is_not_on_it(viewer: Client) -> None:
    user = ApiUser.console("batch")
    suppression.unsubscribe(ANN, api_user_id=user.pk, now=NOW, reason="not_mine")
    put("block", "@example.org", reason="competitor")
    answer = page(viewer)
    shown = answer.content.decode()
    assert "This is not my subscription" in shown
    assert "console-batch" in shown
    assert "All of example.org" in shown
    assert shown.count("Not on it") == 2
    assert answer.context["on"] == 2


@pytest.mark.parametrize(
    ("fields", "badge"),
    [
        ({"expires_at": NOW - dt.timedelta(days=1)}, "Expired"),
        ({"intercepted": False, "expires_at": NOW + dt.timedelta(days=1)}, "Not intercepted"),
    ],
)
def test_what_is_over_or_let_through_is_shown_and_stops_nothing(viewer: Client, fields: Any, badge: str) -> None:
    put("bounce", **fields)
    shown = text(viewer)
    assert "<del" not in shown
    assert "Active" in shown
    assert badge in shown


def test_an_entry_whose_message_is_gone_is_no_error(viewer: Client) -> None:
    put("spam_report", message_id=message(ANN).pk)
    Message.objects.all().delete()
    assert "Deactivated" in text(viewer)


# --- unblocking


def unblock(client: Client, address: str = ANN) -> Any:
    """As a person does it: looks, then presses."""
    asked = client.get("/contact/unblock/", {"address": address})
    entries = [entry.pk for entry, _list, _reason in asked.context["entries"]]
    return client.post("/contact/unblock/", {"address": address, "entry": entries}, follow=True)


def test_an_operator_unblocks_after_being_told_what_is_taken_away(operator: Client) -> None:
    complaints.complain(message(ANN), now=NOW, source="report", detail={"feedback_type": "abuse"})
    put("bounce", reason="550 5.1.1 gone")
    put("block", "@example.org")
    put("bounce", "bob@example.org")
    asked = operator.get("/contact/unblock/", {"address": "ANN@example.org"}).content.decode()
    for said in (
        "Spam reports",
        "abuse",
        "550 5.1.1 gone",
        "has unsubscribed",
        "the next one counts",
        "stays",
    ):
        assert said in asked
    assert Entry.objects.count() == 4
    shown = unblock(operator).content.decode()
    assert "ann@example.org is taken off: 2 entries deleted." in shown
    assert set(Entry.objects.values_list("key", flat=True)) == {"@example.org", "bob@example.org"}


def test_who_did_it_is_written_down(operator: Client) -> None:
    put("bounce")
    unblock(operator)
    change = Change.objects.get()
    assert (change.action, change.made_by, change.count, change.what) == ("deleted", "operator", 1, ANN)


def test_what_came_to_a_list_since_it_was_shown_stays(operator: Client) -> None:
    shown = put("bounce")
    put("block")
    operator.post("/contact/unblock/", {"address": ANN, "entry": [shown.pk]})
    assert list(Entry.objects.values_list("list", flat=True)) == ["block"]


def test_another_addresss_entry_cannot_be_taken_away_from_here(operator: Client) -> None:
    other = put("bounce", "bob@example.org")
    operator.post("/contact/unblock/", {"address": ANN, "entry": [other.pk, "x", "9" * 40]})
    assert Entry.objects.filter(pk=other.pk).exists()
    assert not Change.objects.exists()


def test_a_viewer_sees_and_unblocks_nothing(viewer: Client) -> None:
    entry = put("bounce")
    assert "/contact/unblock/" not in text(viewer)
    assert viewer.get("/contact/unblock/", {"address": ANN}).status_code == 403
    assert viewer.post("/contact/unblock/", {"address": ANN, "entry": [entry.pk]}).status_code == 403
    assert Entry.objects.exists()


@pytest.mark.parametrize("address", ["", "nonsense", ANN])
def test_where_there_is_nothing_to_unblock_nothing_is_asked(operator: Client, address: str) -> None:
    answer = operator.get("/contact/unblock/", {"address": address})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/contact/")
