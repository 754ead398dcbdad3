"""What operators and administrators look up, as they meet it: held mail, plan, sending IPs, blocklist, versions."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from console.models import Account, ApiUser
from delivery import jobs
from delivery.engine.settle import Settled, settle
from delivery.engine.types import Verdict
from delivery.models import CreditEntry, DomainDay, HeldBy, Message, PauseCause, SenderAddress, Status, Task, Template
from delivery.services import credits, going_on, quota, tasks, warmup
from delivery.services.times import Times
from delivery.simulator.server import running_simulator
from suppression.models import Entry
from tests.engine.world import claim_all, delivered, exchange, group_of, started
from tests.factories.delivery import AddressFactory, TemplateFactory
from tests.factories.sending import message, new_task
from tests.factories.suppression import EntryFactory

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("POSTHORN_SHOTS", "")


def looked_at(page: Page, axe: Callable[[Page], list[str]], name: str) -> None:
    assert axe(page) == []
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


# --- held mail


def requested(subject: str, sender: SenderAddress | None = None, **changed: Any) -> Task:
    """A task with one recipient, from a domain of its own."""
    return started(["reader@reader.example"], sender or AddressFactory(), subject=subject, **changed)


@contextmanager
def meanwhile(row: Any, **values: Any) -> Iterator[None]:
    """The row has these values for a while; nobody is told that it ends."""
    rows = type(row).objects.filter(pk=row.pk)
    before = rows.values(*values).get()
    rows.update(**values)
    yield
    rows.update(**before)


def over_the_days_cap(subject: str, **day: Any) -> None:
    """Mail that the engine has in hand while its domain's day is as told."""
    sender = AddressFactory()
    now = timezone.now()
    DomainDay.objects.create(domain=sender.domain, day=quota.local_day(now), level=1, **day)
    requested(subject, sender=sender)
    batch = claim_all()
    over = going_on.over_quota(batch, now=now)
    assert settle([Settled(one, Status.HELD, held_by=over[one.message_id]) for one in batch], now=now) == 1


def held_for_each_cause() -> None:
    """One message by each cause, which is its subject."""
    batch = ApiUser.console(ApiUser.Type.BATCH)
    credits.top_up(0, by="Ann", now=timezone.now())
    requested(HeldBy.CREDITS)
    credits.lift_limit()
    with meanwhile(batch, enabled=False):
        requested(HeldBy.API_USER)
    with meanwhile(Account.current(), sending_stopped_at=timezone.now()):
        requested(HeldBy.ACCOUNT)
    over_the_days_cap(HeldBy.QUOTA, attempted=warmup.cap(1))
    over_the_days_cap(HeldBy.DOMAIN_BLOCKED, blocked_at=timezone.now())
    sender: SenderAddress = AddressFactory()
    new = new_task(subject=HeldBy.DOMAIN_UNVERIFIED, sender_address=sender, group=group_of(["reader@reader.example"]))
    task = tasks.create_task(new)
    with meanwhile(sender.domain, verified_at=None):
        tasks.expand(task.pk, now=timezone.now())
    paused = requested(HeldBy.TASK_PAUSED)
    tasks.pause(paused, cause=PauseCause.OPERATOR, by="Ann")
    jobs.hold_task(paused.pk)
    clock = timezone.localtime(timezone.now())
    opens, closes = ((clock + dt.timedelta(hours=ahead)).time() for ahead in (3, 5))
    requested(HeldBy.WINDOW, times=Times(opens=opens, closes=closes))


# Why, and what ends it.
WORDS = {
    HeldBy.CREDITS: ("credits used up", "It goes on when credits are added."),
    HeldBy.API_USER: ("API user disabled", "It goes on when an administrator enables the API user."),
    HeldBy.ACCOUNT: ("sending stopped for the account", "It goes on when an administrator lets sending go on."),
    HeldBy.QUOTA: ("daily quota reached", "It goes on by itself on the next day."),
    HeldBy.DOMAIN_BLOCKED: ("domain blocked for today", "It goes on by itself on the next day."),
    HeldBy.DOMAIN_UNVERIFIED: ("domain not verified", "It goes on by itself as soon as the sender domain is verified."),
    HeldBy.TASK_PAUSED: ("task paused", "It goes on when the task is resumed."),
    HeldBy.WINDOW: ("outside the send window", "It goes on by itself when the send window opens."),
}


