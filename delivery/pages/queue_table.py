"""The rows of the queue page: what each cell says."""

from __future__ import annotations

import datetime as dt
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Badge
from console.filters import ChoiceFilter, FilterSet, ModelFilter, TextFilter
from console.models import ApiUser
from console.tables import ActionsColumn, Column, MainColumn, NumberColumn, RowAction, StatusColumn, Table
from console.templatetags.posthorn import cut, num, percent, span, when
from delivery.badges import QUEUE
from delivery.models import Flow, QueuePause, SenderDomain, Standing, Status
from delivery.pages.email_status import status_url
from delivery.services import flow

AVERAGES = (5, 15, 30)
DEFAULT_AVERAGE = 15
RANGES = {
    "5": (gettext_lazy("Last 5 minutes"), dt.timedelta(minutes=5), 5),
    "180": (gettext_lazy("Last 3 hours"), dt.timedelta(hours=3), 300),
    "1440": (gettext_lazy("Last 24 hours"), dt.timedelta(hours=24), 1800),
    "10080": (gettext_lazy("Last 7 days"), dt.timedelta(days=7), 10_800),
}
DEFAULT_RANGE = (gettext_lazy("Last 30 minutes"), dt.timedelta(minutes=30), 60)


def averaged_over(request: HttpRequest) -> int:
    """Seconds over which rates are averaged: 5, 15 or 30."""
    asked = request.GET.get("rates", "")
    return int(asked) if asked in map(str, AVERAGES) else DEFAULT_AVERAGE


class QueueFilter(FilterSet):
    """`over` is the charts', `rates` the averages'; the sender domain picks the queues that had its mail."""

    hidden = ("rates",)

    api_user = ModelFilter("queue__api_user", gettext_lazy("API user"), queryset=ApiUser.objects.order_by("name"))
    sender_domain = ModelFilter(
        "queue",
        gettext_lazy("Sender domain"),
        queryset=SenderDomain.objects.order_by("name"),
        method="by_sender_domain",
    )
    domain = TextFilter("queue__receiving_domain__name", gettext_lazy("Receiving domain"), placeholder="gmail.com")
    status = ChoiceFilter("status", gettext_lazy("Status"), choices=Standing.Status.choices)
    over = django_filters.ChoiceFilter(
        label=gettext_lazy("Charts over"),
        choices=[(key, word) for key, (word, _over, _step) in RANGES.items()],
        empty_label=DEFAULT_RANGE[0],
        method="unchanged",
    )

    rates = ChoiceFilter(
        "rates",
        gettext_lazy("Rates averaged over"),
        choices=[(str(seconds), f"{seconds} s") for seconds in AVERAGES],
        method="unchanged",
    )

    def by_sender_domain(self, queryset: QuerySet[Standing], name: str, domain: SenderDomain) -> QuerySet[Standing]:
        had = Flow.objects.filter(at__gte=timezone.now() - flow.KEPT, sender_domain_id=domain.pk).values("queue_id")
        return queryset.filter(queue_id__in=had)

    def unchanged(self, queryset: QuerySet[Standing], name: str, value: str) -> QuerySet[Standing]:
        return queryset


def queue_badge(row: Standing) -> Badge:
    badge = QUEUE[row.status]
    if row.status == Standing.Status.PAUSED and row.since:
        badge = QUEUE["too_long"] if row.rank == 0 else badge
        return badge.but(span(max(dt.timedelta(), timezone.now() - row.since)))
    if row.status == Standing.Status.RUNNING and row.pace < 0.95:
        title = _("Slowed down after the receiving side had too much; it speeds up again by itself")
        return badge.but(_("at %s") % percent(max(0.01, round(row.pace, 2)), 1, 0), title=title)
    if row.status == Standing.Status.IDLE and row.held == row.waiting > 0:
        return badge.but(Status.HELD.label.lower())
    return badge


def why(row: Standing) -> tuple[str, str]:
    """(our sentence, the server's own words)."""
    pause = row.pause
    if pause is None:
        return "", row.reply
    if pause.reason == QueuePause.Reason.OPERATOR:
        return _("Paused by %s") % pause.paused_by if pause.paused_by else str(capfirst(pause.get_reason_display())), ""
    reason = str(capfirst(pause.get_reason_display()))
    if row.status != Standing.Status.PAUSED:
        reason = _("%(ip)s only: %(reason)s") % {"ip": pause.sending_ip, "reason": pause.get_reason_display()}
    return reason, pause.said or row.reply


