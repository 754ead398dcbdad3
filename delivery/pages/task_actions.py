"""Acting on a batch task: pause, resume, stop for good, send again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.clients import ip_of
from console.registry import Page, register
from console.views import back, confirm, count_text
from delivery.models import PauseCause, Task
from delivery.pages.tasks import rows, task_url, whole
from delivery.services import again, schedules
from delivery.services import tasks as service
from delivery.services.tasks import TaskRefused


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
    _act(request, lambda: schedules.resume(task, now=timezone.now()), _("Task %s goes on.") % task.pk)
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
    if not task.may_be_stopped:
        messages.error(request, _("This task has ended already."))
        return redirect("task", pk=task.pk)
    it: Any = task
    left = max(0, whole(task) - it.done)
    consequences = (
        [
            _("No further run begins."),
            _("A run under way goes on. It can be stopped on its own page."),
        ]
        if task.is_series
        else [
            _("%(left)s of %(whole)s mails have no final status yet. Those that were not tried are cancelled.")
            % {"left": count_text(left), "whole": count_text(whole(task))},
            _("Mail that was tried and put off is tried on to its end."),
        ]
    )
    return confirm(
        request,
        title=_("Stop task %(id)s, “%(subject)s”?") % {"id": task.pk, "subject": task.subject},
        button=_("Stop task %s for good") % task.pk,
        cancel=task_url(task),
        consequences=[*consequences, _("A stopped task can't be resumed. To interrupt it only, pause it.")],
        crumbs=[(_("Batch tasks"), reverse("tasks")), (_("task %s") % task.pk, task_url(task)), (_("stop"), "")],
    )


def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Asked first: how many, and who made it already."""
    task = get_object_or_404(Task.objects.select_related("sender_address__domain"), pk=pk)
    if why := again.obstacle(task):
        messages.error(request, why)
        return redirect("task", pk=task.pk)
    if request.method == "POST":
        try:
            with transaction.atomic():
                made = again.send_again(task, by=request.user.get_username(), request_ip=ip_of(request))
                transaction.on_commit(lambda: service.ask_for_expansion(made.pk))
        except again.CannotSendAgain as refused:
            messages.error(request, str(refused))
            return redirect("task", pk=task.pk)
        messages.success(request, _("Task %s was made and begins within seconds.") % made.pk)
        return redirect("task", pk=made.pk)
    failed = again.soft_failures(task)
    earlier = [str(one.pk) for one in task.sent_again.order_by("id")]
    before = _("Sent again before as task %s: who got it then gets it once more.") % ", ".join(earlier)
    repeated = [before] if earlier else []
    mails = ngettext("%s mail", "%s mails", failed) % count_text(failed)
    return confirm(
        request,
        title=_("Send task %(id)s again, “%(subject)s”?") % {"id": task.pk, "subject": task.subject},
        button=_("Send %s again") % mails,
        cancel=task_url(task),
        danger=False,
        consequences=[
            _("A new task is made over the %s that failed softly, with the same template version, subject and sender.")
            % mails,
            _("Who stands on a suppression list by now is left out. Delivered mail is not sent again."),
            *repeated,
        ],
        crumbs=[(_("Batch tasks"), reverse("tasks")), (_("task %s") % task.pk, task_url(task)), (_("send again"), "")],
    )


def _act(request: HttpRequest, act: Any, said: str) -> None:
    try:
        act()
    except TaskRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, said)


register(
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
    Page(
        name="task-again",
        route="tasks/<int:pk>/again/",
        view=send_again,
        title=gettext_lazy("Send again"),
        permission="delivery.send",
        parent="tasks",
    ),
)
