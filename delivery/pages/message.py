"""One message: what happened to it, the mail as it was sent, and its source."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_sameorigin

from console.models import ApiUser
from console.registry import Page, register
from console.views import sandboxed
from delivery.badges import message_badge
from delivery.models import Attempt, Message, Task, TemplateVersion, Waiting
from delivery.models.status import OPEN
from delivery.neutral import neutralised
from delivery.reading import reading
from delivery.services.as_sent import AsSent, NotThere, mail_as_sent
from delivery.timeline import timeline
from delivery.values import merged

VIEWS = ("html", "phone", "text")


def _context(request: HttpRequest, pk: int) -> dict[str, Any]:
    """What head and side of all three views show."""
    message = get_object_or_404(Message, pk=pk)
    waiting = Waiting.objects.filter(message_id=pk).first()
    attempts = list(Attempt.objects.filter(message_id=pk).order_by("number"))
    task = Task.objects.filter(pk=message.task_id).first() if message.task_id else None
    due = waiting.due if waiting else None
    last = attempts[-1] if attempts else None
    return {
        "message": message,
        "badge": message_badge(message, due),
        "reading": reading(message, last, due),
        "attempts": attempts,
        "task": task,
        "taken": last.at - attempts[0].at if last and len(attempts) > 1 else None,
        "template_version": TemplateVersion.objects.filter(pk=message.version_id).select_related("template").first(),
        "api_user": ApiUser.objects.filter(pk=message.api_user_id).first(),
        "values": merged(task.defaults if task else {}, message.variables),
        "to_field": message.to_field.split(", ") if message.to_field else [],
        "crumbs": [(_("Email status"), reverse("messages")), (_("message"), "")],
    }


def story(request: HttpRequest, pk: int) -> HttpResponse:
    context = _context(request, pk)
    message = context["message"]
    entries = timeline(message, context["attempts"], context["task"])
    context |= {"tab": "timeline", "entries": entries, "live": message.status in OPEN}
    return render(request, "delivery/message.html", context)


def mail(request: HttpRequest, pk: int) -> HttpResponse:
    context = _context(request, pk)
    sent = _sent(context["message"])
    shown = request.GET.get("as", "html")
    if shown not in VIEWS or (sent is not None and not sent.html):
        shown = "html" if sent is not None and sent.html else "text"
    return render(request, "delivery/message_mail.html", {**context, "tab": "mail", "sent": sent, "shown": shown})


def source(request: HttpRequest, pk: int) -> HttpResponse:
    context = _context(request, pk)
    return render(
        request, "delivery/message_source.html", {**context, "tab": "source", "sent": _sent(context["message"])}
    )


@xframe_options_sameorigin
def frame(request: HttpRequest, pk: int) -> HttpResponse:
    """The mail alone, for the sandboxed frame."""
    sent = _sent(get_object_or_404(Message, pk=pk))
    return sandboxed(neutralised(sent.html) if sent else "")


def _sent(message: Message) -> AsSent | None:
    try:
        return mail_as_sent(message)
    except NotThere:
        return None


_SEES: dict[str, Any] = {"permission": "delivery.view_message", "parent": "messages", "methods": ("GET", "HEAD")}

register(
    Page(name="message", route="email-status/<int:pk>/", view=story, title=gettext_lazy("Message"), **_SEES),
    Page(
        name="message-mail", route="email-status/<int:pk>/mail/", view=mail, title=gettext_lazy("Mail as sent"), **_SEES
    ),
    Page(
        name="message-source", route="email-status/<int:pk>/source/", view=source, title=gettext_lazy("Source"), **_SEES
    ),
    Page(
        name="message-frame", route="email-status/<int:pk>/mail/frame/", view=frame, title=gettext_lazy("Mail"), **_SEES
    ),
)
