"""The charts of the queue page: what became of mail, and the rates, over a range and by domain as one chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.charts import Chart, Series
from console.models import ApiUser
from console.registry import Page, register
from delivery.models import Queue, Standing
from delivery.pages.queue_table import DEFAULT_RANGE, RANGES, QueueFilter
from delivery.services import flow

# Queues that a filter of the charts may pick; more would be a filter that leaves nearly all in.
MOST_QUEUES = 20_000


def context(request: HttpRequest) -> dict[str, Any]:
    """The two charts for the filters in force. A filter that can't be read leaves them empty."""
    filterset = QueueFilter(data=request.GET, queryset=Standing.objects.none(), request=request)
    filterset.is_valid()
    asked = filterset.form.cleaned_data
    word, over, step = RANGES.get(asked.get("over") or "", DEFAULT_RANGE)
    user, domain, sender_domain = asked.get("api_user"), asked.get("domain"), asked.get("sender_domain")
    points = flow.points(
        over=over,
        step=step,
        now=timezone.now(),
        queue_ids=[] if filterset.form.errors else _queue_ids(user, domain),
        sender_domain_id=sender_domain.pk if sender_domain else None,
    )
    form = "H:i:s" if step < 60 else "H:i" if over.days < 2 else "j M H:i"
    return {
        "charts": _charts(points, [date_format(timezone.localtime(point.at), form) for point in points]),
        "charts_of": " · ".join(filter(None, [str(user or ""), str(sender_domain or ""), domain or ""])),
        "charts_over": word,
        "charts_url": f"{reverse('queue-charts')}?{request.GET.urlencode()}",
        "charts_live": request.GET.get("live") != "0",
    }


def _queue_ids(user: ApiUser | None, domain: str | None) -> list[int] | None:
    """The queues that the filters pick; None: all."""
    if not user and not domain:
        return None
    queues = Queue.objects.all()
    queues = queues.filter(api_user=user) if user else queues
    queues = queues.filter(receiving_domain__name=domain.lower()) if domain else queues
    return list(queues.values_list("pk", flat=True)[:MOST_QUEUES])


def _charts(points: Sequence[flow.Point], labels: list[str]) -> list[tuple[str, Chart, str]]:
    """Title, chart and legend of both."""

    def series(name: str) -> list[float]:
        return [round(point.rates[name], 2) for point in points]

    return [
        (
            _("Results"),
            Chart(
                id="results-chart",
                label=_("Mails sent, delivered, bounced and rejected a second"),
                type="line",
                decimals=1,
                labels=labels,
                series=[
                    Series(name=_("Sent"), tone="busy", data=series("sent")),
                    Series(name=_("Delivered"), tone="ok", data=series("delivered"), dash=(6, 2)),
                    Series(name=_("Bounced"), tone="warn", data=series("bounced"), dash=(2, 2)),
                    Series(name=_("Rejected"), tone="bad", data=series("rejected"), dash=(6, 2, 2, 2)),
                ],
            ),
            _(
                "Sent: mail that ended after it was tried. Bounced: that which failed. Rejected: stopped by a "
                "suppression list, not tried."
            ),
        ),
        (
            _("Rates"),
            Chart(
                id="rates-chart",
                label=_("Mails that came in, were tried and went out a second"),
                type="line",
                decimals=1,
                labels=labels,
                series=[
                    Series(name=_("In"), tone="calm", data=series("joined"), dash=(2, 2)),
                    Series(name=_("Tried"), tone="busy", data=series("tried")),
                    Series(name=_("Out"), tone="ok", data=series("left"), dash=(6, 2)),
                ],
            ),
            _("In: mail that joined a queue. Tried: attempts. Out: mail that left with its final status."),
        ),
    ]


def charts(request: HttpRequest) -> HttpResponse:
    """The charts alone, for the page to refresh them."""
    return render(request, "delivery/queue_charts.html", context(request))


register(
    Page(
        name="queue-charts",
        route="queues/charts/",
        view=charts,
        title=gettext_lazy("Charts"),
        permission="delivery.view_queue",
        parent="queues",
        methods=("GET", "HEAD"),
    )
)
