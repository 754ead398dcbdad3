"""The contact page and its unblocking as an operator meets them, at a desk and on a phone."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from console.models import ApiUser
from delivery.models import Reason, Status
from suppression import services as suppression
from suppression.models import Entry
from tests.factories.sending import message
from tracking import complaints
from tracking.models import Event

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("POSTHORN_SHOTS", "")
WHO = "beatriz.nogueira.almeida.1990@gmail.com"
GONE = "550 5.1.1 The email account that you tried to reach does not exist. gsmtp"


def looked_at(page: Any, axe: Callable[[Any], list[str]], name: str) -> None:
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            assert axe(page) == []
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            if SHOTS:
                page.screenshot(path=f"{SHOTS}/{name}-{scheme}-{width}.png", full_page=True)


def test_an_operator_finds_an_address_and_unblocks_it(
    signed_in: Callable[..., Any], axe: Callable[[Any], list[str]]
) -> None:
    now = timezone.now()
    user = ApiUser.console("batch")
    liked = message(WHO, subject="Primavera: linho lavado à mão", opened_at=now, clicked_at=now, api_user=user)
    bounced = message(WHO, subject="Seu pedido", status=Status.INVALID, reason=Reason.NOT_EXIST, last_reply=GONE)
    for kind in ("open", "click"):
        Event.objects.create(
            message_id=liked.pk, kind=kind, ip="203.0.113.9", user_agent="Thunderbird", link="https://a.example/"
        )
    suppression.hard_bounces([suppression.HardBounce(WHO, False, bounced.pk, GONE)], now=now)
    suppression.unsubscribe(WHO, api_user_id=user.pk, now=now, reason="not_wanted", message_id=liked.pk)
    complaints.complain(liked, now=now, source="page", detail={"reason": "spam"})
    page = signed_in("operator")
    page.goto("/search/")
    page.locator("#find").fill(WHO)
    page.keyboard.press("Enter")
    page.get_by_text("Deactivated").wait_for()
    looked_at(page, axe, "contact")
    page.get_by_role("link", name="Unblock…").click()
    page.get_by_role("button", name="Unblock").wait_for()
    looked_at(page, axe, "contact-unblock")
    page.get_by_role("button", name="Unblock").click()
    page.get_by_text("Nothing keeps mail from this address").wait_for()
    assert not Entry.objects.exists()
    looked_at(page, axe, "contact-free")
