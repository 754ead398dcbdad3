"""The pages of scheduled and recurring tasks: making one, finding it in the list, its runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.models import Account
from delivery.models import PauseCause, Task
from delivery.services import schedules, tasks
from delivery.services.tasks import create_task, expand
from delivery.services.times import Times
from tests.delivery.test_task_pages import form
from tests.factories.sending import new_task

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def berlin() -> None:
    Account.current()
    Account.objects.update(time_zone="Europe/Berlin")


def soon(days: int = 2) -> dt.datetime:
    """09:00 by the clock in Berlin, so many days from now."""
    day = timezone.now().astimezone(Account.current().zone) + dt.timedelta(days=days)
    return dt.datetime.combine(day.date(), dt.time(9))


def weekly() -> Task:
    """A series with a run under way."""
    series = create_task(new_task(times=Times(type=Task.Type.RECURRING, starts=soon(), every_days=7)))
    schedules.keep(now=timezone.now() + dt.timedelta(days=3))
    expand(series.runs.get().pk, now=timezone.now())
    return Task.objects.get(pk=series.pk)


def sent(operator: Client, **changed: Any) -> Any:
    given = form(**changed)
    asked = operator.post("/tasks/new/", given)
    return asked, operator.post("/tasks/new/", {**given, "confirmed": "1"})


def test_a_recurring_task_is_made_as_it_was_asked_for(operator: Client) -> None:
    last = soon(30).date()
    asked, _answer = sent(
        operator,
        type="recurring",
        starts=f"{soon():%Y-%m-%dT%H:%M}",
        every_days="14",
        until=last.isoformat(),
        window_opens="08:00",
        window_closes="20:00",
    )
    html = asked.content.decode()
    assert "every 14 days" in html
    assert "08:00–20:00" in html
    task = Task.objects.get()
    assert (task.type, task.starts_on, task.start_time, task.every_days) == (
        "recurring",
        soon().date(),
        dt.time(9),
        14,
    )
    assert (task.until, str(task.window)) == (last, "08:00–20:00")
    assert task.next_run_at == soon().replace(tzinfo=Account.current().zone)


def test_a_scheduled_task_says_when_it_begins(operator: Client) -> None:
    _asked, answer = sent(operator, type="scheduled", starts=f"{soon():%Y-%m-%dT%H:%M}", every_days="7")
    task = Task.objects.get()
    assert (task.type, task.status, task.every_days) == ("scheduled", "waiting", None)
    assert "begins" in operator.get(answer.url, follow=True).content.decode()


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"type": "scheduled"}, "starts", "Enter when it begins"),
        ({"type": "scheduled", "starts": "tomorrow"}, "starts", "Enter a day and a time"),
        ({"type": "scheduled", "starts": "2001-01-01T09:00"}, "starts", "has passed"),
        ({"type": "scheduled", "starts": "2001-01-01T09:00+02:00"}, "starts", "Enter a day and a time"),
        ({"type": "recurring", "starts": "SOON"}, "every_days", "1 to 366"),
        ({"type": "recurring", "starts": "SOON", "every_days": "x"}, "every_days", "Enter 1 to 366"),
        (
            {"type": "recurring", "starts": "SOON", "every_days": "7", "until": "2001-01-01"},
            "until",
            "before the first",
        ),
        ({"type": "recurring", "starts": "SOON", "every_days": "7", "until": "soon"}, "until", "Enter a day"),
        ({"window_opens": "09:00"}, "window_closes", "both times"),
        ({"window_opens": "25:00", "window_closes": "9:00"}, "window_opens", "Enter a time"),
        ({"type": "never"}, "type", "valid choice"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_made(
    changed: dict[str, str], field: str, words: str, operator: Client
) -> None:
    given = {name: f"{soon():%Y-%m-%dT%H:%M}" if value == "SOON" else value for name, value in changed.items()}
    answer = operator.post("/tasks/new/", {**form(**given), "confirmed": "1"})
    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors[field])
    assert not Task.objects.exists()


def test_all_that_is_wrong_is_told_at_once(operator: Client) -> None:
    answer = operator.post("/tasks/new/", form(subject="", type="recurring", starts="2001-01-01T09:00"))
    assert set(answer.context["form"].errors) == {"subject", "starts"}


# --- the list


def listed(client: Client, **params: str) -> set[int]:
    return {task.pk for task in client.get("/tasks/", params).context["table"].data}


def test_the_list_shows_a_series_once_with_the_numbers_of_its_runs_and_what_comes_next(viewer: Client) -> None:
    series = weekly()
    answer = viewer.get("/tasks/")
    html = answer.content.decode()
    assert listed(viewer) == {series.pk}
    assert "every 7 days" in html
    assert "next run" in html
    row = answer.context["table"].data[0]
    assert (row.requests, row.run_status) == (3, "sending")


def test_the_list_filters_by_type_and_by_what_runs_are_doing(viewer: Client) -> None:
    series, batch = weekly(), create_task(new_task())
    later = create_task(new_task(times=Times(type=Task.Type.SCHEDULED, starts=soon())))
    assert listed(viewer, type="recurring") == {series.pk}
    assert listed(viewer, type="scheduled") == {later.pk}
    assert listed(viewer, type="batch") == {batch.pk}
    assert listed(viewer, status="sending") == {series.pk}
    assert listed(viewer, status="waiting") == {series.pk, batch.pk, later.pk}
    assert listed(viewer, status="under_way") == {series.pk, batch.pk, later.pk}
    assert listed(viewer, status="done") == set()


def test_the_overview_shows_runs_and_not_their_series(viewer: Client) -> None:
    series = weekly()
    shown = {task.pk for task in viewer.get("/").context["tasks"]}
    assert shown == {series.runs.get().pk}


# --- the page


def test_a_series_lists_its_runs_and_a_run_leads_back(viewer: Client) -> None:
    series = weekly()
    run = series.runs.get()
    html = viewer.get(f"/tasks/{series.pk}/").content.decode()
    assert f'href="/tasks/{run.pk}/"' in html
    assert "every 7 days" in html
    assert f'href="/tasks/{series.pk}/"' in viewer.get(f"/tasks/{run.pk}/").content.decode()


def test_stopping_a_series_says_that_a_run_under_way_goes_on(operator: Client) -> None:
    series = weekly()
    assert "A run under way goes on" in operator.get(f"/tasks/{series.pk}/stop/").content.decode()
    operator.post(f"/tasks/{series.pk}/stop/")
    series.refresh_from_db()
    assert (series.status, series.runs.get().status) == ("stopped", "sending")


def test_a_task_outside_its_window_says_so_and_when_it_goes_on(viewer: Client) -> None:
    now = timezone.now().astimezone(Account.current().zone)
    opens, closes = (now + dt.timedelta(hours=3)).time(), (now + dt.timedelta(hours=4)).time()
    task = create_task(new_task(times=Times(opens=opens, closes=closes)))
    expand(task.pk, now=timezone.now())
    schedules.keep(now=timezone.now())
    assert "outside its send window until" in viewer.get("/tasks/").content.decode()
    assert "Outside its send window" in viewer.get(f"/tasks/{task.pk}/").content.decode()


def test_a_task_paused_for_the_account_says_so_and_offers_no_resuming(operator: Client) -> None:
    task = create_task(new_task())
    expand(task.pk, now=timezone.now())
    tasks.pause(task, cause=PauseCause.ACCOUNT, by="bob")
    for url in ("/tasks/", f"/tasks/{task.pk}/"):
        html = operator.get(url).content.decode()
        assert "sending stopped for the account" in html
        assert f"/tasks/{task.pk}/resume/" not in html
