"""Sender domains, addresses, API users and the account, as an administrator sets them up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from console.models import Account, ApiUser
from delivery.models import DnsRecord, SenderDomain
from delivery.services import credits, domains, quota
from tests.factories.delivery import AddressFactory, DomainFactory

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Record → its type and host, and whether it is needed.
RECORDS = {
    "DKIM": ("TXT", "ph1._domainkey.care.example.com"),
    "Bounce host MX": ("MX", "bounce.care.example.com"),
    "Bounce host SPF": ("TXT", "bounce.care.example.com"),
    "DMARC": ("TXT", "_dmarc.care.example.com"),
    "SPF": ("TXT", "care.example.com"),
    "Tracking host": ("CNAME", "track.care.example.com"),
}


def a_domain_in_trouble() -> SenderDomain:
    """It lost its DKIM record, and has two SPF records."""
    domain = domains.add_domain("care.example.com")
    spf = domain.records.get(purpose="spf").expected
    for purpose, state, current in (
        ("dkim", DnsRecord.State.MISSING, "NXDOMAIN"),
        ("bounce_mx", DnsRecord.State.MATCHES, "10 localhost"),
        ("spf", DnsRecord.State.SEVERAL, f"{spf}\nv=spf1 include:_spf.officemail.example -all"),
    ):
        domain.records.filter(purpose=purpose).update(state=state, current=current, checked_at=timezone.now())
    domain.problem = "The DKIM record is gone."
    domain.save()
    quota.set_level(domain, 4, now=timezone.now())
    return domain


def said(page: Page, *texts: str) -> None:
    """On the page as it is now."""
    shown = page.locator("main").inner_text()
    for text in texts:
        assert text in shown, (text, shown)


def test_a_domain_shows_what_to_publish_beside_what_dns_answers_and_why_it_stopped(
    signed_in: Callable[..., Page], settings: Any
) -> None:
    settings.PUBLIC_URL = "https://posthorn.example"  # a host that a tracking host can lead to
    domain = a_domain_in_trouble()
    page = signed_in("administrator")
    page.goto("/domains/")
    row = page.locator("#results tbody tr")
    assert row.get_by_role("button", name="Verify").count() == 1
    row.get_by_label("More actions").click()
    said(page, "Pending verification", "Delete…")
    page.goto(f"/domains/{domain.pk}/")
    said(page, "The DKIM record is gone.", "Level 4 of 20",
         "0 of 5,000 today", "every 10 minutes for 2 hours", "then every hour", "at two checks an hour apart",
         "Several records", "Only one SPF record may exist",
         "v=spf1 include:_spf.officemail.example -all", "DNS answers now")  # fmt: skip
    shown = page.locator("section", has=page.get_by_role("heading", name="DNS records")).inner_text()
    for name, (type, host) in RECORDS.items():
        assert re.search(rf"{type}\s+{name}\s+{re.escape(host)}", shown), (name, shown)
    assert "v=DKIM1; k=rsa; p=" in shown
    page.goto("/")
    said(page, "care.example.com lost its records", "The DKIM record is gone.")
    office = DomainFactory(verified=True, corporate_mail="MX aspmx.officemail.example")
    page.goto(f"/domains/{office.pk}/")
    said(page, "Verified", "MX aspmx.officemail.example", "Use a subdomain")
    page.goto(f"/domains/{domain.pk}/")
    page.locator("main details", has_text="Make a new DKIM key…").locator("summary").click()
    page.get_by_text("Make a new DKIM key…").click()
    page.locator("main form button", has_text="key").first.click()
    page.get_by_text("ph2._domainkey.care.example.com").first.wait_for()  # beside the first, which still signs
    # It can't be renamed: nothing on its page or the list leads to a form for that.
    assert not page.locator("main a[href$='/edit/']").count()
    # Ten addresses, and no more.
    AddressFactory.create_batch(10, domain=domain)
    page.goto("/addresses/new/")
    page.get_by_label("Prefix").fill("eleventh")
    page.get_by_role("button", name="Create").click()
    page.locator(".invalid-feedback, [role=alert]", has_text="10").first.wait_for()


def test_an_api_user_and_the_account_have_all_their_settings(signed_in: Callable[..., Page]) -> None:
    DomainFactory(name="news.example.com", verified=True)
    page = signed_in("administrator")
    page.goto("/api-users/")
    for name in ("console-batch", "console-trigger"):  # the console has one of each type of its own
        page.locator("#results tbody tr", has_text=name).get_by_text("The console's own").wait_for()
    page.get_by_role("link", name="Create API user").click()
    page.get_by_label("Name").fill("shop")
    page.locator("label", has_text="Batch").click()
    page.get_by_label("Reply-To").fill("answers@example.com")
    page.get_by_label("Sender domain").select_option("news.example.com")
    page.get_by_label("Daily quota").fill("1000")
    page.get_by_label("Track clicks").uncheck()
    page.get_by_role("button", name="Create").click()
    secret = page.locator("#secret").inner_text()
    user = ApiUser.objects.get(name="shop")
    assert user.has_secret(secret)
    page.goto(f"/api-users/{user.pk}/")
    said(page, "Enabled", "Batch", "answers@example.com", "news.example.com", "1,000")
    facts = page.locator("dl.ph-facts").first.inner_text()
    assert re.search(r"Track opens\s+Yes\s+Track clicks\s+No", facts), facts
    assert secret not in page.content()
    page.get_by_role("link", name="Disable…").click()
    page.get_by_role("button", name="Disable").click()
    page.get_by_text("Its mail is held.").wait_for()

    page.goto("/account/")
    facts = page.locator("dl.ph-facts").first.inner_text()
    for fact in (r"Name\s+Posthorn", r"Time zone\s+UTC", r"Credits\s+Unlimited · Plan", r"Retry window\s+72 hours"):
        assert re.search(fact, facts), facts
    page.get_by_role("link", name="Words and logo").wait_for()
    page.get_by_role("link", name="Edit").click()
    for hours in ("0", "121"):
        page.get_by_label("Retry window in hours").fill(hours)
        page.get_by_role("button", name="Save").click()
        page.locator(".invalid-feedback", has_text="Enter 1 to 120 hours.").wait_for()
    page.get_by_label("Retry window in hours").fill("120")
    page.get_by_label("Name").fill("Morrow & Finch")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The account is saved.").wait_for()
    assert (Account.current().retry_hours, Account.current().time_zone) == (120, "Asia/Tokyo")
    page.locator(".ph-top", has_text="Tokyo").wait_for()
    credits.top_up(1200, by="Ann", now=timezone.now())
    page.goto("/account/")
    said(page, "1,200 left")
    page.get_by_role("link", name="Plan", exact=True).last.click()
    page.get_by_role("heading", level=1, name="Plan").wait_for()
    limits = page.locator("section[aria-labelledby=li]").inner_text()
    for limit in (r"regular mail\s+20", r"imported file\s+10,000", r"of a domain\s+10", r"tried for\s+120 hours"):
        assert re.search(limit, limits), limits
    said(page, "1,200", "Paid mail by day", "Ledger", "Sender domains today")
