"""The queue page in a real browser: it follows by itself, keeps its rows in place, and queues are paused from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from delivery.models import LookedAt, QueuePause
from delivery.services import flow
from tests.factories.queues import counted, queue_with

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_page_follows_and_a_queue_is_paused_and_recovered(signed_in: Callable[..., Page]) -> None:
    first = queue_with("first.test", ready=4)
    queue_with("second.test", ready=2, later=1)
    page = signed_in("operator")
    page.goto("/queues/?over=5")
    page.get_by_role("heading", name="2 queues").wait_for()
    drawn = page.locator("canvas[data-chart]").first
    drawn.evaluate("(it) => it.setAttribute('data-seen', '1')")

    queue_with("third.test", ready=50)
    queue_with("second.test", ready=20)
    counted(first, at=flow.last_end(timezone.now()) - dt.timedelta(seconds=5), joined=35, reply="250 taken")
    LookedAt.objects.all().delete()
    page.get_by_role("heading", name="3 queues").wait_for(timeout=15_000)
    names = [text.split("\n")[0] for text in page.locator("td.m-a").all_inner_texts()]
    assert names == ["first.test", "second.test", "third.test"], "what was there stays in its place"
    page.get_by_text("250 taken").wait_for(timeout=15_000)
    page.locator("canvas[data-chart]:not([data-seen])").first.wait_for(timeout=15_000)

    row = page.get_by_role("row").filter(has_text="first.test")
    row.get_by_label("More actions").click()
    row.get_by_role("link", name="Pause…").click()
    page.get_by_role("button", name="Pause mail to first.test").click()
    row.get_by_text("Paused by operator").wait_for()
    assert page.get_by_label("Main").get_by_text("queues paused").count() == 1
    row.get_by_role("button", name="Recover").click()
    page.get_by_text("Mail to first.test goes on at once.").wait_for()
    assert not QueuePause.objects.exists()
