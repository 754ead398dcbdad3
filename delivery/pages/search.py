"""What the search of the top bar finds: mail by an address's beginning, a message by its id, a task by its number."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.views import Hit, search_handler
from console.window import MAX_DAYS, Window
from delivery.models import Message, Task
from delivery.pages.email_status import status_url
from suppression.address import is_address

_MESSAGE_ID_FROM = 10**15  # the first day of 2020 gave ids as long; no task's number is


@search_handler
def find(text: str, request: HttpRequest) -> list[Hit]:
    may = request.user.has_perm
    if "@" in text:
        # A whole address has a page of its own (tracking/pages/contact.py).
        return _address(text) if may("delivery.view_message") and not is_address(text) else []
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        return []
    number = int(text)
    if number >= _MESSAGE_ID_FROM:
        return _message(number) if may("delivery.view_message") else []
    return _task(number) if may("delivery.view_task") else []


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
