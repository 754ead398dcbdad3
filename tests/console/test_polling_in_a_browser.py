"""Pages that refresh by themselves: not while the tab is hidden, and not under somebody's hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console import lists
from delivery.services.tasks import create_task, expand
from tests.factories.queues import queue_with
from tests.factories.sending import message, new_task
from tests.installation import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


SETTLED = """() => {
    window.settled = 0;
    document.addEventListener("htmx:afterSettle", () => { window.settled += 1; });
}"""


@pytest.mark.own_window
@pytest.mark.parametrize("url", ["/", "/queues/", "/tasks/", "/tasks/{task}/"])
def test_nothing_is_asked_for_while_the_tab_is_hidden(url: str, signed_in: Callable[..., Page]) -> None:
    task = create_task(new_task())
    expand(task.pk, now=timezone.now())
    queue_with("first.test", ready=4)
    page = signed_in("operator")
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "hx-request" in request.headers else None)
    page.goto(url.format(task=task.pk))
    page.wait_for_load_state("networkidle")

    page.evaluate(HIDE, True)
    page.clock.fast_forward(30_000)
    page.wait_for_load_state("networkidle")
    assert asked == []
    page.evaluate(HIDE, False)
    page.evaluate(SETTLED)
    with page.expect_response(lambda response: "hx-request" in response.request.headers):
        page.clock.fast_forward(30_000)
    until(lambda: page.evaluate("window.settled > 0"), "what was asked for stands on the page")

    # Somebody is about to follow a link: it stays where it is, in parts that are refreshed along with others, too.
    link = page.locator("[hx-trigger^='every'] a:visible, #under-way a:visible").last
    link.focus()
    link.evaluate("(it) => it.setAttribute('data-mine', '1')")
    page.clock.fast_forward(30_000)
    page.wait_for_load_state("networkidle")
    assert page.locator("[data-mine]").count() == 1


def test_a_total_that_was_left_for_later_comes_by_itself(
    signed_in: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Too much to look at while a page waits.
    monkeypatch.setattr(lists, "COSTLY", -1)
    for number in range(12):
        message(f"reader{number}@example.org")
    page = signed_in("viewer")
    page.goto("/email-status/?size=10")
    until(lambda: page.locator("#total").inner_text() == "12", "the total is counted")
    assert page.locator("#total-of").inner_text() == "12"
    assert page.locator("#results tbody tr").count() == 10
    assert page.url.endswith("/email-status/?size=10")
