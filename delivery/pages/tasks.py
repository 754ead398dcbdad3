"""Batch tasks: the list with its moving bars, the page of one task, and pausing, resuming and stopping."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import BigIntegerField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

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
from console.templatetags.posthorn import percent
from console.views import back, confirm, count_text
from delivery.badges import MESSAGE, TASK, task_badge
from delivery.models import PauseCause, Status, Task, TaskCount, TaskStatus
from delivery.models.status import FINAL, TASK_UNDER_WAY
from delivery.pages.email_status import status_url
from delivery.services import tasks as service
from delivery.services.tasks import TaskRefused

# Scheduled and recurring tasks come later; so do their words here.
TYPES = (Task.Type.BATCH,)
UNDER_WAY = "under_way"
STATUSES = [(UNDER_WAY, gettext_lazy("Under way")), *TaskStatus.choices]


def rows() -> QuerySet[Task]:
    """All tasks with the number of their rows that are in a final status (`done`), and of some of those."""
    return Task.objects.select_related("group").annotate(
        done=_counted(*FINAL),
        delivered=_counted(Status.DELIVERED),
        left_out=_counted(Status.CANCELLED, Status.CONTROL_GROUP),
    )


def _counted(*statuses: str) -> Coalesce:
    counts = TaskCount.objects.filter(task_id=OuterRef("pk"), status__in=[str(status) for status in statuses])
    summed = counts.order_by().values("task_id").annotate(n=Sum("count")).values("n")
    return Coalesce(Subquery(summed, output_field=BigIntegerField()), Value(0), output_field=BigIntegerField())


class TaskFilter(FilterSet):
    type = ChoiceFilter("type", gettext_lazy("Type"), choices=Task.Type.choices)
    status = ChoiceFilter("status", gettext_lazy("Status"), choices=STATUSES, method="by_status")

    def by_status(self, queryset: QuerySet[Task], name: str, status: str) -> QuerySet[Task]:
        wanted = [one.value for one in TASK_UNDER_WAY] if status == UNDER_WAY else [status]
        return queryset.filter(status__in=wanted)


def whole(task: Any) -> int:
    """How many rows the task has, or will have: until all are made, what its group holds."""
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
    }.get(task.status, "calm")
    above = _("%s delivered") % percent(task.delivered, tried) if tried else ""
    return Progress(task.done, whole(task), above, _under(task), tone)


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
    if task.status in (TaskStatus.SENDING, TaskStatus.WAITING) and not task.expanded:
        return _("%s in the group, being read") % count_text(whole(task))
    if task.status == TaskStatus.STOPPED and task.ended_at is None:
        return _("what was tried already goes its way to the end")
    return ""


def actions(task: Task) -> list[RowAction]:
    found = []
    if task.status in (TaskStatus.WAITING, TaskStatus.SENDING):
        found.append(_action(_("Pause"), "task-pause", task, "player-pause"))
    if task.status == TaskStatus.PAUSED:
        found.append(_action(_("Resume"), "task-resume", task, "player-play"))
    if task.requested:
        found.append(RowAction(_("Emails"), emails_url(task), icon="mail"))
    if task.status in TASK_UNDER_WAY:
        url = reverse("task-stop", args=[task.pk])
        found.append(RowAction(_("Stop for good…"), url, "player-stop", "delivery.send", danger=True))
    return found


def _action(label: str, page: str, task: Task, icon: str) -> RowAction:
    return RowAction(label, reverse(page, args=[task.pk]), icon, "delivery.send", post=True)


def emails_url(task: Task, status: str = "") -> str:
    """Email status of the task's rows, from the day on which it was made."""
    since = timezone.localdate(task.created_at)
    return status_url(since=since, task=task.pk, **({"status": status} if status else {}))


class TaskTable(Table):
    subject = MainColumn(
        gettext_lazy("Subject, group, template"),
        url="task",
        sub=lambda t: f"{t.group_name} · {template_name(t)}",
    )
    progress = ProgressColumn(gettext_lazy("Progress"), progress=progress)
    type = Column(gettext_lazy("Type"), accessor="get_type_display", width="cw-5")
    status = StatusColumn(gettext_lazy("Status"), accessor="pk", badge=task_badge, width="cw-7")
    requested = NumberColumn(gettext_lazy("Requests"), width="cw-6")
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
    types = [("", _("All types")), *((one.value, one.label) for one in TYPES)]
    statuses = [("", _("Any status")), *STATUSES]
    return {
        "fields": {"main": [], "more": [], "open": False},
        "segments": [
            (_("Type"), [(word, url(type=key), here["type"] == key) for key, word in types]),
            (_("Status"), [(word, url(status=key), here["status"] == key) for key, word in statuses]),
        ],
    }


