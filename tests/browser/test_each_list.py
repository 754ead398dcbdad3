"""Each list as it stands in the specification: its columns in their order, what it is filtered by, its periods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests import samples

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

MAIL = "Sender domain, Receiving domain, API user, Email type, Label, Template"
ENTRY = "Address, Receiving domain, API user, State, Latest from, Latest up to"
# List → what stands over its columns once all are chosen, and its filters.
LISTS = {
    "messages": (
        "Status, Recipient, Subject, Sender, API user, Label, Requested, Sent, Request IP, Send IP, Last reply",
        f"Recipient, Status, Reason, {MAIL}, Sender, Task",
    ),
    "queues": (
        "Status, Receiving domain, API user, Waiting, In, Tried, Out, Why paused; last reply, Next try, Actions",
        "API user, Sender domain, Receiving domain, Status, Charts over",
    ),
    "opens-and-clicks": (
        "What, Recipient, Time, Link, Client, IP, Subject, Sent, User agent",
        "Recipient, What, By, Sender domain, Receiving domain, API user, Link, Sender, Email type, Label, Template, "
        "Task, Sent from, Sent up to",
    ),
    "spam-reports": (
        "Address, State, Receiving domain, API user, Reason, Created, Latest, Expires, Hits, Changed by",
        ENTRY,
    ),
    "bounced": (
        "Address, State, Receiving domain, API user, Reason, Created, Latest, Expires, Hits, Changed by, Actions",
        ENTRY,
    ),
    "unsubscriptions": (
        "Address, State, Receiving domain, API user, Reason, Created, Latest, Expires, Hits, Changed by",
        ENTRY,
    ),
    "blocks": (
        "Address, State, Receiving domain, API user, Reason, Created, Latest, Expires, Hits, Changed by",
        ENTRY,
    ),
    "blocklist": (
        "Address, List, State, There since, Expires, Receiving domain, API user, Reason, Latest, Hits, Changed by",
        "Address, API user, State, List, Receiving domain, Latest from, Latest up to",
    ),
    "exports": ("What, Status, Rows, Size, Asked for by, Start, End, Expires, Actions", "Status, Format"),
    "tasks": ("Subject, group, template, Progress, Type, Status, Requests, Created, Actions", ""),
    "groups": ("Name, Recipients, Variables, Created, Actions", "Name"),
    "domains": ("Domain, Status, Level, Addresses, Checked, Created, Actions", "Domain, Status"),
    "addresses": ("Address, Domain, Status, Created, Actions", "Prefix, Sender name, Domain"),
    "templates": ("ID, Name, Type, Version, Variables, Changed, Actions", "Name, Template ID, Type"),
    "api-users": ("Name, Type, Status, Sender domain, Daily quota, Created, Actions", "Name, Type, Enabled"),
}
HEADS = "#results thead th:not(.ph-pick)"
# What is written over each control, without the choices in it.
LABELS = "form.ph-filters label:not(.ph-menu label)"


def texts(page: Page, selector: str) -> str:
    return ", ".join(text.strip() for text in page.locator(selector).all_inner_texts() if text.strip())


def choose_all_columns(page: Page) -> None:
    menu = page.locator("#results details", has_text="Show these")
    menu.locator("summary").click()
    for box in menu.locator("input[type=checkbox]").all():
        box.check()
    menu.get_by_role("button").click()
    page.wait_for_url("**cols=**")


def test_each_list_has_its_columns_and_its_filters(signed_in: Callable[..., Page]) -> None:
    samples.load()
    for name in reversed(LISTS):  # API users first: the lists' entries are theirs
        samples.ROWS[name](2)
    page = signed_in("administrator")
    page.set_viewport_size({"width": 1600, "height": 900})
    found = {}
    for name in LISTS:
        page.goto(reverse(name))
        if name == "messages":
            choose_all_columns(page)
        if (more := page.locator(".ph-more > summary")).count():
            more.click()
        found[name] = (texts(page, HEADS), texts(page, LABELS))
    assert found == LISTS
