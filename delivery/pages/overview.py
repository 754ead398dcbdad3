"""The first page: is everything all right, and if not, where to go; a new installation is led to its first task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.menu import Section
from console.models import Account
from console.registry import Page, register
from console.tables import Progress, ProgressColumn, Table
from console.templatetags.posthorn import num, percent
from console.views import count_text
from delivery.attention import Look
from delivery.models import HeldBy, Status, Task
from delivery.models.status import TASK_UNDER_WAY
from delivery.pages import overview_attention, overview_figures
from delivery.pages.email_status import status_url
from delivery.pages.overview_steps import steps_of
from delivery.pages.tasks import TaskTable, progress, rows, whole
from delivery.services import overview as service
from delivery.services import statistics

UNDER_WAY_SHOWN = 10
DAYS = overview_attention.DAYS


def under_way(task: Any) -> Progress:
    """The list's bar, with the whole beside it: there is no column of requests here."""
    of = whole(task)
    return replace(
        progress(task), above=_("of %(whole)s · %(share)s") % {"whole": num(of), "share": percent(task.done, of)}
    )


class UnderWayTable(Table):
    """The list's own columns, without what is for the list alone."""

    subject = TaskTable.base_columns["subject"]
    progress = ProgressColumn(TaskTable.base_columns["progress"].verbose_name, progress=under_way)
    status = TaskTable.base_columns["status"]

    class Meta(Table.Meta):
        sequence = ("subject", "progress", "status")


def home(request: HttpRequest) -> HttpResponse:
    account: Account = request.account  # type: ignore[attr-defined]
    look = Look(request, timezone.now())
    steps = service.steps()
    waits = service.line()
    # The runs of a series, not the series: that is always under way.
    at_work = rows().filter(status__in=TASK_UNDER_WAY).exclude(type=Task.Type.RECURRING, parent=None)
    tasks = list(at_work.order_by("-id")[:UNDER_WAY_SHOWN])
    weeks = service.domain_weeks(overview_figures.midnight(account, look.now, DAYS), look.now)
    fresh = statistics.freshness(look.now)
    context: dict[str, Any] = {
        "now": look.now,
        "account_": account,
        "steps": [] if steps.done else steps_of(look, steps),
        "simulated": settings.SIMULATED_WORLD,
        "attention": overview_attention.found(look, account, waits, fresh, weeks, steps.pending),
        "well": _well(waits),
        "line": waits,
        "states": _states(waits),
        "tasks": tasks,
        "table": UnderWayTable(tasks, request=request),
        "freshness": fresh,
        "live": request.GET.get("live") != "0",
        **overview_figures.figures(look, account, DAYS),
        **overview_figures.rules(look, weeks),
    }
    return render(request, "delivery/overview.html", context)


def _states(waits: service.Line) -> list[tuple[str, int, str]]:
    """What waits, row by row: words, count, where to look."""
    sending = status_url(status=Status.SENDING.value)
    held = status_url(status=Status.HELD.value)
    found = [
        (_("Ready to be sent"), waits.waiting, sending),
        (_("On the wire"), waits.sending, sending),
        (_("Deferred, tried again later"), waits.later, sending),
    ]
    causes = ((str(_("Held: %s") % HeldBy(cause).label), count, held) for cause, count in sorted(waits.held.items()))
    return [*found, *causes]


def _well(waits: service.Line) -> str:
    if not waits.all:
        return _("No mail waits.")
    count = _("over %s") % count_text(service.COUNTED) if waits.more else count_text(waits.all)
    return ngettext("%(count)s mail in line.", "%(count)s mails in line.", waits.all) % {"count": count}


register(
    Page(
        name="home",
        route="",
        view=home,
        title=gettext_lazy("Overview"),
        permission="delivery.view_task",
        section=Section.OVERVIEW,
        order=10,
        methods=("GET", "HEAD"),
    )
)
