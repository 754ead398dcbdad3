"""The lists by hand: an address is blocked, found on the Blocklist, and all that match are deleted, asked twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from suppression.models import Change, Entry
from tests.factories.suppression import EntryFactory

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_blocking_finding_and_deleting_all_that_match(
    signed_in: Callable[..., BrowserPage], axe: Callable[[BrowserPage], list[str]]
) -> None:
    page = signed_in("operator")
    page.goto("/blocks/")
    page.get_by_role("link", name="Add blocks").click()
    page.get_by_label("Addresses and domains").fill("\n".join(f"p{n}@rival.example" for n in range(12)) + "\nnobody\n")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("1 row was not taken.").wait_for()
    assert axe(page) == []
    page.get_by_role("link", name="To the list").click()
    page.locator("h2#found", has_text="12 blocks").wait_for()
    EntryFactory(key="stays@other.example")

    page.get_by_role("link", name="Blocklist").click()
    page.get_by_role("textbox", name="Address").fill("P3@rival.example")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="1 entry").wait_for()
    page.locator("#results").get_by_text("Custom blocks").wait_for()

    page.get_by_role("link", name="Custom blocks").click()
    page.get_by_role("textbox", name="Receiving domain").fill("rival.example")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="12 blocks").wait_for()
    page.get_by_role("button", name="Delete all 12 that match…").click()
    page.get_by_text("rival.example").first.wait_for()
    page.get_by_role("button", name="Delete 12 blocks…").click()
    assert axe(page) == []
    page.get_by_label("Type 12 to go on").fill("21")
    page.get_by_role("button", name="Delete 12 blocks").click()
    page.get_by_role("alert").filter(has_text="Nothing was done").wait_for()
    assert Entry.objects.count() == 13
    page.get_by_label("Type 12 to go on").fill("12")
    page.get_by_role("button", name="Delete 12 blocks").click()
    page.get_by_text("12 entries are deleted.").wait_for()
    assert Entry.objects.get().key == "stays@other.example"

    page.get_by_role("link", name="Blocklist").click()
    page.get_by_role("link", name="Changes").click()
    page.locator("h2#found", has_text="2 changes").wait_for()
    assert set(Change.objects.values_list("action", "count", "made_by")) == {
        ("added", 12, "operator"),
        ("deleted", 12, "operator"),
    }


def test_what_acts_on_one_row_and_what_acts_on_ticked_rows_are_forms_apart(
    signed_in: Callable[..., BrowserPage],
) -> None:
    for name in ("ann", "bob"):
        EntryFactory(list=Entry.List.BOUNCE, key=f"{name}@example.org")
    page = signed_in("operator")
    page.goto("/bounced/")
    page.locator("tbody tr").first.get_by_role("button", name="Let through").click()
    page.locator("tbody").get_by_role("button", name="Intercept").wait_for()
    assert Entry.objects.filter(intercepted=False).count() == 1
    page.locator("tbody input[name=id]").last.check()
    page.get_by_role("button", name="Delete selected…").click()
    page.get_by_role("button", name="Delete 1").wait_for()
    assert "csrf" not in page.url
