"""Email status: one row for each recipient, with everything that can be asked of it."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.db.models import OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import ids
from console.filters import ChoicesFilter, IdFilter, TextFilter
from console.lists import Button, Empty, ListPage
from console.menu import Section
from console.models import ApiUser
from console.registry import register
from console.tables import AddressColumn, CodeColumn, Column, StatusColumn, Table, TagColumn, TimeColumn
from console.templatetags.posthorn import badge, icon
from console.window import MAX_DAYS, Window
from delivery.badges import MESSAGE, message_badge
from delivery.models import Message, Reason, Status, Waiting
from delivery.models.status import OPEN
from delivery.pages.mail_filters import MailFilter, of_sender

# Of what is not settled yet, so many are looked up in the line; more are not rare among the messages.
MOST_WAITING = 1000


def rows(window: Window) -> QuerySet[Message]:
    """The messages requested in the window."""
    return annotated(window.limit(Message.objects.all()))


def annotated(messages: QuerySet[Message]) -> QuerySet[Message]:
    """With what cells need of other tables, looked up for the page's rows alone: a join would lose the rows whose
    API user is gone, and be planned for the whole window."""
    waiting = Waiting.objects.filter(message_id=OuterRef("pk"))
    api_user = ApiUser.objects.filter(pk=OuterRef("api_user_id"))
    return messages.annotate(
        due=Subquery(waiting.values("due")[:1]),
        api_user_name=Subquery(api_user.values("name")[:1]),
    )


class MessageFilter(MailFilter):
    main = ("recipient", "status", "reason")

    recipient = TextFilter(
        "recipient", gettext_lazy("Recipient"), placeholder=gettext_lazy("whole or first part"), method="by_recipient"
    )
    status = ChoicesFilter("status", gettext_lazy("Status"), choices=Status.choices, badges=MESSAGE, method="by_status")
    reason = ChoicesFilter("reason", gettext_lazy("Reason"), choices=Reason.choices)
    sender = TextFilter("sender", gettext_lazy("Sender"), placeholder=gettext_lazy("whole address"), method="by_sender")
    task = IdFilter("task_id", gettext_lazy("Task"))

    def by_recipient(self, queryset: QuerySet[Message], name: str, text: str) -> QuerySet[Message]:
        # Lower-cased by the database on both sides, as the index message_recipient is.
        return queryset.alias(lower_recipient=Lower("recipient")).filter(lower_recipient__startswith=Lower(Value(text)))

    def by_status(self, queryset: QuerySet[Message], name: str, statuses: list[str]) -> QuerySet[Message]:
        if not statuses:
            return queryset
        queryset = queryset.filter(status__in=statuses)
        if not OPEN.issuperset(statuses):
            return queryset
        # What is not settled stands in the line: where that is short, it is looked up there.
        held = Q(state=Waiting.State.HELD)
        wanted = {Status.HELD.value: held, Status.SENDING.value: ~held}
        waiting = Waiting.objects.filter(functools.reduce(operator.or_, (wanted[status] for status in statuses)))
        found = list(waiting.values_list("pk", flat=True)[: MOST_WAITING + 1])
        return queryset if len(found) > MOST_WAITING else queryset.filter(pk__in=found)

    def by_sender(self, queryset: QuerySet[Message], name: str, text: str) -> QuerySet[Message]:
        return of_sender(queryset, text)


class MessageStatusColumn(StatusColumn):
    """The status, and whether the mail was opened and clicked."""

    def render(self, value: Any, record: Message) -> SafeString:  # type: ignore[override]
        marks = [
            _opened(record),
            icon("pointer", _("clicked")) if record.clicked_at else "",
        ]
        shown = badge(message_badge(record, getattr(record, "due", None)))
        if not any(marks):
            return shown
        return format_html(
            '<span class="ph-row flex-nowrap">{}<span class="ph-muted ph-nowrap">{} {}</span></span>', shown, *marks
        )

    def value(self, value: Any, record: Message) -> str:  # type: ignore[override]
        return str(message_badge(record, getattr(record, "due", None)))


def _opened(message: Message) -> SafeString | str:
    """By a person; or by machines alone, which says little of whether anybody read it."""
    if message.opened_at:
        return icon("mail-opened", _("opened"))
    return icon("robot", _("opened (automatic)")) if message.opened_by_machine_at else ""


class MessageTable(Table):
    # There is not room for all: these are shown only to who chooses them.
    on_demand = ("sender", "request_ip", "send_ip")

    status = MessageStatusColumn(
        gettext_lazy("Status"),
        accessor="pk",
        width="cw-13",
        phone="m-full",
        export={
            gettext_lazy("Message"): "id",
            gettext_lazy("Status"): "status",
            gettext_lazy("Reason"): "reason",
            gettext_lazy("Held by"): "held_by",
            gettext_lazy("Opened"): "opened_at",
            gettext_lazy("Opened (automatic)"): "opened_by_machine_at",
            gettext_lazy("Clicked"): "clicked_at",
        },
    )
    recipient = AddressColumn(gettext_lazy("Recipient"), url=lambda m: url_of_message(m.pk), main=True, phone="m-a")
    subject = Column(gettext_lazy("Subject"), phone="m-full")
    sender = AddressColumn(gettext_lazy("Sender"), wide=True, muted=True, phone="m-hide")
    api_user = Column(
        gettext_lazy("API user"), accessor="api_user_name", width="cw-7", widest=True, muted=True, phone="m-hide"
    )
    label = TagColumn(gettext_lazy("Label"), width="cw-6", wide=True, phone="m-hide")
    requested = TimeColumn(
        gettext_lazy("Requested"), accessor="requested_at", sort="id", phone="m-b", export=ids.time_in_sql()
    )
    sent = TimeColumn(gettext_lazy("Sent"), accessor="sent_at", phone="m-hide", wide=True)
    request_ip = Column(gettext_lazy("Request IP"), width="cw-7", wide=True, muted=True, phone="m-hide")
    send_ip = Column(gettext_lazy("Send IP"), width="cw-7", wide=True, muted=True, phone="m-hide")
    last_reply = CodeColumn(gettext_lazy("Last reply"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.on_demand:
            self.columns.hide(name)

    def choose(self, names: Sequence[str]) -> None:
        for name in self.on_demand:
            self.columns.show(name)
        super().choose(names)


def url_of_message(message_id: int) -> str:
    return reverse("message", args=[message_id])


def status_url(*, since: dt.date | None = None, **filters: Any) -> str:
    """Email status with these filters. `since`: the first of 30 days; else it is the last 7 days."""
    period = {}
    if since is not None:
        last = since + dt.timedelta(days=MAX_DAYS - 1)
        period = {"from": since.isoformat(), "to": last.isoformat()}
    return f"{reverse('messages')}?{urlencode({**period, **filters}, doseq=True)}"


register(
    ListPage(
        name="messages",
        route="email-status/",
        title=gettext_lazy("Email status"),
        noun=(gettext_lazy("email"), gettext_lazy("emails")),
        rows=rows,
        filters=MessageFilter,
        table=MessageTable,
        permission="delivery.view_message",
        window=gettext_lazy("Requested"),
        default_sort="-requested",
        section=Section.RESPONSE,
        order=20,
        description=gettext_lazy("One row for each recipient. Click a row for its attempts and events."),
        empty=Empty(
            icon="mail",
            title=gettext_lazy("No mail was requested yet"),
            text=gettext_lazy("Every recipient of a task or a regular mail gets a row here, with what became of it."),
            button=Button(label=gettext_lazy("Create sending task"), page="task-new", permission="delivery.send"),
        ),
    )
)
