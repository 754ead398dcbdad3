"""Links of a mail that was sent."""

from __future__ import annotations

from typing import Any

from tests.samples import url_of
from tests.tracking.mail import send


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
