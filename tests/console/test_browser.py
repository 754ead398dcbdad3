"""Every registered page in a real browser: the policy unbroken, no error, axe without a finding, in both themes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse

from console import registry
from tests import samples

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

samples.load()
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LOOKS = [("light", 1280), ("light", 390), ("dark", 1280), ("dark", 390)]
# A folder into which each page is drawn, to be looked at.
SHOTS = os.environ.get("POSTHORN_SHOTS", "")
PAGES = [page for _name, page in sorted(registry.pages().items()) if "GET" in page.methods]


def _address(page: registry.Page) -> str:
    if page.name not in samples.KWARGS:
        if "<" not in page.route:
            return reverse(page.name)
        pytest.skip(f"tests/samples/ does not say what the URL of {page.name!r} needs")
    return reverse(page.name, kwargs=samples.KWARGS[page.name]())


@pytest.mark.parametrize("registered", PAGES, ids=lambda page: page.name)
def test_a_page_has_no_finding_and_breaks_no_rule(
    registered: registry.Page,
    administrator: Client,
    as_administrator: BrowserPage,
    axe: Callable[[BrowserPage], list[str]],
) -> None:
    if registered.name in samples.ROWS:
        samples.ROWS[registered.name](7)
    url = _address(registered)
    asked = administrator.get(url)
    if "sandbox" in asked["Content-Security-Policy"]:
        return  # a mail, in which no script may look about
    if asked.status_code != 200 or not asked["Content-Type"].startswith("text/html") or b"<html" not in asked.content:
        return  # an image, a file, a part of a page, a way to somewhere else
    page = as_administrator
    page.goto(url)
    findings = []
    for theme, width in LOOKS if SHOTS else LOOKS[::3]:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        findings += axe(page)
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{registered.name}-{theme}-{width}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{width} px: {wide} px wider than the screen"
    assert findings == []


def test_signing_in_searching_and_signing_out_by_keyboard(page: BrowserPage, person: Callable[[str], Any]) -> None:
    from tests.conftest import PASSWORD

    person("viewer")
    page.goto("/password/")
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/password/")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing found for").wait_for()
    menu = page.locator("summary.ph-me")
    menu.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert menu.evaluate("(it) => it === document.activeElement")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/")


def test_dark_and_light_are_kept(signed_in: Callable[..., BrowserPage]) -> None:
    page = signed_in("viewer")
    page.goto("/search/")
    page.get_by_label("Light or dark").click()
    page.get_by_role("button", name="Dark").first.click()
    page.wait_for_selector("html[data-bs-theme=dark]")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 25)"


@pytest.mark.urls("tests.console.demo")
def test_a_list_is_filtered_sorted_and_emptied_with_scripts(
    signed_in: Callable[..., BrowserPage], axe: Callable[[BrowserPage], list[str]]
) -> None:
    from console.models import ApiUser

    ApiUser.objects.bulk_create(ApiUser(name=f"user-{n:02d}", type="batch", reply_to="a@b.example") for n in range(25))
    page = signed_in("administrator")
    page.goto("/demo/")
    page.get_by_label("Name", exact=True).fill("user-1")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="10 API users").wait_for()
    assert "name=user-1" in page.url
    page.get_by_role("link", name="Remove the filter Name: user-1").click()
    page.locator("h2#found", has_text="25 API users").wait_for()
    assert axe(page) == []
    page.get_by_label("Select all rows of this page").check()
    page.get_by_role("button", name="Delete selected…").click()
    page.get_by_role("button", name="Delete 20 API users").click()
    page.get_by_text("Deleted 20.").wait_for()
    page.get_by_role("button", name="Delete all 5 that match…").click()
    page.get_by_role("button", name="Delete 5 API users…").click()
    assert axe(page) == []
    page.get_by_label("Type 5 to go on").fill("4")
    page.get_by_role("button", name="Delete 5 API users").click()
    page.get_by_role("alert").filter(has_text="Nothing was done").wait_for()
    page.get_by_label("Type 5 to go on").fill("5")
    page.get_by_role("button", name="Delete 5 API users").click()
    page.get_by_text("No API user yet").wait_for()


@pytest.mark.urls("tests.console.demo")
def test_the_same_works_without_scripts(plain: BrowserPage, person: Callable[[str], Any]) -> None:
    from console.models import ApiUser
    from tests.conftest import PASSWORD

    person("administrator")
    ApiUser.objects.bulk_create(ApiUser(name=f"user-{n:02d}", type="batch") for n in range(25))
    page = plain
    page.goto("/demo/?size=10")
    page.get_by_label("Username").fill("administrator")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("More filters").click()
    page.get_by_label("Name", exact=True).fill("user-0")
    page.get_by_role("button", name="Search").click()
    assert "10 API users" in page.locator("h2#found").inner_text()
    page.get_by_label("Select user-01").check()
    page.get_by_role("button", name="Delete selected…").click()
    page.get_by_role("button", name="Delete 1 API user").click()
    assert "Deleted 1." in page.content()


def test_djangos_admin_keeps_to_the_policy_too(signed_in: Callable[..., BrowserPage]) -> None:
    page = signed_in("administrator")
    for address in ("/admin/", "/admin/console/user/", "/admin/console/user/add/", "/admin/console/apiuser/add/"):
        assert page.goto(address).status == 200  # type: ignore[union-attr]
