"""What only a browser shows of the configuration pages: previews that move, files that are dropped, copy buttons."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from delivery.models import SenderAddress, Template
from tests.factories.console import ApiUserFactory
from tests.factories.delivery import DomainFactory, TemplateFactory

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("POSTHORN_SHOTS", "")

# Puts a file into a drop zone as a hand would.
DROP = """([zone, name, text]) => {
    const files = new DataTransfer();
    files.items.add(new File([text], name, {type: "text/html"}));
    const drop = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
    document.querySelector(zone).dispatchEvent(drop);
}"""


def look(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def test_the_preview_of_a_sender_follows_what_is_typed(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    DomainFactory(name="mail.example.com", verified=True)
    page = signed_in("administrator")
    page.goto("/addresses/new/")
    page.get_by_label("Sender name").fill("Morrow & Finch")
    page.get_by_label("Prefix").fill("care")
    page.locator("#preview .ph-code", has_text="Morrow & Finch <care@mail.example.com>").wait_for()
    assert axe(page) == []
    page.get_by_role("button", name="Create").click()
    page.get_by_text("care@mail.example.com is saved.").wait_for()
    assert SenderAddress.objects.count() == 1


def test_a_template_is_dropped_refused_with_its_place_mended_and_seen(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    page = signed_in("operator")
    page.goto("/templates/new/")
    page.get_by_label("Name").fill("Welcome")
    page.evaluate(DROP, ["[data-drop]", "bad.html", "<p>Hi {{name}}</p>\n<script>go()</script>"])
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="What has to be mended").wait_for()
    assert "Line 2, column 1" in page.locator("aside").inner_text()
    # What was uploaded stands in the form, where it can be mended.
    assert "go()" in page.get_by_label("Body", exact=True).input_value()
    assert axe(page) == []
    look(page, "template-refused")
    page.evaluate(DROP, ["[data-drop]", "good.html", "<h1>Hi {{name}}</h1>"])
    page.locator("label", has_text="日本語").click()
    page.get_by_role("button", name="Create").click()
    page.get_by_text("1 variable found: name.").wait_for()
    page.get_by_label("name", exact=True).fill("Zoë <b>")
    page.get_by_role("button", name="Show with these values").click()
    page.frame_locator("iframe").get_by_role("heading", name="Hi Zoë <b>").wait_for()
    # The line to unsubscribe that the body lacks, in the language that was chosen.
    page.frame_locator("iframe").get_by_role("link", name="配信を停止する").wait_for()
    assert axe(page) == []
    page.get_by_role("link", name="Phone").click()
    page.wait_for_url("**view=phone**")
    box = page.locator("iframe").bounding_box()
    assert box is not None
    assert round(box["width"]) == 375
    look(page, "template-phone")
    page.get_by_role("link", name="Plain text").click()
    page.locator("pre", has_text="Hi Zoë <b>").wait_for()
    assert Template.objects.get().name == "Welcome"


def test_nothing_in_the_preview_runs_or_leaves(signed_in: Callable[..., Page]) -> None:
    template = TemplateFactory(
        source="<style>p { background: url(https://elsewhere.example/b.png) }</style><p>Hi</p>"
        '<img src="https://elsewhere.example/a.png"><a href="https://elsewhere.example/">out</a>'
    )
    page = signed_in("viewer")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/templates/{template.pk}/")
    page.frame_locator("iframe").get_by_role("link", name="out").click()
    page.get_by_role("link", name="Source").click()
    page.wait_for_url("**view=source**")
    assert not [url for url in asked if "//elsewhere.example" in url]


def test_a_secret_is_shown_and_copied(signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]) -> None:
    user = ApiUserFactory()
    page = signed_in("administrator")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/api-users/{user.pk}/secret/")
    page.get_by_role("button", name="Make a new secret").click()
    secret = page.locator("#secret").inner_text()
    page.get_by_label("Copy the secret").click()
    page.locator("#say", has_text="Copied").wait_for(state="attached")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert axe(page) == []
    look(page, "api-user-secret-shown")


def test_all_sending_is_stopped_and_resumed_by_keyboard(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    page = signed_in("administrator")
    page.goto("/account/")
    page.get_by_role("link", name="Stop all sending…").press("Enter")
    page.get_by_role("button", name="Stop all sending…").press("Enter")
    assert axe(page) == []
    look(page, "account-stop-second")
    page.get_by_label("Type Posthorn to go on").fill("Posthorn")
    page.keyboard.press("Enter")
    page.get_by_text("All sending is stopped.").first.wait_for()
    assert axe(page) == []
    look(page, "account-stopped")
    page.get_by_role("link", name="Resume sending…").click()
    page.get_by_role("button", name="Resume sending").click()
    page.get_by_text("Sending goes on.").wait_for()
