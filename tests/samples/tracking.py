"""Links of a mail that was sent."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from tests.samples import url_of
from tests.tracking.mail import send
from tests.tracking.pictures import PNG
from tracking import unsubscribing
from tracking.links import tokens
from tracking.models import UnsubscribePage
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
