"""What recipients and their programs open: the click redirect and the open image, and what the public pages share.

Nothing here knows a session, sets a cookie or acts on a GET; the signed token in the URL is the whole authority. A
token that was not made here and a message that is no longer kept look the same from outside.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from tracking import services
from tracking.links import click_target, tokens
from tracking.models import Event
from tracking.public_page import not_valid
from tracking.services import Visitor

log = structlog.get_logger()

# A transparent GIF of one pixel.
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")

View = Callable[[HttpRequest, str], HttpResponse]


def public(view: View) -> View:
    """Headers of every answer to a link in a mail: kept by nobody, told to nobody, found by no search engine."""

    @wraps(view)
    def answered(request: HttpRequest, token: str) -> HttpResponse:
        response = view(request, token)
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex"
        return response

    return answered


@public
def click(request: HttpRequest, token: str) -> HttpResponse:
    """To where a link of one of our mails leads. Only links that we signed; a HEAD is not counted."""
    known = tokens().read_click(token)
    target = click_target(*known) if known else None
    if known is None or target is None:
        return not_valid(request)
    if request.method == "GET":
        _record(known[0], Event.Kind.CLICK, request, target)
    # Not HttpResponseRedirect, which refuses addresses above 2,048 characters; mail has longer ones.
    return HttpResponse(status=302, headers={"Location": target})


@public
def open_image(request: HttpRequest, token: str) -> HttpResponse:
    """The image at the end of a mail. A HEAD is not counted."""
    message_id = tokens().read_open(token)
    if message_id is None:
        return HttpResponse(status=404)
    if request.method == "GET":
        _record(message_id, Event.Kind.OPEN, request)
    return HttpResponse(PIXEL, content_type="image/gif")


def visitor(request: HttpRequest) -> Visitor:
    """Address and user agent of a request; behind a proxy, the address that the proxy saw."""
    seen = request.META.get("REMOTE_ADDR", "")
    if settings.SECURE_PROXY_SSL_HEADER:
        # The last address is our proxy's own word, those before it are whatever it was told.
        seen = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or seen
    try:
        ip: str | None = str(ipaddress.ip_address(seen))
    except ValueError:
        ip = None
    agent = request.headers.get("User-Agent", "")
    return Visitor(ip, "".join(character for character in agent if character.isprintable()))


def _record(message_id: int, kind: Any, request: HttpRequest, link: str = "") -> None:
    try:
        services.record_hit(message_id, kind, visitor(request), now=timezone.now(), link=link)
    except DatabaseError:
        # Whoever reads the mail gets to the page all the same.
        log.exception("hit_lost", message=message_id, kind=str(kind))
