"""Batch tasks: the list with its moving bars, the page of one task, and pausing, resuming and stopping."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Badge
from console.filters import ChoiceFilter, FilterSet
from console.lists import Button, Empty, ListPage
from console.menu import Section
from console.registry import Page, register
from console.tables import (
    ActionsColumn,
    Column,
    MainColumn,
    NumberColumn,
    Progress,
    ProgressColumn,
    RowAction,
    StatusColumn,
    Table,
    TimeColumn,
)
from console.templatetags.posthorn import clock, percent
from console.views import count_text
from delivery.badges import MESSAGE, TASK, task_badge
from delivery.models import PauseCause, Status, Task, TaskCount, TaskStatus
from delivery.models.status import FINAL, TASK_MAY_BE_PAUSED, TASK_UNDER_WAY
from delivery.pages.email_status import status_url
from delivery.services import tasks as service

UNDER_WAY = "under_way"
STATUSES = [(UNDER_WAY, gettext_lazy("Under way")), *TaskStatus.choices]


def rows() -> QuerySet[Task]:
    """All tasks with the number of their rows that are in a final status (`done`), and of some of those. A series has
    the numbers of all its runs (`requests`, too), and the status of the run that is under way (`run_status`)."""
    run = Task.objects.filter(parent=OuterRef("pk"), status__in=TASK_UNDER_WAY).order_by("-id")
    return Task.objects.select_related("group").annotate(
        done=_counted(*FINAL),
        delivered=_counted(Status.DELIVERED),
        failed_softly=_counted(Status.SOFT_BOUNCE),
        left_out=_counted(Status.CANCELLED, Status.CONTROL_GROUP),
        requests=F("requested") + _summed(Task.objects.filter(parent=OuterRef("pk")), "parent_id", "requested"),
        run_status=Subquery(run.values("status")[:1]),
    )


def _counted(*statuses: str) -> CombinedExpression:
    counts = TaskCount.objects.filter(status__in=[str(status) for status in statuses])
    own = _summed(counts.filter(task_id=OuterRef("pk")), "task_id", "count")
    return own + _summed(counts.filter(task__parent=OuterRef("pk")), "task__parent_id", "count")


def _summed(rows: QuerySet[Any], group: str, field: str) -> Coalesce:
    summed = rows.order_by().values(group).annotate(n=Sum(field)).values("n")
    return Coalesce(Subquery(summed, output_field=BigIntegerField()), Value(0), output_field=BigIntegerField())


class TaskFilter(FilterSet):
    type = ChoiceFilter("type", gettext_lazy("Type"), choices=Task.Type.choices)
    status = ChoiceFilter("status", gettext_lazy("Status"), choices=STATUSES, method="by_status")

    def by_status(self, queryset: QuerySet[Task], name: str, status: str) -> QuerySet[Task]:
        under_way = [one.value for one in TASK_UNDER_WAY]
        wanted = under_way if status == UNDER_WAY else [status]
        running = Task.objects.filter(parent=OuterRef("pk"), status__in=set(wanted) & set(under_way))
        return queryset.filter(Q(status__in=wanted) | Exists(running))


def whole(task: Any) -> int:
    """How many rows the task has, or will have: until all are made, what its group holds."""
    if task.is_series:
        return int(task.requests)
    if task.again_of_id:
        return int(task.requested)
    if task.expanded or task.status in (TaskStatus.FAILED, TaskStatus.STOPPED):
        return int(task.requested)
    return max(int(task.requested), task.group.size if task.group else 0)


def progress(task: Any) -> Progress:
    """The bar of a task: blue moves, green is done, grey waits, red failed."""
    tried = task.done - task.left_out
    tone = {
        TaskStatus.SENDING: "busy",
        TaskStatus.DONE: "ok",
        TaskStatus.FAILED: "bad",
    }.get(shown_status(task), "calm")
    above = _("%s delivered") % percent(task.delivered, tried) if tried else ""
    return Progress(task.done, whole(task), above, _under(task), tone)


def shown_status(task: Any) -> TaskStatus:
    """The task's status; of a series that waits, the one of its run under way."""
    waits = task.is_series and task.status == TaskStatus.WAITING
    return TaskStatus(getattr(task, "run_status", None) or task.status if waits else task.status)


def badge_of(task: Task) -> Badge:
    return TASK[shown_status(task)] if shown_status(task) != task.status else task_badge(task)


