"""What the search of the top bar finds: mail by an address's beginning, a message by its id, a task by its number; and
what people have given a name, by any part of it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.views import Hit, search_handler
from console.window import MAX_DAYS, Window
from delivery.models import Message, RecipientGroup, SenderDomain, Task, Template
from delivery.pages.email_status import status_url
from suppression.address import is_address

_OF_A_KIND = 5
_MESSAGE_ID_FROM = 10**15  # the first day of 2020 gave ids as long; no task's number is


May = Callable[[str], bool]


@search_handler
def find(text: str, request: HttpRequest) -> list[Hit]:
    may = request.user.has_perm
    if "@" in text:
        # A whole address has a page of its own (tracking/pages/contact.py).
        return _address(text) if may("delivery.view_message") and not is_address(text) else []
    return _numbered(text, may) or _named(text, may)


def _numbered(text: str, may: May) -> list[Hit]:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        return []
    number = int(text)
    if number >= _MESSAGE_ID_FROM:
        return _message(number) if may("delivery.view_message") else []
    return _task(number) if may("delivery.view_task") else []


def _named(text: str, may: May) -> list[Hit]:
    """Nothing of this is one row a recipient: these tables are short."""
    kinds = (
        (_("Sender domain"), "domain", "delivery.view_senderdomain", SenderDomain.objects.all(), "name", "name"),
        (
            _("Email template"),
            "template",
            "delivery.view_template",
            Template.objects.filter(deleted_at=None),
            "name",
            "-pk",
        ),
        (_("Recipient group"), "group", "delivery.view_recipientgroup", RecipientGroup.objects.all(), "name", "-pk"),
        (_("Task"), "task", "delivery.view_task", Task.objects.all(), "subject", "-pk"),
    )
    return [
        Hit(kind, getattr(found, field), reverse(page, args=[found.pk]))
        for kind, page, permission, rows, field, order in kinds
        if may(permission)
        for found in rows.filter(**{f"{field}__icontains": text}).order_by(order)[:_OF_A_KIND]
    ]


def _address(text: str) -> list[Hit]:
    first = Window.days(MAX_DAYS, timezone.get_current_timezone(), timezone.now()).first.date()
    url = status_url(since=first, recipient=text)
    return [Hit(_("Emails"), text, url, _("What was sent to this address in the last 30 days"))]


def _message(number: int) -> list[Hit]:
    found = Message.objects.filter(pk=number).first()
    return [Hit(_("Message"), found.subject, reverse("message", args=[number]), found.recipient)] if found else []


def _task(number: int) -> list[Hit]:
    found = Task.objects.filter(pk=number).first()
    return [Hit(_("Task"), found.subject, reverse("task", args=[number]), found.group_name)] if found else []
