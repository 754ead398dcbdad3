"""The mailbox simulator at a click: from the button over real SMTP to what became of it, while one looks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from delivery.models import Message, SenderAddress
from delivery.simulator.behaviour import BEHAVIOURS
from suppression.models import Entry
from tests.engine.world import deliver
from tests.factories.sending import template

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def delivered_elsewhere() -> None:
    """Not in this thread, where Playwright's event loop runs."""

    def run() -> None:
        try:
            deliver()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result(timeout=120)


def test_mail_to_each_address_is_sent_at_a_click_and_ends_as_the_page_says(
    sender: SenderAddress, hasty: None, signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    template("<p>Hello {{name}}</p>")
    page = signed_in("operator")
    page.goto("/simulator/")
    rows = page.locator("section[aria-labelledby=usual] tbody tr")
    assert rows.count() == len(BEHAVIOURS) == 13
    page.get_by_role("button", name="to bounce@simulator.test").click()
    page.get_by_text("1 mail is on its way.").wait_for()
    bounced = rows.filter(has_text="bounce@simulator.test").first
    bounced.locator("[data-th='Last one']", has_text="Sending").wait_for()
    delivered_elsewhere()
    bounced.locator("[data-th='Last one']", has_text="not exist").wait_for()  # the page follows by itself
    assert Entry.objects.get().list == Entry.List.BOUNCE
    page.get_by_role("button", name="Send to all of them").click()
    page.get_by_text("13 mails are on their way.").wait_for()
    delivered_elsewhere()
    at_once = [one for one in BEHAVIOURS if one.ends[0] != "soft_bounce"]
    for one in at_once:
        message = Message.objects.filter(recipient__startswith=f"{one.local}+").latest("pk")
        assert (message.status, message.reason) == one.ends, one.local
    assert axe(page) == []
