"""The first page: is everything all right, and if not, where to go; a new installation is led to its first task."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Tone
from console.context import ALIVE_SECONDS
from console.menu import Section
from console.models import Account, Heartbeat
from console.registry import Page, pages, register
from console.tables import Progress, ProgressColumn, Table
from console.templatetags.posthorn import num, percent
from console.views import count_text
from delivery.badges import MESSAGE, clock
from delivery.models import HeldBy, QueuePause, Status, Task
from delivery.models.status import TASK_UNDER_WAY
from delivery.pages.email_status import status_url
from delivery.pages.tasks import TaskTable, progress, rows, task_url, whole
from delivery.services import overview as service
from delivery.services import standing

UNDER_WAY_SHOWN = 10
PAUSED_SHOWN = 5
DAYS = 7


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing to look at: what, since when and how much, and where to go."""

    tone: Tone
    title: str
    text: str
    link: str = ""
    label: str = ""

    @property
    def icon(self) -> str:
        return "alert-circle" if self.tone == "bad" else "alert-triangle"


@dataclass(frozen=True, slots=True)
class Step:
    """One of the steps to the first task. `here`: the next one to take."""

    title: str
    text: str
    done: bool
    link: str
    label: str
    here: bool = False


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
    now = timezone.now()
    steps = service.steps()
    waits = service.line()
    # The runs of a series, not the series: that is always under way.
    at_work = rows().filter(status__in=TASK_UNDER_WAY).exclude(type=Task.Type.RECURRING, parent=None)
    tasks = list(at_work.order_by("-id")[:UNDER_WAY_SHOWN])
    since = now.astimezone(account.zone).replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(
        days=DAYS - 1
    )
    figures = service.batch_figures(since)
    context: dict[str, Any] = {
        "now": now,
        "account_": account,
        "steps": [] if steps.done else _steps(request, steps),
        "attention": _attention(request, account, waits, now),
        "well": _well(waits),
        "line": waits,
        "states": _states(waits),
        "tasks": tasks,
        "table": UnderWayTable(tasks, request=request),
        "kpis": _kpis(figures),
        "days": DAYS,
        "live": request.GET.get("live") != "0",
    }
    return render(request, "delivery/overview.html", context)


def _kpis(figures: dict[str, int]) -> list[dict[str, Any]]:
    requests = figures["requests"]
    made = [{"title": _("Requests"), "count": requests, "share": None, "url": status_url()}]
    made += [
        {
            "title": str(MESSAGE[status].word),
            "count": figures.get(status, 0),
            "share": requests,
            "url": status_url(status=status.value),
        }
        for status in service.FIGURES
    ]
    return made


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


def _attention(request: HttpRequest, account: Account, waits: service.Line, now: dt.datetime) -> list[Attention]:
    found: list[Attention] = []
    link = _links(request)
    since = now - dt.timedelta(seconds=ALIVE_SECONDS)
    if not Heartbeat.objects.filter(part="deliver", beat_at__gte=since).exists():
        found.append(
            Attention(
                "bad",
                _("No delivery worker runs"),
                _("Nothing is sent until one does. Start it with “manage.py serve”, or look into its log."),
            )
        )
    if account.sending_stopped_at is not None:
        held = waits.held.get(HeldBy.ACCOUNT, 0)
        text = ngettext("%(n)s mail is held.", "%(n)s mails are held.", held) % {"n": count_text(held)}
        since_text = _("Since %s.") % clock(account.sending_stopped_at)
        found.append(
            Attention("bad", _("All sending is stopped"), f"{since_text} {text}", link("account"), _("Account"))
        )
    held = waits.held.get(HeldBy.DOMAIN_UNVERIFIED, 0)
    for domain in service.pending_domains():
        title = _("%s lost its records") if domain.problem else _("%s is pending verification")
        text = domain.problem or _("Publish its DNS records, then verify it. Nothing can be sent from it before.")
        tone: Tone = "bad" if domain.problem else "warn"
        here = link("domain", domain.pk)
        found.append(Attention(tone, title % domain, text, here, _("DNS records")))
    if held:
        text = ngettext("%(n)s mail is held", "%(n)s mails are held", held) % {"n": count_text(held)}
        found.append(
            Attention(
                "warn",
                _("%s because its sender domain is not verified") % text,
                _("Everything goes on by itself as soon as DNS answers."),
                status_url(status=Status.HELD.value),
                _("Emails"),
            )
        )
    found += _paused_queues(link("queues"), now)
    for task in service.failed_tasks(now - dt.timedelta(days=DAYS)):
        found.append(Attention("bad", _("Task %s failed") % task.pk, task.failure, task_url(task), _("Task")))
    return found