def _under(task: Any) -> str:
    if task.status == TaskStatus.PAUSED and task.pause_cause:
        cause = PauseCause(task.pause_cause).label
        return (
            _("paused by %s") % task.acted_by
            if task.pause_cause == PauseCause.OPERATOR and task.acted_by
            else str(cause)
        )
    if task.status == TaskStatus.FAILED:
        return str(task.failure)
    if task.status == TaskStatus.WAITING and task.next_run_at:
        return (_("next run %s") if task.is_series else _("begins %s")) % clock(task.next_run_at)
    if task.is_series:
        return _("the last run is under way") if task.status == TaskStatus.WAITING else ""
    if task.status == TaskStatus.SENDING and task.window and task.window_shut:
        opens = task.window.next_opening(timezone.now(), timezone.get_current_timezone())
        return _("outside its send window until %s") % clock(opens)
    if task.status in (TaskStatus.SENDING, TaskStatus.WAITING) and not task.expanded and not task.again_of_id:
        return _("%s in the group, being read") % count_text(whole(task))
    if task.status == TaskStatus.STOPPED and task.ended_at is None:
        return _("what was tried already goes its way to the end")
    return ""


def actions(task: Any) -> list[RowAction]:
    found = []
    if task.status in TASK_MAY_BE_PAUSED:
        found.append(_action(_("Pause"), "task-pause", task, "player-pause"))
    if task.status == TaskStatus.PAUSED and task.pause_cause != PauseCause.ACCOUNT:
        found.append(_action(_("Resume"), "task-resume", task, "player-play"))
    if task.requested:
        found.append(RowAction(_("Emails"), emails_url(task), icon="mail"))
    if can_send_again(task):
        found.append(RowAction(_("Send again…"), reverse("task-again", args=[task.pk]), "refresh", "delivery.send"))
    if task.status in TASK_UNDER_WAY:
        url = reverse("task-stop", args=[task.pk])
        found.append(RowAction(_("Stop for good…"), url, "player-stop", "delivery.send", danger=True))
    return found


def can_send_again(task: Any) -> bool:
    return task.ended_at is not None and not task.is_series and bool(task.failed_softly)


def _action(label: str, page: str, task: Task, icon: str) -> RowAction:
    return RowAction(label, reverse(page, args=[task.pk]), icon, "delivery.send", post=True)


def emails_url(task: Task, status: str = "") -> str:
    """Email status of the task's rows, from the day on which it began."""
    since = timezone.localdate(task.started_at or task.created_at)
    return status_url(since=since, task=task.pk, **({"status": status} if status else {}))


class TypeColumn(Column):
    """The type, and under it what is particular about this one."""

    def render(self, value: Any, record: Task) -> SafeString:  # type: ignore[override]
        under = every(record.every_days)
        if record.again_of_id:
            under = _("again, task %s") % record.again_of_id
        return format_html("{}{}", value, format_html('<span class="ph-sub">{}</span>', under) if under else "")


def every(days: int | None) -> str:
    """How often a series runs, in words; '' for what is none."""
    return ngettext("every day", "every %(n)s days", days) % {"n": days} if days else ""


class TaskTable(Table):
    subject = MainColumn(
        gettext_lazy("Subject, group, template"),
        url="task",
        sub=lambda t: f"{t.group_name} · {template_name(t)}",
    )
    progress = ProgressColumn(gettext_lazy("Progress"), progress=progress)
    type = TypeColumn(gettext_lazy("Type"), accessor="get_type_display", width="cw-6")
    status = StatusColumn(gettext_lazy("Status"), accessor="pk", badge=badge_of, width="cw-7")
    requested = NumberColumn(gettext_lazy("Requests"), accessor="requests", width="cw-6")
    created = TimeColumn(gettext_lazy("Created"), accessor="created_at", sort="id", style="minutes", phone="m-hide")
    actions = ActionsColumn(actions)


def template_name(task: Task) -> str:
    return f"{task.template_id} {task.template_name}" if task.template_id else task.template_name


def segments(request: HttpRequest) -> dict[str, Any]:
    """The two filters as segmented links, each keeping the other; the kit's filter card gives way to them."""

    def url(**changes: str) -> str:
        kept = {name: request.GET[name] for name in ("type", "status", "size") if request.GET.get(name)}
        params = {name: value for name, value in {**kept, **changes}.items() if value}
        query = "&".join(f"{name}={value}" for name, value in params.items())
        return f"{reverse('tasks')}?{query}" if query else reverse("tasks")

    here = {name: request.GET.get(name, "") for name in ("type", "status")}
    types = [("", _("All types")), *Task.Type.choices]
    statuses = [("", _("Any status")), *STATUSES]
    return {
        "fields": {"main": [], "more": [], "open": False},
        "segments": [
            (_("Type"), [(word, url(type=key), here["type"] == key) for key, word in types]),
            (_("Status"), [(word, url(status=key), here["status"] == key) for key, word in statuses]),
        ],
    }


