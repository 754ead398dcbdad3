"""Suppression lists, queues, counts, statistics and the overview, as one reads them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console.models import ApiUser
from delivery.models import LookedAt, QueuePause
from suppression import services as suppression
from suppression.models import Entry, UnsubscribeReason
from tests.factories.queues import pause, queue_with
from tests.factories.sending import message
from tests.factories.statistics import counted, fold
from tests.samples.exports import export
from tests.samples.sending import tasks as sample_tasks
from tests.samples.tracking import came_back, opened_and_clicked

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def said(page: Page, *texts: str) -> None:
    """On the page as it is now."""
    shown = page.locator("main").inner_text()
    for text in texts:
        assert text in shown, (text, shown)


def day(ahead: int) -> str:
    return f"{timezone.localdate() + dt.timedelta(days=ahead):%-d %b}"


def test_entries_say_until_when_they_hold_and_for_whom(signed_in: Callable[..., Page], tmp_path: Path) -> None:
    now, user = timezone.now(), ApiUser.console(ApiUser.Type.BATCH)
    for address, tencent, times in (("a@qq.com", True, 3), ("b@example.org", False, 1), ("c@example.org", False, 2)):
        for _n in range(times):
            suppression.hard_bounces([suppression.HardBounce(address, tencent, None, "550 5.1.1")], now=now)
    suppression.complain("d@example.org", now=now, reason="abuse", api_user_id=user.pk)
    for number, reason in enumerate(["", *UnsubscribeReason.values]):
        suppression.unsubscribe(f"e{number}@example.org", api_user_id=user.pk, now=now, reason=reason)
    page = signed_in("operator")
    page.goto("/bounced/")
    rows = page.locator("#results tbody tr")
    for address, days in (("a@qq.com", 4), ("b@example.org", 30), ("c@example.org", 60)):
        rows.filter(has=page.locator(f"[title='{address}']")).filter(has_text=day(days)).wait_for()
    line = rows.filter(has=page.locator("[title='b@example.org']"))
    line.get_by_role("button", name="Let through").click()
    line.get_by_text("Not intercepted").wait_for()
    line.get_by_role("button", name="Intercept").click()
    line.get_by_text("In force").wait_for()
    page.locator(".ph-more > summary").click()
    page.get_by_label("Latest from").fill(f"{timezone.localdate() + dt.timedelta(days=1)}")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="0 bounced addresses").wait_for()
    page.goto("/spam-reports/")
    rows.filter(has_text=day(180)).wait_for()
    page.goto("/unsubscriptions/")
    said(page, "console-batch", "Never", "Not given", *(str(label) for label in UnsubscribeReason.labels))
    assert [str(label) for label in UnsubscribeReason.labels] == [
        "I don't want to receive such mail any more",
        "This is not my subscription",
        "This is spam",
        "This is a fraudulent email and I want to report it",
    ]
    # A block: whole domains too, for one API user or all, until a day or for ever.
    page.goto("/blocks/add/")
    (tmp_path / "blocks.csv").write_text(
        "address,reason\nrival.example,asked by phone\nann@example.com,asked by phone\n"
    )
    page.locator("input[type=file]").set_input_files(tmp_path / "blocks.csv")
    page.get_by_label("API user").select_option(label="console-batch")
    last = timezone.localdate() + dt.timedelta(days=9)
    page.get_by_label("Last day").fill(last.isoformat())
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator("h2#found", has_text="2 blocks").wait_for()
    said(page, "rival.example", "asked by phone")
    assert {entry.api_user_id for entry in Entry.objects.filter(list=Entry.List.BLOCK)} == {user.pk}
    page.goto("/contact/?address=d@example.org")
    said(page, "Deactivated", "abuse")
    struck = page.locator("h1 .ph-gone, h1.ph-gone")
    assert struck.evaluate("e => getComputedStyle(e).textDecorationLine") == "line-through"


# Why a queue is paused, as the specification has it.
WHY = {
    QueuePause.Reason.QUOTA: "limited by the receiving domain's quota",
    QueuePause.Reason.REPUTATION: "limited by our IP's quota or reputation",
    QueuePause.Reason.CONNECTING: "connecting too often",
}


def test_queues_say_why_they_are_paused_and_the_overview_says_where_to_go(signed_in: Callable[..., Page]) -> None:
    for number, reason in enumerate(WHY):
        pause(queue_with(f"q{number}.test", ready=5), reason=reason, minutes=60 * 54 if not number else 11)
    queue_with("moving.test", ready=3, moving=True)
    now = timezone.now()
    of = counted(now, to="gmail.com", requested=1000, delivered=900, spam=10, complaints=4, unique_opens=300, opens=400)
    fold()
    sample_tasks(2)
    message("held@example.org", status="held", held_by="credits")
    LookedAt.objects.all().delete()
    page = signed_in("operator")
    page.goto("/queues/")
    for words in WHY.values():
        page.locator("#results tbody tr", has_text=re.compile(re.escape(words), re.IGNORECASE)).wait_for()
    assert page.locator("#results").get_by_role("button", name="Recover").count() == len(WHY)
    said(page, "3 paused", "Live, every 5 s")
    averages = page.get_by_role("navigation", name="Rates averaged over")
    for seconds in (5, 30):
        averages.get_by_role("link", name=f"{seconds} s", exact=True).click()
        averages.locator("[aria-current]", has_text=re.compile(f"^{seconds} s$")).wait_for()
    assert averages.inner_text().split() == ["5", "s", "15", "s", "30", "s"]
    # A link within the part that refreshes itself asks for the whole list: its filters stay, and it is sorted.
    page.get_by_role("link", name="Waiting").click()
    page.locator("th[aria-sort]", has_text="Waiting").wait_for()
    # Charts over a range that one chooses, by sender domain and receiving domain.
    page.get_by_label("Charts over").select_option(label="Last 24 hours")
    page.get_by_label("Receiving domain").fill("moving.test")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="1 queue").wait_for()
    said(page, "Last 24 hours", "Sent", "Delivered", "Bounced", "Rejected", "In", "Tried", "Out")
    page.goto("/")
    said(page, "Mail to q0.test has been paused for more than 2 days", "Mail to q1.test is paused",
         "Complaint rate of", "0.44", "Gmail and Yahoo want under 0.1 %", "Today and 7 days", "Gmail and Yahoo rules",
         "Tasks under way", "at most 1 minute behind", "News for {{name}}")  # fmt: skip
    assert page.locator(".ph-kpi dt").all_inner_texts() == [
        "Requests", "Delivered", "Bounced", "Complaints", "Opened", "Clicked",
    ]  # fmt: skip
    # The same in the statistics, by the day of the request.
    heads = "section:has(h2:text('By day')) thead th"
    page.goto("/statistics/sending/")
    assert page.locator(heads).all_inner_texts() == [
        "Day", "Sends", "Rejected", "Paid", "Invalid addresses", "Bounces (spam)", "Bounces (others)", "Deliveries",
        "Delivery rate",
    ]  # fmt: skip
    said(page, "90.0 %", "at most 1 minute behind")
    page.locator(".ph-more > summary").click()
    for label in ("Sender domain", "Receiving domain", "Template", "API user", "Email type", "Label"):
        assert page.locator("form.ph-filters label", has_text=label).first.is_visible(), label
    page.goto("/statistics/tracking/")
    assert page.locator(heads).all_inner_texts() == [
        "Day", "Deliveries", "Opened", "Opens", "Open rate", "Clicked", "Clicks", "Click rate", "Unsubscriptions",
        "Unsubscription rate", "Complaints", "Complaint rate", "Opens by machines", "Clicks by machines",
    ]  # fmt: skip
    said(page, "33.3 %", "0.44 %")
    assert of.label == ""


def test_what_came_back_is_counted_by_domains_and_days(signed_in: Callable[..., Page]) -> None:
    came_back(1)
    opened_and_clicked(4)
    page = signed_in("viewer")
    for url in ("/spam-reports/counts/", "/bounced/counts/", "/unsubscriptions/counts/", "/opens-and-clicks/counts/"):
        page.goto(url)
        for heading in ("By sender domain", "By receiving domain"):
            page.get_by_role("heading", name=heading).wait_for()
        said(page, "by day", "news.example.com", "gmail.com")
    export(state="failed", problem="There is no room left on the disk. Make room, then run it again.")
    page.goto("/offline-data/")
    said(page, "Email status, CSV", "Failed", "There is no room left on the disk.", "Run again", "kept for 7 days")
    page.goto("/opens-and-clicks/")
    page.locator("h2#found", has_text="4 opens and clicks").wait_for()
    said(page, "automatic", "Opened", "Clicked", "shop.example/items/1?from=mail")
    page.locator(".ph-more > summary").click()
    page.get_by_label("Email type", exact=False).and_(page.locator("summary")).click()
    page.get_by_label("Batch", exact=True).check()
    page.get_by_role("button", name="Search").click()
    page.get_by_text("Nothing").first.wait_for()
    page.get_by_text("Clear all").first.click()
    page.locator("h2#found", has_text="4 opens and clicks").wait_for()