def _paused_queues(here: str, now: dt.datetime) -> list[Attention]:
    """What the receiving side, or an operator, keeps from going; loud when it has been so for more than two days."""
    found = []
    url = f"{here}?status=paused" if here else ""
    groups = standing.paused_groups(now=now)
    for group in groups[:PAUSED_SHOWN]:
        pause = group.pause
        loud = pause.since < now - standing.TOO_LONG
        name = group.domains[0]
        if len(group.domains) > 1:
            name = _("%(name)s and %(n)s more") % {"name": name, "n": count_text(len(group.domains) - 1)}
        title = _("Mail to %s has been paused for more than 2 days") if loud else _("Mail to %s is paused")
        waiting = ngettext("%(n)s mail waits.", "%(n)s mails wait.", group.waiting) % {"n": count_text(group.waiting)}
        if pause.reason == QueuePause.Reason.OPERATOR or pause.paused_until is None:
            goes_on = _("It goes on when somebody recovers it.")
        else:
            goes_on = _("Tried again at %s.") % clock(pause.paused_until)
        since = _("since %s.") % clock(pause.since)
        text = f"{capfirst(pause.get_reason_display())}, {since} {waiting} {goes_on}"
        found.append(Attention("bad" if loud else "warn", title % name, text, url, _("Queue status")))
    if len(groups) > PAUSED_SHOWN:
        title = _("%s more receiving sides are paused") % count_text(len(groups) - PAUSED_SHOWN)
        found.append(Attention("warn", title, "", url, _("Queue status")))
    return found


def _links(request: HttpRequest) -> Callable[..., str]:
    """Gives the URL of a page by name; "" where there is none, or the person may not open it."""

    def link(name: str, *args: Any) -> str:
        page = pages().get(name)
        return reverse(name, args=args) if page is not None and page.allows(request.user) else ""

    return link


def _steps(request: HttpRequest, steps: service.Steps) -> list[Step]:
    """Domain → verified → address → template → group → task; the first that is not done is the next."""
    link = _links(request)
    wanted = [
        (
            steps.domain,
            _("Create a sender domain"),
            _("A domain or subdomain of yours that the mail comes from."),
            link("domain-new") or link("domains"),
            _("Create sender domain"),
        ),
        (
            steps.verified,
            _("Verify it"),
            _("Publish the DNS records that its page shows; DNS is asked again every 10 minutes."),
            link("domains"),
            _("Sender domains"),
        ),
        (
            steps.address,
            _("Create a sender address"),
            _("The part before the @, and the name that recipients read."),
            link("address-new") or link("addresses"),
            _("Create sender address"),
        ),
        (
            steps.template,
            _("Create an email template"),
            _("Typed or uploaded, HTML or plain text, with variables."),
            link("template-new") or link("templates"),
            _("Create template"),
        ),
        (
            steps.group,
            _("Import a recipient group"),
            _("A CSV file or workbook: the first column is the address, the others are variables."),
            link("group-new") or link("groups"),
            _("Create group"),
        ),
        (
            steps.task,
            _("Send the first task"),
            _("One template to one group, and then every recipient's fate on screen."),
            link("task-new"),
            _("Create sending task"),
        ),
    ]
    following = next((number for number, step in enumerate(wanted) if not step[0]), len(wanted))
    return [
        Step(title, text, done, url, label, here=number == following)
        for number, (done, title, text, url, label) in enumerate(wanted)
    ]


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