def test_held_mail_says_each_of_its_causes_and_what_ends_it(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    assert set(WORDS) == set(HeldBy)
    held_for_each_cause()
    page = signed_in("viewer")
    page.goto("/email-status/?status=held")
    page.locator("h2#found", has_text=f"{len(WORDS)} emails").wait_for()
    for why, _ends in WORDS.values():
        page.locator("#results tbody tr", has_text=why).wait_for()
    looked_at(page, axe, "held-list")
    for cause, (why, ends) in WORDS.items():
        page.goto(f"/email-status/{Message.objects.get(subject=cause).pk}/")
        page.get_by_text(f"Held: {why}.").wait_for()
        page.get_by_text(ends).wait_for()


def test_stopping_a_task_cancels_what_was_not_tried(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    task = started([f"reader{n}@reader.example" for n in range(3)], AddressFactory())
    page = signed_in("operator")
    page.goto(f"/tasks/{task.pk}/")
    page.locator(f"a[href='/tasks/{task.pk}/stop/']").first.evaluate("link => link.click()")
    page.get_by_text("3 of 3 mails have no final status yet").wait_for()
    page.locator("form.card-body button").click()
    page.wait_for_url(f"**/tasks/{task.pk}/")
    jobs.cancel_task(task.pk)
    page.goto(f"/email-status/?status=cancelled&task={task.pk}")
    page.locator("h2#found", has_text="3 emails").wait_for()
    looked_at(page, axe, "cancelled")
    page.goto(f"/email-status/{Message.objects.get(recipient='reader1@reader.example').pk}/")
    page.get_by_text("Not tried: its task was stopped.").wait_for()
    page.get_by_text("By operator.").wait_for()


def test_all_sending_stopped_is_loud_on_every_page_and_holds_what_is_asked_for(signed_in: Callable[..., Page]) -> None:
    page = signed_in("administrator")
    page.goto("/account/stop/")
    page.get_by_role("button", name="Stop all sending…").click()
    page.get_by_label("Type Posthorn to go on").fill("Posthorn")
    page.get_by_role("button", name="Stop all sending").click()
    page.locator(".ph-stopped", has_text="by administrator").wait_for()
    made = requested("News").pk
    links = page.locator("nav.ph-side li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(links) > 15
    for link in links:
        assert "All sending is stopped." in page.request.get(link).text(), link
    assert Message.objects.get(task=made).held_by == HeldBy.ACCOUNT
    page.goto("/account/resume/")
    page.get_by_role("button", name="Resume sending").click()
    page.get_by_text("Sending goes on.").wait_for()
    assert not page.locator(".ph-stopped").count()
    jobs.release(HeldBy.ACCOUNT)
    page.goto(f"/email-status/?task={made}")
    page.locator("#results tbody tr", has_text="Sending").wait_for()


# --- plan and sending IPs


def test_the_plan_shows_what_is_left_its_ledger_and_each_domains_level(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    page = signed_in("administrator")
    page.goto("/plan/")
    for amount, note in (("100", "First"), ("20", "Invoice 7")):
        page.get_by_role("spinbutton", name="Credits").fill(amount)
        page.get_by_label("Note").fill(note)
        page.get_by_role("button", name="credits").click()
        page.get_by_text("written into the ledger").wait_for()
    sender: SenderAddress = AddressFactory()
    quota.set_level(sender.domain, 4, now=timezone.now())
    started([f"reader{n}@reader.example" for n in range(3)], sender)
    batch = claim_all()
    assert going_on.over_quota(batch, now=timezone.now()) == {}
    blocked = Settled(
        batch[0],
        Status.INVALID,
        reason="ip_or_domain",
        exchange=exchange(550, "550 5.7.1 listed"),
        verdict=Verdict("refused", "ip_or_domain", "ip", "rule"),
    )
    settle([blocked, *map(delivered, batch[1:])], now=timezone.now())
    page.goto("/plan/")
    page.locator(".ph-fig", has_text="118").wait_for()  # two were worth it, the third came back
    lines = page.locator("section[aria-labelledby=le] tbody tr")
    shown = [int(text.replace(",", "")) for text in lines.locator(".ph-num").all_inner_texts()]
    assert sorted(shown) == [-3, 1, 20, 100]
    assert sum(shown) == credits.left() == 118
    assert lines.filter(has_text="Invoice 7").filter(has_text="administrator").count() == 1
    assert CreditEntry.objects.count() == 4
    today = page.locator("section[aria-labelledby=sd] tbody tr", has_text=sender.domain.name)
    assert [text.strip() for text in today.locator("td").all_inner_texts()[1:]] == ["4", "3 of 5,000"]
    looked_at(page, axe, "plan")


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_is_no_administrator_sees_the_plan_and_adds_nothing(role: str, signed_in: Callable[..., Page]) -> None:
    credits.top_up(5, by="Ann", now=timezone.now())
    page = signed_in(role)
    page.goto("/plan/")
    page.locator(".ph-fig", has_text="5").wait_for()
    assert not page.locator("main form").count()


def test_sending_ips_are_checked_at_a_click(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]], settings: Any, tmp_path: Path
) -> None:
    settings.SIMULATOR, settings.PREFLIGHT_HOST, settings.SENDING_IPS = True, "", ["127.0.0.1"]
    with running_simulator(tmp_path) as simulator:
        settings.DNS_SERVERS, settings.MX_PORT = [f"127.0.0.1:{simulator.dns_port}"], simulator.smtp_port
        page = signed_in("administrator")
        page.goto("/sending-ips/")
        page.get_by_text("Not checked yet.").wait_for()
        page.get_by_role("button", name="Check now").click()
        page.get_by_text("Checked: mail can leave from every sending IP.").wait_for()
    for heading in ("127.0.0.1", "Mail today", "EHLO name", "Reverse DNS", "Port 25"):
        page.get_by_role("heading", name=heading).wait_for()
    page.get_by_text("mx.simulator.test answered: 220").wait_for()
    looked_at(page, axe, "sending-ips")


# --- blocklist and versions


def test_an_address_on_all_four_lists_is_found_and_taken_off_all(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    for which in Entry.List.values:
        EntryFactory(key="ann@example.org", list=which)
    EntryFactory(key="bea@example.org")
    page = signed_in("operator")
    page.goto("/blocklist/")
    page.get_by_role("textbox", name="Address").fill("ANN@example.org")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="4 entries").wait_for()
    for which in Entry.List.labels:
        page.locator("#results tbody tr", has_text=str(which)).wait_for()
    looked_at(page, axe, "blocklist-of-one")
    for box in page.locator("#results tbody input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Remove", exact=False).first.click()
    page.locator("form.card-body button").first.click()
    page.get_by_text("4 entries are deleted.").wait_for()
    assert Entry.objects.get().key == "bea@example.org"


def test_mail_keeps_the_version_of_its_template_that_it_was_sent_with(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    template: Template = TemplateFactory(name="Welcome", source="<p>The first words, {{name}}</p>")
    sent = message(version=template.current)
    page = signed_in("operator")
    page.goto(f"/templates/{template.pk}/")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Body", exact=True).fill("<p>Quite others, {{name}}</p>")
    page.get_by_role("button", name="Save").click()
    versions = page.locator("section[aria-labelledby=ve]")
    versions.get_by_text("Version 2").wait_for()
    page.frame_locator("iframe").get_by_text("Quite others").wait_for()
    versions.get_by_role("link", name="Version 1").click()
    page.get_by_text("(not the current one)").wait_for()
    page.frame_locator("iframe").get_by_text("The first words").wait_for()
    looked_at(page, axe, "template-versions")
    page.goto(f"/email-status/{sent.pk}/mail/")
    page.get_by_text("version 1").wait_for()
    page.frame_locator("iframe").get_by_text("The first words, Ann").wait_for()
