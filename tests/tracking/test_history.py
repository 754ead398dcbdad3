"""A made-up past is like a real one, only longer; and with it at hand: lists read their own months by their indexes."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum
from django.forms import DateField, ModelChoiceField
from django.http import QueryDict
from django.utils import timezone

from console import ids, partitions
from console.lists import ListPage, lists
from console.models import ApiUser
from console.window import Window
from delivery.models import Attempt, Message, Task, TaskCount
from tests.factories.sending import message
from tracking import history
from tracking.models import Event
from tracking.pages.contact import HISTORY

MESSAGES, MONTHS = 3000, 4
NOW = timezone.now()
ZONE = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def past(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """3,000 messages over four months, taken away afterwards."""
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)
        call_command("make_history", messages=MESSAGES, months=MONTHS, stdout=StringIO())
        yield
        call_command("flush", interactive=False, verbosity=0)


@pytest.mark.django_db
def test_messages_have_their_attempts_events_and_tasks(past: None) -> None:
    assert Message.objects.count() == MESSAGES
    assert Message.objects.aggregate(tries=Sum("attempts"))["tries"] == Attempt.objects.count()
    assert 1.2 < Attempt.objects.count() / MESSAGES < 1.4
    assert 1.5 < Event.objects.count() / MESSAGES < 2.0
    months = Counter(f"{ids.time_of(pk):%Y%m}" for pk in Message.objects.values_list("pk", flat=True))
    assert sorted(months) == [f"{partitions.month_start(NOW, offset):%Y%m}" for offset in range(1 - MONTHS, 1)]
    assert {"delivered", "soft_bounce", "invalid"} <= set(Message.objects.values_list("status", flat=True))
    of_tasks = Message.objects.filter(task__isnull=False)
    assert TaskCount.objects.aggregate(all=Sum("count"))["all"] == of_tasks.count()
    assert Task.objects.aggregate(all=Sum("requested"))["all"] == of_tasks.count()
    assert set(Event.objects.values_list("message_id", flat=True)) <= set(Message.objects.values_list("pk", flat=True))
    assert not Event.objects.filter(id__gte=ids.id_at(timezone.now())).exists()
    assert set(Message.objects.values_list("api_user__name", flat=True)) == set(history.USERS.values())


@pytest.mark.django_db
def test_beside_real_mail_it_is_refused() -> None:
    ApiUser.console(ApiUser.Type.TRIGGER)
    message(at=NOW)
    before = Message.objects.count()
    with pytest.raises(CommandError, match="really sent"):
        call_command("make_history", messages=10, months=1)
    assert Message.objects.count() == before


# --- what lists read


def values(page: ListPage) -> Iterator[dict[str, str]]:
    """Nothing, and each filter of the list alone with a value that there is, and two that are used together."""
    yield {}
    typed = {
        "recipient": "reader1",
        "sender": "hello@news0.history.test",
        "receiving_domain": "d0.history.test",
        "label": "campaign-00",
        "task": str(Task.objects.values_list("pk", flat=True)[0]),
        "message": "1",
    }
    form = page.filters(data=QueryDict(), queryset=Message.objects.none()).form
    for name, field in form.fields.items():
        if isinstance(field, ModelChoiceField):
            assert field.queryset is not None
            first = field.queryset.values_list("pk", flat=True).first()
            found = None if first is None else str(first)
        else:
            choices = [str(value) for value, _word in getattr(field, "choices", ()) if value]
            other = f"{NOW:%Y-%m-%d}" if isinstance(field, DateField) else "x"
            found = choices[0] if choices else typed.get(name, other)
        if found is not None:
            yield {name: found}
            if "status" in form.fields and name != "status":
                yield {name: found, "status": "delivered"}


WINDOWED = sorted(name for name, page in lists().items() if page.window)


@pytest.mark.django_db
@pytest.mark.parametrize("name", WINDOWED)
def test_a_list_with_a_period_reads_no_other_months(past: None, name: str) -> None:
    # Two days in the middle of a month, and the turn of two.
    inside, turn = partitions.month_start(NOW, -2) + dt.timedelta(days=10), partitions.month_start(NOW, -1)
    for first, last, months in (
        (inside, inside + dt.timedelta(days=1), {f"{inside:%Y%m}"}),
        (turn - dt.timedelta(days=2), turn + dt.timedelta(days=2), {f"{inside:%Y%m}", f"{turn:%Y%m}"}),
    ):
        period = {"from": f"{first:%Y-%m-%d}", "to": f"{last:%Y-%m-%d}"}
        for chosen in values(lists()[name]):
            params = QueryDict(mutable=True)
            params.update({**period, **chosen})
            listing = lists()[name].resolve(params, ZONE, NOW)
            assert listing.valid, (chosen, listing.filterset.form.errors)
            counted = listing.queryset.order_by().values("pk")
            for rows in (listing.ordered()[:21], counted):
                plan = rows.explain()
                # What is looked up in other tables for a row's cells is by its key.
                found = re.findall(rf" on {rows.model._meta.db_table}_(\d{{6}})\b", plan)
                assert set(found) <= months, f"{chosen}\n{plan}"
                if hasattr(rows.model, "partition_by"):
                    # Of what nothing can match, nothing is asked.
                    assert found or not plan, plan


def test_there_are_lists_with_a_period() -> None:
    assert "messages" in WINDOWED


@pytest.mark.django_db
def test_the_page_of_an_address_asks_one_index_of_each_month(past: None) -> None:
    reader = Message.objects.values_list("recipient", flat=True)[0]
    params = QueryDict(mutable=True)
    params["address"] = reader
    listing = HISTORY.resolve(params, ZONE, NOW)
    assert listing.valid
    assert listing.queryset.count() > 1
    with connection.cursor() as cursor:
        # So few rows would be read whole.
        cursor.execute("SET LOCAL enable_seqscan = off")
    for rows in (listing.ordered()[:21], listing.queryset.order_by().values("pk")):
        plan = rows.explain()
        asked = re.findall(r"Scan .*?on (delivery_message_\d+) ", plan)
        assert len(set(asked)) >= MONTHS
        assert len(asked) == len(set(asked)), plan
        assert plan.count("Index Cond: (lower(recipient) = ") == len(asked), plan


@pytest.mark.django_db
def test_of_a_window_within_a_month_only_that_month_is_read_whatever_the_zone(past: None) -> None:
    window = Window.parse({"from": f"{NOW:%Y-%m}-01", "to": f"{NOW:%Y-%m}-02"}, ZONE, NOW)
    # The first hours of the month in Berlin are the last of the one before in UTC.
    plan = window.limit(Message.objects.all()).explain()
    assert f"delivery_message_{NOW:%Y%m}" in plan
    assert f"delivery_message_{partitions.month_start(NOW, -1):%Y%m}" in plan
