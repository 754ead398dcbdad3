"""What recipients and their programs open: the unsubscribe page, the click redirect, the open image.

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
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from delivery.models import Message
from tracking import services
from tracking.links import click_target, tokens
from tracking.models import Event
from tracking.services import Visitor

log = structlog.get_logger()

# The one-click body has 26 bytes and the form's none; some mail programs send it as multipart.
MAX_BODY = 16 * 1024
# A transparent GIF of one pixel.
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")

View = Callable[[HttpRequest, str], HttpResponse]


def _public(view: View) -> View:
    """Headers of every answer to a link in a mail: kept by nobody, told to nobody, found by no search engine."""

    @wraps(view)
    def answered(request: HttpRequest, token: str) -> HttpResponse:
        response = view(request, token)
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex"
        return response

    return answered


@csrf_exempt
@_public
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks and changes nothing; POST acts, whether it comes from the page or from a mail program.

    RFC 8058 §3.2: the POST brings no cookie and is answered without a redirect. Hence no CSRF token: it would need a
    cookie, and what the token in the URL allows is all that can be done here.
    """
    message_id = tokens().read_unsubscribe(token)
    if message_id is None:
        return _not_valid()
    if request.method != "POST":
        message = Message.objects.filter(pk=message_id).first()
        if message is None:
            return _not_valid()
        return _page("unsubscribed" if services.is_unsubscribed(message) else "unsubscribe", message)
    if _body_size(request) > MAX_BODY:
        return HttpResponse(status=413)
    done = services.unsubscribe(message_id, visitor(request), now=timezone.now(), one_click=_is_one_click(request))
    return _page("unsubscribed", done.message) if done else _not_valid()


@_public
def click(request: HttpRequest, token: str) -> HttpResponse:
    """To where a link of one of our mails leads. Only links that we signed; a HEAD is not counted."""
    known = tokens().read_click(token)
    target = click_target(*known) if known else None
    if known is None or target is None:
        return _not_valid()
    if request.method == "GET":
        _record(known[0], Event.Kind.CLICK, request, target)
    # Not HttpResponseRedirect, which refuses addresses above 2,048 characters; mail has longer ones.
    return HttpResponse(status=302, headers={"Location": target})


@_public
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


def masked(address: str) -> str:
    """“ann@example.com” → “an•••••@example.com”: known again by its owner, of no use to others."""
    local, _, domain = address.rpartition("@")
    return f"{local[: 2 if len(local) > 2 else 1]}•••••@{domain}"


def _record(message_id: int, kind: Any, request: HttpRequest, link: str = "") -> None:
    try:
        services.record_hit(message_id, kind, visitor(request), now=timezone.now(), link=link)
    except DatabaseError:
        # Whoever reads the mail gets to the page all the same.
        log.exception("hit_lost", message=message_id, kind=str(kind))


def _is_one_click(request: HttpRequest) -> bool:
    """Whether a mail program asks. A body that can't be read is no reason not to act."""
    try:
        return request.POST.get("List-Unsubscribe", "").strip().lower() == "one-click"
    except (MultiPartParserError, SuspiciousOperation, UnreadablePostError):
        return False


def _body_size(request: HttpRequest) -> int:
    # Without a length the server hands us no body.
    length = request.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else 0


def _page(name: str, message: Message) -> HttpResponse:
    sender = message.sender_name or message.sender.rpartition("@")[2]
    # Without the request: nothing of whoever may be signed in at this browser belongs on these pages.
    return HttpResponse(
        render_to_string(f"tracking/{name}.html", {"sender": sender, "address": masked(message.recipient)})
    )


def _not_valid() -> HttpResponse:
    return HttpResponse(render_to_string("tracking/not_valid.html"), status=404)
