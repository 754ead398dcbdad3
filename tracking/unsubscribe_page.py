"""The unsubscribe page: what the link of a mail and the one-click header lead to."""

from __future__ import annotations

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from delivery.models import Message
from tracking import unsubscribing
from tracking.links import tokens
from tracking.public import not_valid, public, visitor

# The one-click body has 26 bytes and the form's none; some mail programs send it as multipart.
MAX_BODY = 16 * 1024


@csrf_exempt
@public
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks and changes nothing; POST acts, whether it comes from the page or from a mail program.

    RFC 8058 §3.2: the POST brings no cookie and is answered without a redirect. Hence no CSRF token: it would need a
    cookie, and what the token in the URL allows is all that can be done here.
    """
    message_id = tokens().read_unsubscribe(token)
    if message_id is None:
        return not_valid()
    if request.method != "POST":
        message = Message.objects.filter(pk=message_id).first()
        if message is None:
            return not_valid()
        return _page("unsubscribed" if unsubscribing.is_unsubscribed(message) else "unsubscribe", message)
    if _body_size(request) > MAX_BODY:
        return HttpResponse(status=413)
    done = unsubscribing.unsubscribe(message_id, visitor(request), now=timezone.now(), one_click=_is_one_click(request))
    return _page("unsubscribed", done.message) if done else not_valid()


def masked(address: str) -> str:
    """“ann@example.com” → “an•••••@example.com”: known again by its owner, of no use to others."""
    local, _, domain = address.rpartition("@")
    return f"{local[: 2 if len(local) > 2 else 1]}•••••@{domain}"


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
