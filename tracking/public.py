"""What recipients and their programs open: the click redirect and the open image, and what the public pages share.

Nothing here knows a session, sets a cookie or acts on a GET; the signed token in the URL is the whole authority. A
token that was not made here and a message that is no longer kept look the same from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Literal

import structlog
from django.db import Error
from django.http import HttpRequest, HttpResponse

from console import ids
from tracking import hits
from tracking.automatic import hint_headers
from tracking.hits import Hit
from tracking.links import click_target, tokens
from tracking.public_page import not_valid
from tracking.visitors import visitor

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
    target = click_target(known) if known else None
    if known is None or target is None:
        return not_valid(request)
    _record("click", known.message_id, request, target)
    # Not HttpResponseRedirect, which refuses addresses above 2,048 characters; mail has longer ones.
    return HttpResponse(status=302, headers={"Location": target})


@public
def open_image(request: HttpRequest, token: str) -> HttpResponse:
    """The image at the end of a mail. A HEAD is not counted."""
    message_id = tokens().read_open(token)
    if message_id is None:
        return HttpResponse(status=404)
    _record("open", message_id, request)
    return HttpResponse(PIXEL, content_type="image/gif")


def _record(kind: Literal["open", "click"], message_id: int, request: HttpRequest, link: str = "") -> None:
    """A GET is a hit. A HEAD asks what there is, and is none."""
    if request.method != "GET":
        return
    who = visitor(request)
    hints = tuple((name, request.META[name]) for name in hint_headers() if name in request.META)
    try:
        id = ids.new_id()
    except Error:
        # Whoever reads the mail gets to the page all the same.
        log.exception("hits_lost", count=1)
        return
    hits.add(Hit(id, message_id, kind, link, who.ip, who.user_agent, hints))
