"""Every state that a message can be in, as the list and the message's page say it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from delivery.models import Message, Reason, Status, Waiting
from delivery.models.status import soft_reason
from tests.factories.sending import attempt, message
from tests.tracking.test_opens_and_clicks_page import came

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

STATUSES = "Held, Sending, Sent, Delivered, Soft bounce, Invalid, Control group, Cancelled"
REASONS = "blacklist, unsubscribe, server error, format error, not exist, IP or domain, spam, rejected, other"
OF_SOFT_BOUNCES = "server error, not exist, IP or domain, spam, rejected, other"


def deferred() -> Message:
    made = message("deferred@example.org", status="sending", attempts=1)
    due = timezone.now() + dt.timedelta(minutes=5)
    Waiting.objects.create(message_id=made.pk, limit_group_id=1, queue_id=1, priority=0, state=1, due=due, attempts=1)
    attempt(made, outcome="deferred", at=made.requested_at, next_at=made.requested_at + dt.timedelta(minutes=5),
            code=451, reply="451 4.7.1 Come back later")  # fmt: skip
    return made


def one_of_each() -> dict[str, Message]:
    """The beginning of a row → its message."""
    rows = {
        "Deferred · until": deferred(),
        "Sending": message("sending@example.org", status="sending"),
        "Sent": message("sent@example.org", status="sent", label="Spring"),
        "Delivered": message("read@example.org", label="spring"),
        "Control group": message("control@example.org", status="control_group", label="spring sale"),
        "Cancelled": message("cancelled@example.org", status="cancelled"),
    }
    for status in (Status.SOFT_BOUNCE, Status.INVALID):
        for reason in Reason:
            if status == Status.INVALID or soft_reason(reason) == reason:
                to = f"{status}.{reason}@example.org"
                rows[f"{status.label} · {reason.label}"] = message(to, status=status, reason=reason, attempts=1)
    return rows


def opened(page: Page, name: str) -> str:
    """Opens the menu of a filter: what may be ticked there."""
    menu = page.locator(f"#l-{name} + details")
    menu.locator("summary").click()
    return ", ".join(text.strip() for text in menu.locator("label").all_inner_texts())


def test_every_status_and_reason_has_its_word_and_is_found_by_it(signed_in: Callable[..., Page]) -> None:
    rows = one_of_each()
    came(rows["Delivered"])
    came(rows["Delivered"], "https://shop.example/")
    came(message("scanned@example.org"), agent="curl/8.4.0")
    page = signed_in("viewer")
    page.goto("/email-status/?size=50")
    page.locator("h2#found", has_text="22 emails").wait_for()
    page.locator(".ph-chip", has_text="7 days").wait_for()  # the period, where none is asked for
    table = page.locator("#results tbody tr")
    shown = table.locator(".ph-st").all_inner_texts()
    for word in rows:
        assert any(text.replace("\n", " ").startswith(word) for text in shown), (word, shown)
    soft = [text.partition(" · ")[2] for text in shown if text.startswith("Soft bounce")]
    assert sorted(soft) == sorted(OF_SOFT_BOUNCES.split(", "))
    of_reader = table.filter(has_text="read@")
    for mark in ("opened", "clicked"):
        of_reader.get_by_role("img", name=mark, exact=True).wait_for()
    table.filter(has_text="scanned@").get_by_role("img", name="opened (automatic)").wait_for()
    assert page.get_by_role("navigation", name="Rows a page").inner_text().split() == ["10", "20", "50", "100"]
    # By the menus of the page.
    assert opened(page, "status") == STATUSES
    page.get_by_label("Invalid", exact=True).check()
    page.keyboard.press("Escape")
    assert opened(page, "reason") == REASONS
    page.get_by_label("spam", exact=True).check()
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="1 email").wait_for()
    assert page.locator("#results tbody tr").inner_text().startswith("Invalid · spam")
    # A label is one string, matched exactly.
    page.goto("/email-status/?label=spring&sort=requested")
    page.locator("h2#found", has_text="1 email").wait_for()
    page.locator("#results tbody tr", has_text="read@").wait_for()
    # What is too long a period is said beside it, and nothing is shown.
    for url in ("/email-status/", "/opens-and-clicks/", "/bounced/counts/"):
        page.goto(f"{url}?from=2026-10-01&to=2026-10-31")
        page.get_by_text("31 days. Choose at most 30 consecutive days.").wait_for()
        assert page.get_by_role("textbox", name=" from").first.get_attribute("aria-invalid") == "true"


def test_a_message_tells_its_whole_story(signed_in: Callable[..., Page]) -> None:
    """Both kinds of soft bounce, what was refused, put off, held out, handed on; attempts in the server's words."""
    words = ["550 5.1.1 <ann@example.org> unknown", "451 4.7.1 Come back later"]
    refused = message("refused@example.org", status="invalid", reason="not_exist", attempts=2, last_reply=words[0],
                      request_ip="192.0.2.44", send_ip="198.51.100.24", label="spring")  # fmt: skip
    attempt(refused, 1, outcome="deferred", code=451, reply=words[1], phase="rcpt")
    attempt(refused, 2, outcome="refused", reason="not_exist", code=550, reply=words[0], phase="rcpt")
    late = message("late@example.org", status="soft_bounce", reason="other", attempts=1)
    attempt(late, outcome="deferred", code=452, reply="452 4.2.2 Mailbox full")
    returned = message("returned@example.org", status="soft_bounce", reason="rejected", attempts=1)
    attempt(returned)
    page = signed_in("viewer")

    def says(of: Message, *texts: str) -> None:
        page.goto(f"/email-status/{of.pk}/")
        shown = page.locator("main").inner_text()
        for text in texts:
            assert text in shown, (text, shown)

    says(refused, "Invalid · not exist", "the mailbox or its domain does not exist", "A hard bounce", *words,
         "Attempt 1: put off", "Attempt 2: refused, not exist", "192.0.2.44", "198.51.100.24", "spring",
         "console-trigger (trigger)", "hello@news.example.com", str(refused.pk))  # fmt: skip
    says(late, "Put off at 1 attempt, until the retry window ended.", "452 4.2.2 Mailbox full", "stays mailable")
    says(returned, "Accepted first, then returned by a bounce mail.", "Attempt 1: delivered")
    says(deferred(), "Deferred · until", "put off for 5 min", "It is tried again at")
    says(message(status="sent"), "Handed to the sender domain's relay.")
    says(message(status="control_group"), "Held out on purpose")
    page.goto(f"/email-status/{returned.pk}/mail/")
    page.frame_locator("iframe").get_by_text("Hello Ann").wait_for()