_CREATE = Button(label=gettext_lazy("Create sending task"), page="task-new", permission="delivery.send")

register(
    ListPage(
        name="tasks",
        route="tasks/",
        title=gettext_lazy("Batch tasks"),
        noun=(gettext_lazy("task"), gettext_lazy("tasks")),
        # Runs stand on the page of their series.
        rows=lambda: rows().filter(parent=None),
        filters=TaskFilter,
        table=TaskTable,
        permission="delivery.view_task",
        default_sort="-created",
        section=Section.SENDING,
        order=30,
        description=gettext_lazy("Each recipient sees only themselves."),
        create=_CREATE,
        empty=Empty(
            icon="send",
            title=gettext_lazy("No batch task yet"),
            text=gettext_lazy("A task sends one template to one recipient group. Here you see how far each has come."),
            button=_CREATE,
        ),
        refresh=5,
        template="delivery/tasks.html",
        context=segments,
    )
)


# --- one task

RUNS_SHOWN = 100


class RunTable(Table):
    """The runs of a series, newest first."""

    planned = MainColumn(gettext_lazy("Run of"), accessor="planned", url="task", strong=False)
    progress = ProgressColumn(gettext_lazy("Progress"), progress=progress)
    status = StatusColumn(gettext_lazy("Status"), accessor="pk", badge=task_badge, width="cw-7")
    requested = NumberColumn(gettext_lazy("Requests"), width="cw-6")


def task_page(request: HttpRequest, pk: int) -> HttpResponse:
    linked = ("template", "version", "sender_address__domain", "again_of", "parent")
    task = get_object_or_404(rows().select_related(*linked), pk=pk)
    it: Any = task
    runs: list[Any] = list(rows().filter(parent=task).order_by("-planned_at")[:RUNS_SHOWN]) if task.is_series else []
    for run in runs:
        run.planned = date_format(timezone.localtime(run.planned_at), "j M Y H:i")
    counts = service.counts_of_runs(task.pk) if task.is_series else service.counts_of([task.pk])[task.pk]
    may = request.user.has_perm("delivery.send")
    shut = task.status == TaskStatus.SENDING and task.window is not None and task.window_shut
    context = {
        "task": task,
        "badge": badge_of(task),
        "progress": progress(task),
        "counts": [
            (MESSAGE[status], counts[status], "" if task.is_series else emails_url(task, status=status))
            for status in Status.values
            if counts.get(status)
        ],
        "requests": it.requests,
        "runs": RunTable(runs, request=request) if task.is_series else None,
        "every": every(task.every_days),
        "shut": shut,
        "runs_shown": len(runs),
        "tried": it.done - it.left_out,
        "under_way": task.status in TASK_UNDER_WAY or task.ended_at is None,
        "live": request.GET.get("live") != "0",
        "emails": emails_url(task) if task.requested else "",
        "template_name": template_name(task),
        "cause": PauseCause(task.pause_cause).label if task.pause_cause else "",
        "may": may,
        "pausable": task.status in TASK_MAY_BE_PAUSED,
        "resumable": task.status == TaskStatus.PAUSED and task.pause_cause != PauseCause.ACCOUNT,
        "stoppable": task.may_be_stopped,
        "sendable_again": may and can_send_again(task),
        "sent_again": task.sent_again.order_by("id"),
        "crumbs": [(_("Batch tasks"), reverse("tasks")), *_series_crumb(task), (_("task %s") % task.pk, "")],
    }
    return render(request, "delivery/task.html", context)


def _series_crumb(task: Task) -> list[tuple[str, str]]:
    return [(_("task %s") % task.parent_id, reverse("task", args=[task.parent_id]))] if task.parent_id else []


def task_url(task: Task) -> str:
    return reverse("task", args=[task.pk])


register(
    Page(
        name="task",
        route="tasks/<int:pk>/",
        view=task_page,
        title=gettext_lazy("Batch task"),
        permission="delivery.view_task",
        parent="tasks",
        methods=("GET", "HEAD"),
    ),
)

__all__ = ["emails_url", "progress", "rows", "task_url", "whole"]
