"""The public page as a recipient meets it: on a phone, with a thumb, in their language, with or without scripts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from suppression.models import Entry
from tests.tracking.mail import send
from tests.tracking.pictures import png

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("POSTHORN_SHOTS", "")
LONG = "a.person.with.a.long.name@a-rather-long-domain-name.department.example.com"


def looked_at(page: Any, axe: Callable[[Any], list[str]], name: str) -> None:
    """Nothing that axe finds, nothing wider than the phone, nothing too small for a thumb."""
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    small = page.evaluate(
        """[...document.querySelectorAll("a, button, label")]
             .map((it) => [it.innerText, it.getBoundingClientRect().height]).filter(([, height]) => height < 48)"""
    )
    assert small == []
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/public-{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("locale", "scheme", "unsubscribe", "again", "spam"),
    [
        ("en-GB", "dark", "Unsubscribe", "Subscribe again", "This is spam"),
        ("ja-JP", "light", "配信を停止する", "配信を再開する", "これは迷惑メールです"),
        ("pt-BR", "dark", "Cancelar inscrição", "Inscrever-se novamente", "Isto é spam"),
        ("zh-CN", "light", "退订", "重新订阅", "这是垃圾邮件"),
    ],
)
def test_on_a_phone_in_each_language_there_and_back_without_scripts(
    page: Any,
    plain: Any,
    axe: Callable[[Any], list[str]],
    locale: str,
    scheme: Any,
    unsubscribe: str,
    again: str,
    spam: str,
) -> None:
    # Scripts are off for the page; axe is let in by the debugger, which needs them: so it looks in a second window.
    eye, page = page, plain
    for one in (eye, page):
        one.set_viewport_size({"width": 390, "height": 844})
        one.set_extra_http_headers({"Accept-Language": locale})
    eye.emulate_media(color_scheme=scheme)
    sent = send(LONG)
    page.goto(sent.unsubscribe)
    eye.goto(sent.unsubscribe)
    looked_at(eye, axe, f"asks-{locale}")
    assert not Entry.objects.exists()
    assert page.locator("input:checked").count() == 0
    page.get_by_text(spam, exact=True).click()
    page.get_by_role("button", name=unsubscribe).click()
    page.get_by_role("button", name=again).wait_for()
    assert set(Entry.objects.values_list("list", flat=True)) == {"unsubscription", "spam_report"}
    eye.reload()
    looked_at(eye, axe, f"done-{locale}")
    page.get_by_role("button", name=again).click()
    page.get_by_role("link", name=unsubscribe).wait_for()
    assert not Entry.objects.exists()
    eye.goto(page.url)
    looked_at(eye, axe, f"back-{locale}")
    assert page.context.cookies() == []


def test_one_tap_is_enough(page: Any, axe: Callable[[Any], list[str]]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    sent = send(LONG)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(sent.unsubscribe)
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert Entry.objects.get().reason == ""
    assert page.context.cookies() == []
    # Whoever reads a mail tells nobody else of it.
    assert {"/".join(url.split("/")[:3]) for url in asked if not url.startswith("data:")} == {
        "/".join(page.url.split("/")[:3])
    }


def test_another_language_is_chosen_on_the_page_and_kept(page: Any) -> None:
    page.goto(send().unsubscribe)
    page.get_by_role("link", name="Português").click()
    page.get_by_role("button", name="Cancelar inscrição").click()
    page.get_by_role("button", name="Inscrever-se novamente").click()
    page.get_by_role("heading", name="Sua inscrição está ativa").wait_for()


def test_a_link_cut_off_says_what_to_do(page: Any, axe: Callable[[Any], list[str]]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/u/AAAA")
    assert "Open the mail again" in page.content()
    looked_at(page, axe, "not-valid")


def test_the_accounts_words_and_logo_are_previewed_and_shown(
    signed_in: Callable[..., Any], axe: Callable[[Any], list[str]], tmp_path: Any
) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(png(600, 120))
    page = signed_in("administrator")
    page.goto("/account/unsubscribe-page/edit/")
    page.get_by_label("Heading").fill("Leaving so soon?")
    page.get_by_label("Text on the page that asks").fill("Mails about your orders still reach you.")
    page.get_by_label("Text when it is done").fill("You can come back at any time.")
    page.get_by_label("Logo").set_input_files(logo)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The unsubscribe page is saved.").wait_for()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Leaving so soon?").wait_for()
    assert frame.get_by_role("img").evaluate("(it) => it.decode().then(() => it.naturalWidth)") == 600
    page.get_by_role("link", name="Done", exact=True).click()
    frame.get_by_text("You can come back at any time.").wait_for()
    page.get_by_role("link", name="日本語").click()
    frame.get_by_role("heading", name="配信を停止しました").wait_for()
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/words.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(send(LONG).unsubscribe)
    looked_at(page, axe, "own-words")