register(
    ListPage(
        name="tasks",
        route="tasks/",
        title=gettext_lazy("Batch tasks"),
        noun=(gettext_lazy("task"), gettext_lazy("tasks")),
        rows=rows,
        filters=TaskFilter,
        table=TaskTable,
        permission="delivery.view_task",
        default_sort="-created",
        section=Section.SENDING,
        order=30,
        description=gettext_lazy("Each recipient sees only themselves."),
        create=Button(label=gettext_lazy("Create sending task"), page="task-new", permission="delivery.send"),
        empty=Empty(
            icon="send",
            title=gettext_lazy("No batch task yet"),
            text=gettext_lazy("A task sends one template to one recipient group. Here you see how far each has come."),
        ),
        refresh=5,
        template="delivery/tasks.html",
        context=segments,
    )
)


# --- one task


def task_page(request: HttpRequest, pk: int) -> HttpResponse:
    task = get_object_or_404(rows().select_related("template", "version", "sender_address__domain"), pk=pk)
    counts = service.counts_of([task.pk])[task.pk]
    it: Any = task
    context = {
        "task": task,
        "badge": task_badge(task),
        "progress": progress(task),
        "counts": [
            (MESSAGE[status], counts[status], emails_url(task, status=status))
            for status in Status.values
            if counts.get(status)
        ],
        "tried": it.done - it.left_out,
        "under_way": task.status in TASK_UNDER_WAY or task.ended_at is None,
        "live": request.GET.get("live") != "0",
        "emails": emails_url(task) if task.requested else "",
        "template_name": template_name(task),
        "cause": PauseCause(task.pause_cause).label if task.pause_cause else "",
        "may": request.user.has_perm("delivery.send"),
        "pausable": task.status in (TaskStatus.WAITING, TaskStatus.SENDING),
        "stoppable": task.status in TASK_UNDER_WAY,
        "crumbs": [(_("Batch tasks"), reverse("tasks")), (_("task %s") % task.pk, "")],
    }
    return render(request, "delivery/task.html", context)


# --- actions


def pause(request: HttpRequest, pk: int) -> HttpResponse:
    task = get_object_or_404(Task, pk=pk)
    _act(
        request,
        lambda: service.pause(task, cause=PauseCause.OPERATOR, by=request.user.get_username()),
        _("Task %s is paused. What is on its way just now still ends.") % task.pk,
    )
    return back(request, task_url(task))


def resume(request: HttpRequest, pk: int) -> HttpResponse:
    task = get_object_or_404(Task, pk=pk)
    _act(request, lambda: service.resume(task), _("Task %s goes on.") % task.pk)
    return back(request, task_url(task))


def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Asked on a page of its own: a stopped task never goes on."""
    task = get_object_or_404(rows(), pk=pk)
    if request.method == "POST":
        _act(
            request,
            lambda: service.stop(task, by=request.user.get_username(), now=timezone.now()),
            _("Task %s is stopped.") % task.pk,
        )
        return redirect("task", pk=task.pk)
    if task.status not in TASK_UNDER_WAY:
        messages.error(request, _("This task has ended already."))
        return redirect("task", pk=task.pk)
    it: Any = task
    left = max(0, whole(task) - it.done)
    return confirm(
        request,
        title=_("Stop task %(id)s, “%(subject)s”?") % {"id": task.pk, "subject": task.subject},
        button=_("Stop task %s for good") % task.pk,
        cancel=task_url(task),
        consequences=[
            _("%(left)s of %(whole)s mails have no final status yet. Those that were not tried are cancelled.")
            % {"left": count_text(left), "whole": count_text(whole(task))},
            _("Mail that was tried and put off is tried on to its end."),
            _("A stopped task can't be resumed. To interrupt it only, pause it."),
        ],
        crumbs=[(_("Batch tasks"), reverse("tasks")), (_("task %s") % task.pk, task_url(task)), (_("stop"), "")],
    )


def _act(request: HttpRequest, act: Any, said: str) -> None:
    try:
        act()
    except TaskRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, said)


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
    Page(
        name="task-pause",
        route="tasks/<int:pk>/pause/",
        view=pause,
        title=gettext_lazy("Pause"),
        permission="delivery.send",
        parent="tasks",
        methods=("POST",),
    ),
    Page(
        name="task-resume",
        route="tasks/<int:pk>/resume/",
        view=resume,
        title=gettext_lazy("Resume"),
        permission="delivery.send",
        parent="tasks",
        methods=("POST",),
    ),
    Page(
        name="task-stop",
        route="tasks/<int:pk>/stop/",
        view=stop,
        title=gettext_lazy("Stop"),
        permission="delivery.send",
        parent="tasks",
    ),
)

__all__ = ["TASK", "emails_url", "progress", "rows", "task_url"]
