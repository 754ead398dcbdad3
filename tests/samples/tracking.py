"""Links of a mail that was sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from console import ids
from suppression import services as suppression
from tests.factories.sending import message
from tests.samples import rows, url_of
from tests.tracking.mail import send
from tests.tracking.pictures import PNG
from tracking import recording, unsubscribing
from tracking.hits import Hit
from tracking.links import tokens
from tracking.models import Event, UnsubscribePage
from tracking.visitors import Visitor


def _token(path: str) -> dict[str, Any]:
    return {"token": path.split("/")[2].removesuffix(".gif")}


@url_of("unsubscribe")
def unsubscribe() -> dict[str, Any]:
    return _token(send().unsubscribe)


@url_of("click")
def click() -> dict[str, Any]:
    return _token(send().click(0))


@url_of("open-image")
def open_image() -> dict[str, Any]:
    return _token(send().open)


@url_of("resubscribe")
def resubscribe() -> dict[str, Any]:
    sent = send()
    unsubscribing.unsubscribe(sent.message.pk, Visitor(), now=timezone.now())
    return {"token": tokens().resubscribe(sent.message.pk)}


@url_of("unsubscribe-logo")
def logo() -> dict[str, Any]:
    UnsubscribePage.objects.update_or_create(
        pk=1,
        defaults={"logo": PNG, "logo_type": "image/png", "logo_width": 1, "logo_height": 1, "logo_digest": "a" * 32},
    )
    return {"digest": "a" * 32}


AGENTS = (
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0",
    "Mozilla/5.0 (compatible; BarracudaCentral/1.0)",
)


@rows("opens-and-clicks", "opens-and-clicks-counts")
def opened_and_clicked(n: int) -> None:
    """Over the last days: a person's and machines'."""
    hits = []
    for number in range(n):
        domain = ("gmail.com", "outlook.com", f"d{number}.example")[number % 3]
        made = message(f"p{number}@{domain}", sender=f"a@{('news', 'shop')[number % 2]}.example.com")
        id = ids.new_id() - (number % 7 * 86_400_000 << ids.SHIFT)
        link = f"https://shop.example/items/{number}?from=mail" if number % 2 else ""
        hits.append(
            Hit(id, made.pk, "click" if link else "open", link, f"192.0.2.{number}", AGENTS[number % len(AGENTS)])
        )
    recording.write(hits)


@rows("spam-reports-counts", "unsubscriptions-counts", "bounced-counts")
def came_back(n: int) -> None:
    """Over the last days: to a few domains most, to many others some."""
    now = timezone.now()
    for number in range(n * 6):
        domain = ("gmail.com", "gmail.com", "outlook.com", "qq.com", f"d{number}.example")[number % 5]
        made = message(f"p{number}@{domain}", sender=f"a@{('news', 'shop', 'care')[number % 3]}.example.com")
        for kind in ("complaint", "unsubscribe"):
            Event.objects.create(
                id=ids.new_id() - (number % 7 * 86_400_000 << ids.SHIFT),
                message_id=made.pk,
                sender_domain_id=made.sender_domain_id,
                receiving_domain_id=made.receiving_domain_id,
                kind=kind,
            )
        at = now - dt.timedelta(days=number % 7)
        suppression.hard_bounces([suppression.HardBounce(made.recipient, False, made.pk, "550 5.1.1")], now=at)
