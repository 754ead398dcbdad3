"""Email status: every filter, the 30-day cap, and what its rows show."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from console.models import ApiUser
from delivery.models import Message, SenderDomain, Waiting
from delivery.pages.email_status import MessageFilter
from delivery.services.tasks import create_task
from tests.factories.delivery import DomainFactory
from tests.factories.sending import message, new_task, template

pytestmark = pytest.mark.django_db
URL = "/email-status/"


def shown(client: Client, **params: Any) -> set[str]:
    """The recipients on the page."""
    answer = client.get(URL, params)
    assert answer.status_code == 200
    return {row.recipient for row in answer.context["table"].data}


def filtered_message(name: str) -> tuple[Message, Any]:
    """A message that differs from all others in this filter, and the filter's value."""
    if name == "sender":
        return message("x@example.org", sender="other@news.example.com"), "Other@News.example.com"
    if name == "sender_domain":
        domain = DomainFactory(name="shop.example.com", verified=True)
        return message("x@example.org", sender_domain=domain), domain.pk
    if name == "receiving_domain":
        return message("x@example.jp"), "Example.JP"
    if name == "api_user":
        user = ApiUser.objects.create(name="crm", type="trigger")
        return message("x@example.org", api_user=user), user.pk
    if name == "type":
        return message("x@example.org", api_user=ApiUser.console("batch")), "batch"
    if name == "label":
        return message("x@example.org", label="linen week"), "linen week"
    if name == "template":
        other = template("<p>Other {{name}}</p>")
        return message("x@example.org", version=other.current), other.pk
    if name == "task":
        task = create_task(new_task())
        return message("x@example.org", task=task), task.pk
    if name == "status":
        return message("x@example.org", status="invalid", reason="spam"), "invalid"
    if name == "reason":
        return message("x@example.org", status="soft_bounce", reason="spam"), "spam"
    return message("xavier@example.org"), "XAV"


FILTERS = [
    "recipient",
    "sender",
    "sender_domain",
    "receiving_domain",
    "api_user",
    "type",
    "label",
    "template",
    "task",
    "status",
    "reason",
]


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_finds_its_own_and_nothing_else(name: str, viewer: Client) -> None:
    message("ann@example.org", label="other")
    wanted, value = filtered_message(name)
    assert shown(viewer) == {"ann@example.org", wanted.recipient}
    assert shown(viewer, **{name: value}) == {wanted.recipient}


def test_the_filters_are_those_of_the_page() -> None:
    assert set(MessageFilter.base_filters) == set(FILTERS)


def test_several_statuses_are_any_of_them(viewer: Client) -> None:
    message("a@example.org", status="invalid", reason="spam")
    message("b@example.org", status="held", held_by="account")
    message("c@example.org")
    assert shown(viewer, status=["invalid", "held"]) == {"a@example.org", "b@example.org"}


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ann@example.org", {"Ann@example.org"}),
        ("ANN", {"Ann@example.org", "anna@example.org"}),
        ("nn", set()),
        ("an%", set()),
        ("a_n", {"a_n@example.org"}),
        ("ülk", {"Ülkü@example.org"}),
    ],
)
def test_a_recipient_is_found_by_the_whole_or_the_first_part(typed: str, found: set[str], viewer: Client) -> None:
    for address in ("Ann@example.org", "anna@example.org", "a_n@example.org", "Ülkü@example.org"):
        message(address)
    assert shown(viewer, recipient=typed) == found


def test_a_recipient_is_looked_up_in_the_index(db: None) -> None:
    found = MessageFilter({"recipient": "Ann@ex"}, queryset=Message.objects.all()).qs
    with connection.cursor() as cursor:
        # As on a large table, where reading all of it costs more.
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = found.order_by().explain()
    assert "~>=~ 'ann@ex'" in next(line for line in plan.split("\n") if "Index Cond" in line)


@pytest.mark.parametrize(("days", "ok"), [(30, True), (31, False)])
def test_thirty_days_are_shown_and_thirty_one_refused(days: int, ok: bool, viewer: Client) -> None:
    message("ann@example.org")
    today = timezone.localdate()
    first = today - dt.timedelta(days=days - 1)
    answer = viewer.get(URL, {"from": first.isoformat(), "to": today.isoformat()})
    rows = answer.context["table"].data
    assert len(rows) == (1 if ok else 0)
    assert ("31 days" in answer.content.decode()) is not ok


def test_only_the_period_is_shown_newest_first(viewer: Client) -> None:
    now = timezone.now()
    message("old@example.org", at=now - dt.timedelta(days=20))
    message("b@example.org", at=now - dt.timedelta(hours=2))
    message("a@example.org", at=now - dt.timedelta(hours=1))
    answer = viewer.get(URL)
    assert [row.recipient for row in answer.context["table"].data] == ["a@example.org", "b@example.org"]
    month = (now - dt.timedelta(days=25)).date().isoformat()
    assert shown(viewer, **{"from": month, "to": now.date().isoformat()}) >= {"old@example.org"}


def test_a_deferred_message_says_until_when(viewer: Client) -> None:
    made = message("ann@example.org", status="sending", attempts=1)
    due = timezone.now() + dt.timedelta(minutes=15)
    Waiting.objects.create(message_id=made.pk, limit_group_id=1, queue_id=1, priority=0, state=1, due=due, attempts=1)
    page = viewer.get(URL).content.decode()
    assert "Deferred" in page
    assert f"{timezone.localtime(due, ZoneInfo('UTC')):%H:%M}" in page


def test_a_row_stays_when_what_it_points_at_is_gone(viewer: Client) -> None:
    user = ApiUser.objects.create(name="gone", type="batch")
    made = message("ann@example.org", api_user=user, version_id=999_999, task_id=999_999)
    SenderDomain.objects.all().delete()
    user.delete()
    assert shown(viewer) == {"ann@example.org"}
    assert viewer.get(f"{URL}{made.pk}/").status_code == 200


@pytest.mark.parametrize(
    "wrong", [{"status": "nonsense"}, {"task": "x"}, {"task": str(10**30)}, {"sender_domain": "x"}]
)
def test_a_filter_that_cannot_be_read_is_told_beside_it(wrong: dict[str, str], viewer: Client) -> None:
    answer = viewer.get(URL, wrong)
    assert answer.status_code == 200
    assert "invalid-feedback" in answer.content.decode()
