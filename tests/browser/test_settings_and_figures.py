"""What is told to others, what is followed, and the figures that come of it, as people meet them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from console.models import Account
from delivery.callbacks import outbox
from delivery.models import Callback, SenderDomain
from tests.callbacks.receiver import receiving
from tests.factories.delivery import AddressFactory, DomainFactory
from tests.factories.statistics import counted, fold

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_callback_address_is_added_and_hears_a_test_event(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]], settings: Any
) -> None:
    outbox.forget()
    page = signed_in("administrator")
    with receiving() as receiver:
        page.goto("/callbacks/")
        page.get_by_role("link", name="Add callback address").first.click()
        page.get_by_label("URL").fill(receiver.url)
        page.get_by_role("button", name="Add").click()
        # Neither its port nor its network is one that callbacks may go to.
        page.locator(".invalid-feedback", has_text="80, 443").wait_for()
        settings.CALLBACK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
        settings.CALLBACK_PORTS = [*settings.CALLBACK_PORTS, receiver.server_port]
        page.get_by_role("button", name="Add").click()
        page.locator("#secret").wait_for()
        assert axe(page) == []
        page.goto(f"/callbacks/{Callback.objects.get().pk}/")
        assert page.locator("#secret").count() == 0, "a secret is shown once"
        page.get_by_role("button", name="Send test event").click()
        page.get_by_text("The test event was taken (200).").wait_for()
        assert axe(page) == []
        head, _body = receiver.asked[0]
        assert head["X-Posthorn-Signature"].startswith("t=")
        # One for the account, and one for each sender address.
        sender = AddressFactory()
        page.goto("/callbacks/new/")
        assert page.locator("main form").inner_text().count("80, 443, 8080, 8081, 8082") == 1
        page.get_by_label("URL").fill(receiver.url)
        page.get_by_role("button", name="Add").click()
        page.get_by_text("The account has a callback address already.").first.wait_for()
        page.get_by_label("For mail from").select_option(value=str(sender.pk))
        page.get_by_role("button", name="Add").click()
        page.locator("#secret").wait_for()
        page.goto("/callbacks/")
        page.locator("#results tbody tr", has_text=f"for {sender.address}").wait_for()
    outbox.forget()


def test_tracking_is_switched_for_the_account_after_asking_twice_and_for_the_domains_chosen(
    signed_in: Callable[..., Page],
) -> None:
    for name in ("one.example.com", "two.example.com"):
        DomainFactory(name=name, verified=True)
    page = signed_in("administrator")
    page.goto("/tracking-settings/")
    page.get_by_role("link", name="Turn off…").first.click()
    page.get_by_role("button", name="Turn opens off…").click()
    page.get_by_label("to go on").fill("no")
    page.get_by_role("button", name="Turn opens off").click()
    page.get_by_role("alert").wait_for()
    assert Account.current().track_opens
    page.get_by_label("to go on").fill(Account.current().name)
    page.get_by_role("button", name="Turn opens off").click()
    page.get_by_text("Tracking of opens is off.").wait_for()
    assert not Account.current().track_opens
    page.get_by_label("Domain", exact=True).fill("two")
    page.get_by_role("button", name="Search").click()
    page.locator("h2#found", has_text="1 sender domain").wait_for()
    page.get_by_label("Select two.example.com").check()
    page.get_by_role("button", name="Stop following clicks of selected…").click()
    page.get_by_role("button", name="Stop following clicks of 1 sender domain").click()
    page.get_by_text("Clicks turned off for 1 domain.").wait_for()
    assert dict(SenderDomain.objects.values_list("name", "track_clicks")) == {
        "one.example.com": True,
        "two.example.com": False,
    }


def test_figures_are_narrowed_taken_away_and_refused_over_31_days(
    signed_in: Callable[..., Page], axe: Callable[[Page], list[str]]
) -> None:
    now = timezone.now()
    of = counted(now, to="one.example", requested=5, delivered=4, spam=1)
    counted(now, of=of, to="two.example", requested=7, delivered=7)
    fold()
    page = signed_in("viewer")
    page.goto("/statistics/sending/")
    whole = page.locator("tr", has=page.get_by_role("rowheader", name="All", exact=True))
    assert whole.inner_text().split()[:2] == ["All", "12"]
    page.get_by_label("Receiving domain").fill("one.example")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**receiv**")
    assert whole.inner_text().split()[:2] == ["All", "5"]
    assert axe(page) == []
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    assert ",5," in taken.value.path().read_text()
    page.goto("/statistics/sending/?from=2026-10-01&to=2026-10-31")
    page.get_by_text("31 days").first.wait_for()
