"""Callback deliveries: what each callback address was told, and what it answered."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Badge
from console.filters import ChoicesFilter, FilterSet, IdFilter, ModelFilter
from console.lists import Button, Empty, ListPage
from console.registry import Page, register
from console.tables import Column, MainColumn, NumberColumn, StatusColumn, Table, TimeColumn
from console.window import Window
from delivery.models import Callback, CallbackEvent, Happening
from delivery.services import callbacks

State = CallbackEvent.State
STATES: dict[str, Badge] = {
    State.WAITING: Badge("busy", "clock", gettext_lazy("Waiting")),
    State.TAKEN: Badge("ok", "check", gettext_lazy("Taken")),
    State.GIVEN_UP: Badge("bad", "x", gettext_lazy("Given up")),
}


def event_badge(event: CallbackEvent) -> Badge:
    badge = STATES[State(event.state)]
    said = event.problem or (f"HTTP {event.status_code}" if event.status_code else "")
    return badge.but(said) if said else badge


class EventFilter(FilterSet):
    main = ("callback", "kind", "state")

    callback = ModelFilter("callback", gettext_lazy("Callback address"), queryset=Callback.objects.all())
    kind = ChoicesFilter("kind", gettext_lazy("Event"), choices=Happening.choices)
    state = ChoicesFilter("state", gettext_lazy("Status"), choices=State.choices, badges=STATES)
    message = IdFilter("message_id", gettext_lazy("Message"))


class LatestTable(Table):
    """The columns for beside something else."""

    event = MainColumn(
        gettext_lazy("Event"),
        accessor="get_kind_display",
        url="callback-event",
        width="cw-10",
        export={gettext_lazy("Event id"): "id", gettext_lazy("Event"): "kind"},
    )
    status = StatusColumn(
        gettext_lazy("Status"),
        badge=event_badge,
        accessor="pk",
        export={
            gettext_lazy("Status"): "state",
            gettext_lazy("Answer"): "status_code",
            gettext_lazy("Problem"): "problem",
        },
    )
    happened = TimeColumn(gettext_lazy("Happened"), accessor="at")


class EventTable(LatestTable):
    message = Column(gettext_lazy("Message"), accessor="message_id", default=gettext_lazy("test"), width="cw-11")
    attempts = NumberColumn(gettext_lazy("Attempts"), width="cw-7")
    tried = TimeColumn(gettext_lazy("Last attempt"), accessor="tried_at")


def _rows(window: Window) -> QuerySet[Any]:
    # Not the bodies: a page of them is a megabyte.
    return window.limit(CallbackEvent.objects.defer("request", "answer", "detail"))


def event_page(request: HttpRequest, pk: int) -> HttpResponse:
    event = get_object_or_404(CallbackEvent.objects.select_related("callback__address__domain"), pk=pk)
    context = {
        "event": event,
        "badge": event_badge(event),
        "request_shown": _pretty(event.request),
        "may_repeat": event.state != State.WAITING and event.message_id is not None,
        "crumbs": [
            (_("Callback addresses"), reverse("callbacks")),
            (event.callback.url, reverse("callback", args=[event.callback_id])),
        ],
    }
    return render(request, "delivery/callback_event.html", context)


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def repeat(request: HttpRequest, pk: int) -> HttpResponse:
    event = get_object_or_404(CallbackEvent.objects.exclude(state=State.WAITING), pk=pk, message_id__isnull=False)
    callbacks.again(event, now=timezone.now())
    messages.success(request, _("The event is sent again within a few seconds."))
    return redirect("callback-event", pk=pk)


register(
    ListPage(
        name="callback-events",
        route="callbacks/deliveries/",
        title=gettext_lazy("Callback deliveries"),
        noun=(gettext_lazy("event"), gettext_lazy("events")),
        description=gettext_lazy("What callback addresses were told and answered. Kept for 7 days."),
        rows=_rows,
        filters=EventFilter,
        table=EventTable,
        window=gettext_lazy("Happened"),
        permission="delivery.view_callbackevent",
        parent="callbacks",
        empty=Empty(
            icon="webhook",
            title=gettext_lazy("Nothing has been told yet"),
            text=gettext_lazy("Send a test event from the page of a callback address."),
            button=Button(label=gettext_lazy("Callback addresses"), page="callbacks", icon="webhook"),
        ),
    ),
    Page(
        name="callback-event",
        route="callbacks/deliveries/<int:pk>/",
        view=event_page,
        title=gettext_lazy("Callback delivery"),
        permission="delivery.view_callbackevent",
        parent="callbacks",
        methods=("GET", "HEAD"),
    ),
    Page(
        name="callback-event-again",
        route="callbacks/deliveries/<int:pk>/again/",
        view=repeat,
        title=gettext_lazy("Send again"),
        permission="delivery.change_callback",
        parent="callbacks",
        methods=("POST",),
    ),
)
