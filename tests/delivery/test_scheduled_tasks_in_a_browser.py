"""Creating a recurring task in a browser, with JavaScript and without: no field is missing, none too many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect

from delivery.models import Task
from tests.conftest import sign_in
from tests.factories.delivery import AddressFactory, GroupFactory
from tests.factories.sending import template

pytestmark = pytest.mark.django_db(transaction=True)


def fill(page: Page, first: dt.datetime) -> None:
    page.get_by_label("Subject").fill("News for {{name}}")
    for field in ("template", "sender_address", "group"):
        page.locator(f"#id_{field}").select_option(index=1)
    page.get_by_text("Recurring", exact=True).click()
    page.get_by_label("Start time").fill(f"{first:%Y-%m-%dT%H:%M}")
    page.get_by_label("Recurrence").fill("7")
    page.get_by_label("Closes at").fill("18:00")
    page.get_by_role("button", name="Check and go on").click()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_recurring_task_is_made_with_and_without_javascript(
    scripts: bool, page: Page, plain: Page, live_server: Any, operator: Client
) -> None:
    template(), AddressFactory(), GroupFactory(people=3)
    page = page if scripts else plain
    sign_in(page.context, live_server, operator)
    page.goto("/tasks/new/")
    first = timezone.localtime() + dt.timedelta(days=3)
    fill(page, first)
    # One of the window's times is missing: said beside it, and all that was filled in is still there.
    expect(page.locator("#id_window_opens_error")).to_contain_text("both times")
    expect(page.get_by_label("Recurrence")).to_have_value("7")
    page.locator("#id_window_opens").fill("09:00")
    page.get_by_role("button", name="Check and go on").click()
    expect(page.get_by_text("every 7 days")).to_be_visible()
    page.get_by_role("button", name="Send to 3 recipients").click()
    expect(page.get_by_role("heading", name="News for {{name}}")).to_be_visible()
    expect(page.get_by_text("None yet. Each run is a task of its own")).to_be_visible()
    task = Task.objects.get()
    assert (task.every_days, str(task.window), task.starts_on) == (7, "09:00–18:00", first.date())


def test_only_the_fields_of_the_chosen_type_are_shown(signed_in: Callable[..., Page]) -> None:
    page = signed_in("operator")
    page.goto("/tasks/new/")
    shown = {
        "Batch: now": (False, False),
        "Scheduled": (True, False),
        "Recurring": (True, True),
    }
    for choice, (start, every) in shown.items():
        page.get_by_text(choice, exact=True).click()
        expect(page.get_by_label("Start time")).to_be_visible(visible=start)
        expect(page.get_by_label("Recurrence")).to_be_visible(visible=every)
        expect(page.get_by_label("Last day")).to_be_visible(visible=every)