def next_try(row: Standing) -> dt.datetime | None:
    """When something is tried again, if that is known."""
    if row.pause is not None and row.status == Standing.Status.PAUSED:
        return None if row.pause.reason == QueuePause.Reason.OPERATOR else row.pause.paused_until
    return row.next_due


def actions(row: Standing) -> list[RowAction]:
    recover = reverse("queue-recover", args=[row.pk])
    found = []
    if row.pause is not None:
        found.append(RowAction(_("Recover"), recover, "bolt", "delivery.change_queue", post=True))
    elif row.later:
        found.append(RowAction(_("Try deferred mail now"), recover, "bolt", "delivery.change_queue", post=True))
    if row.status != Standing.Status.PAUSED:
        url = reverse("queue-pause", args=[row.pk])
        found.append(RowAction(_("Pause…"), url, "player-pause", "delivery.change_queue"))
    group = row.queue.receiving_domain.limit_group_id
    url = reverse("limits", args=[group])
    found.append(RowAction(_("Limits…"), url, "adjustments", "delivery.change_limitgroup"))
    return found


class QueueActionsColumn(ActionsColumn):
    """Only a pause shows its button: everything else that could be done with a queue is rare."""

    def render(self, record: Standing, table: Any) -> SafeString:  # type: ignore[override]
        self.only_menu = record.pause is None
        return super().render(record, table)


class RateColumn(NumberColumn):
    """Mails a second, averaged over what the person chose."""

    def __init__(self, *args: Any, count: str, **kwargs: Any) -> None:
        self.count = count
        super().__init__(
            *args, accessor="pk", width="cw-3", phone="m-hide", decimals=1, sort=f"{count}_{DEFAULT_AVERAGE}", **kwargs
        )

    def rate(self, row: Standing, seconds: int) -> float:
        return float(getattr(row, f"{self.count}_{seconds}")) / seconds

    def render(self, record: Standing, table: Any) -> SafeString:  # type: ignore[override]
        # Rounded here: number formats cut.
        return super().render(round(self.rate(record, averaged_over(table.request)), 1))

    def value(self, record: Standing) -> float:
        return self.rate(record, DEFAULT_AVERAGE)


class WaitingColumn(NumberColumn):
    """What waits, and under it how much of that is put off."""

    def render(self, value: int, record: Standing) -> SafeString:  # type: ignore[override]
        shown = super().render(value)
        if not record.later:
            return shown
        text = ngettext("%(n)s deferred", "%(n)s deferred", record.later) % {"n": num(record.later)}
        return format_html('{}<span class="ph-sub">{}</span>', shown, text)


class WhyColumn(Column):
    def render(self, record: Standing) -> SafeString:
        reason, said = why(record)
        said_line = format_html('<span class="ph-sub ph-cut ph-mono" title="{0}">{0}</span>', said) if said else ""
        return format_html("{}{}", cut(reason) if reason else "", said_line)

    def value(self, record: Standing) -> str:
        return " · ".join(filter(None, why(record)))


class NextColumn(Column):
    def render(self, record: Standing) -> SafeString:
        return when(next_try(record), "clock")

    def value(self, record: Standing) -> str:
        at = next_try(record)
        return at.isoformat() if at else ""


def emails_url(row: Standing) -> str:
    """Email status of what waits here."""
    return status_url(
        receiving_domain=row.queue.receiving_domain.name,
        api_user=row.queue.api_user_id,
        status=[Status.SENDING.value, Status.HELD.value],
    )


class QueueTable(Table):
    status = StatusColumn(
        gettext_lazy("Status"), accessor="pk", badge=queue_badge, width="cw-10", sort=("rank", "since", "-waiting")
    )
    domain = MainColumn(
        gettext_lazy("Receiving domain, API user"),
        accessor="queue__receiving_domain__name",
        url=emails_url,
        sub=lambda row: row.queue.api_user.name,
        sort=("queue__receiving_domain__name", "queue__api_user__name"),
    )
    waiting = WaitingColumn(gettext_lazy("Waiting"), sort="waiting", width="cw-6")
    joined = RateColumn(gettext_lazy("In"), count="joined")
    tried = RateColumn(gettext_lazy("Tried"), count="tried")
    left = RateColumn(gettext_lazy("Out"), count="left")
    why = WhyColumn(gettext_lazy("Why paused; last reply"), accessor="pk", phone="m-full")
    next = NextColumn(gettext_lazy("Next try"), accessor="pk", width="cw-6")
    actions = QueueActionsColumn(actions)
