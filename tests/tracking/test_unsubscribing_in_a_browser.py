"""The public page as a recipient meets it: on a phone, with a thumb, with or without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from suppression.models import Entry
from tests.tracking.mail import send

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_tap_is_enough_on_a_phone(page: Any, axe: Callable[[Any], list[str]], scheme: str) -> None:
    sent = send("a.person.with.a.long.name@a-rather-long-domain-name.department.example.com")
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.goto(sent.unsubscribe)
    assert not Entry.objects.exists()
    assert axe(page) == []
    button = page.get_by_role("button", name="Unsubscribe")
    assert button.bounding_box()["height"] >= 48
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    button.click()
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert Entry.objects.get().key.startswith("a.person.")
    assert page.context.cookies() == []


def test_a_link_cut_off_says_what_to_do(page: Any, axe: Callable[[Any], list[str]]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/u/AAAA")
    assert "Open the mail again" in page.content()
    assert axe(page) == []


def test_it_works_without_scripts(browser: Any, live_server: Any) -> None:
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(send().unsubscribe)
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert Entry.objects.count() == 1
    context.close()
