"""The unsubscribe page: what the link of a mail and the one-click header lead to, and the way back."""

from __future__ import annotations

import math
import time

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from delivery.models import Message
from suppression.models import UnsubscribeReason
from tracking import unsubscribing
from tracking.limiter import Limiter, client_of
from tracking.links import tokens
from tracking.public import public
from tracking.public_page import drawn, not_valid
from tracking.visitors import ip_of, visitor

# The one-click body has 26 bytes and the form's a few more; some mail programs send it as multipart.
MAX_BODY = 16 * 1024

# A minute, from one address. Who has a genuine link: a company's people behind one address, all reading the same mail.
BY_PAGE = Limiter(300)
# A mail provider's own machines, which press the button for millions.
BY_ONE_CLICK = Limiter(6000)
# Who has none: nobody guesses one in a lifetime, but it need not cost us anything.
BY_GUESS = Limiter(60)


@csrf_exempt
@public
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks and changes nothing; POST acts, whether it comes from the page or from a mail program.

    RFC 8058 §3.2: the POST brings no cookie and is answered without a redirect. Hence no CSRF token: it would need a
    cookie, and what the token in the URL allows is all that can be done here.
    """
    message_id = tokens().read_unsubscribe(token)
    if message_id is None:
        return _limited(request, BY_GUESS) or not_valid(request)
    if request.method != "POST":
        if limited := _limited(request, BY_PAGE):
            return limited
        message = Message.objects.filter(pk=message_id).first()
        if message is None:
            return not_valid(request)
        return _done(request, message) if unsubscribing.is_unsubscribed(message) else _asks(request, message)
    if _body_size(request) > MAX_BODY:
        return HttpResponse(status=413)
    one_click = _posted(request, "List-Unsubscribe").lower() == "one-click"
    if limited := _limited(request, BY_ONE_CLICK if one_click else BY_PAGE):
        return limited
    reason = _posted(request, "reason")
    done = unsubscribing.unsubscribe(
        message_id,
        visitor(request),
        now=timezone.now(),
        how="one_click" if one_click else "page",
        reason=reason if reason in UnsubscribeReason.values else "",
    )
    return _done(request, done.message, reported=reason in unsubscribing.REPORTS) if done else not_valid(request)


@csrf_exempt
@public
def resubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """The way back for whoever pressed by mistake. GET asks, POST acts; no CSRF token, for the same reason."""
    message_id = tokens().read_resubscribe(token)
    if message_id is None:
        return _limited(request, BY_GUESS) or not_valid(request)
    if limited := _limited(request, BY_PAGE):
        return limited
    if _body_size(request) > MAX_BODY:
        return HttpResponse(status=413)
    if request.method == "POST":
        done = unsubscribing.take_back(message_id, visitor(request), now=timezone.now())
        return _back(request, done.message) if done else not_valid(request)
    message = Message.objects.filter(pk=message_id).first()
    if message is None:
        return not_valid(request)
    return _drawn(request, "resubscribe", message) if unsubscribing.may_take_back(message) else _back(request, message)


def masked(address: str) -> str:
    """“ann@example.com” → “an•••••@example.com”: known again by its owner, of no use to others."""
    local, _, domain = address.rpartition("@")
    return f"{local[: 2 if len(local) > 2 else 1]}•••••@{domain}"


def _asks(request: HttpRequest, message: Message) -> HttpResponse:
    return _drawn(request, "unsubscribe", message, reasons=UnsubscribeReason.choices)


def _done(request: HttpRequest, message: Message, *, reported: bool = False) -> HttpResponse:
    undo = ""
    if unsubscribing.may_take_back(message):
        undo = reverse("resubscribe", args=[tokens().resubscribe(message.pk)])
    return _drawn(request, "unsubscribed", message, undo=undo, reported=reported)


def _back(request: HttpRequest, message: Message) -> HttpResponse:
    stopped = unsubscribing.is_stopped(message, now=timezone.now())
    again = reverse("unsubscribe", args=[tokens().unsubscribe(message.pk)])
    return _drawn(request, "resubscribed", message, stopped=stopped, again=again)


def _drawn(request: HttpRequest, name: str, message: Message, **context: object) -> HttpResponse:
    sender = message.sender_name or message.sender.rpartition("@")[2]
    return drawn(request, name, {"sender": sender, "address": masked(message.recipient), **context})


def _limited(request: HttpRequest, limiter: Limiter) -> HttpResponse | None:
    """The answer to who asks too often (RFC 6585 §4); None to all others."""
    seconds = math.ceil(limiter.wait(client_of(ip_of(request)), time.monotonic()))
    if not seconds:
        return None
    response = drawn(request, "too_many", {"seconds": seconds}, status=429)
    response["Retry-After"] = str(seconds)
    return response


def _posted(request: HttpRequest, name: str) -> str:
    """What was posted under this name. A body that can't be read is no reason not to act."""
    try:
        return request.POST.get(name, "").strip()
    except (MultiPartParserError, SuspiciousOperation, UnreadablePostError):
        return ""


def _body_size(request: HttpRequest) -> int:
    # Without a length the server hands us no body.
    length = request.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else 0
