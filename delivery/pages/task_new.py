"""Create a batch task: filled in, checked, shown once more with the count, and only then made."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Badge
from console.clients import ip_of
from console.forms import JsonObjectField
from console.models import Account
from console.registry import Page, register
from delivery import templating
from delivery.models import RecipientGroup, SenderAddress, Task, Template
from delivery.pages.choices import (
    AddressChoice,
    GroupChoice,
    SubjectField,
    TemplateChoice,
    addresses,
    groups,
    lacks,
    templates,
)
from delivery.pages.tasks import every
from delivery.services.tasks import NewTask, TaskRefused, check_task, create_task
from delivery.services.texts import LABEL_LENGTH
from delivery.services.times import MOST_DAYS, Times, UnfitTimes


class LocalTimeField(forms.CharField):
    """A day and a time as the clock on the wall shows it; gives a datetime without a zone, or None."""

    widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "class": "ph-tab"})

    def clean(self, value: Any) -> dt.datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None:
            raise forms.ValidationError(_("Enter a day and a time, as 2026-11-30 09:00."))
        return moment.replace(second=0, microsecond=0)


def _clock(label: Any, **attrs: str) -> forms.TimeField:
    widget = forms.TimeInput(format="%H:%M", attrs={"type": "time", "class": "ph-tab", **attrs})
    return forms.TimeField(
        label=label,
        required=False,
        widget=widget,
        error_messages={"invalid": gettext_lazy("Enter a time, as 09:00.")},
    )


TYPES = [
    (Task.Type.BATCH, gettext_lazy("Batch: now")),
    (Task.Type.SCHEDULED, Task.Type.SCHEDULED.label),
    (Task.Type.RECURRING, Task.Type.RECURRING.label),
]
TIMES = {"type", "starts", "every_days", "until", "window_opens", "window_closes"}


class TaskForm(forms.Form):
    undone = gettext_lazy("Nothing was sent.")

    subject = SubjectField()
    template = TemplateChoice(
        label=gettext_lazy("Template"), queryset=Template.objects.none(), empty_label=gettext_lazy("Choose a template")
    )
    sender_address = AddressChoice(
        label=gettext_lazy("From"),
        queryset=SenderAddress.objects.none(),
        empty_label=gettext_lazy("Choose a sender address"),
    )
    label = forms.CharField(
        label=gettext_lazy("Label"),
        max_length=LABEL_LENGTH,
        required=False,
        help_text=gettext_lazy("Groups the figures of several tasks. Matched exactly."),
    )
    group = GroupChoice(
        label=gettext_lazy("Recipient group"),
        queryset=RecipientGroup.objects.none(),
        empty_label=gettext_lazy("Choose a group"),
    )
    defaults = JsonObjectField(
        label=gettext_lazy("Default variables"),
        required=False,
        max_length=20_000,
        help_text=gettext_lazy('JSON, as {"store": "our shops"}. Used for every recipient whose row leaves it empty.'),
    )
    control_percent = forms.IntegerField(
        label=gettext_lazy("Control group"),
        min_value=0,
        max_value=50,
        initial=0,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "text-end", "size": 4}),
        help_text=gettext_lazy("0 to 50 %: held out on purpose, drawn at random."),
        error_messages=dict.fromkeys(("required", "invalid", "min_value", "max_value"), gettext_lazy("Enter 0 to 50.")),
    )
    type = forms.ChoiceField(
        label=gettext_lazy("Task type"), choices=TYPES, initial=Task.Type.BATCH, widget=forms.RadioSelect
    )
    starts = LocalTimeField(label=gettext_lazy("Start time"), required=False)
    every_days = forms.IntegerField(
        label=gettext_lazy("Recurrence"),
        required=False,
        min_value=1,
        max_value=MOST_DAYS,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "text-end", "size": 4}),
        help_text=gettext_lazy("At the same local time, also over daylight-saving changes."),
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), gettext_lazy("Enter 1 to %s.") % MOST_DAYS),
    )
    until = forms.DateField(
        label=gettext_lazy("Last day"),
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "class": "ph-tab"}),
        help_text=gettext_lazy("Empty: until you stop it."),
        error_messages={"invalid": gettext_lazy("Enter a day, as 2026-11-30.")},
    )
    window_opens = _clock(gettext_lazy("Opens at"))
    window_closes = _clock(gettext_lazy("Closes at"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, queryset in (("template", templates()), ("sender_address", addresses()), ("group", groups())):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = queryset
        self.fields["starts"].help_text = _("Time in %s") % timezone.get_current_timezone_name()

    def clean(self) -> dict[str, Any]:
        """The service's own check, its answer beside the field that it is about. What is wrong with the times is told
        together with what else is."""
        data = super().clean() or {}
        try:
            if not self.errors:
                self.new = check_task(self._new(data))
            elif data.keys() >= TIMES:
                self._times(data).checked(zone=Account.current().zone, now=timezone.now())
        except (TaskRefused, UnfitTimes) as refused:
            self.add_error(refused.field if refused.field in self.fields else None, str(refused))
        return data

    def _new(self, data: dict[str, Any]) -> NewTask:
        return NewTask(times=self._times(data), **{name: data[name] for name in self.fields.keys() - TIMES})

    def _times(self, data: dict[str, Any]) -> Times:
        return Times(
            type=data["type"],
            starts=data["starts"],
            every_days=data["every_days"],
            until=data["until"],
            opens=data["window_opens"],
            closes=data["window_closes"],
        )


class Chosen:
    """What stands beside the form: who will get it, and where each variable's value comes from."""

    def __init__(self, form: TaskForm) -> None:
        read = {name: _read(form, name) for name in ("template", "group", "sender_address")}
        self.template: Template | None = read["template"]
        self.group: RecipientGroup | None = read["group"]
        percent, defaults = _read(form, "control_percent"), _read(form, "defaults")
        self.percent = percent if isinstance(percent, int) else 0
        self.size = self.group.size if self.group else 0
        self.held_out = round(self.size * self.percent / 100)
        self.mails = self.size - self.held_out
        self.variables = self._variables(form, read["sender_address"], defaults if isinstance(defaults, dict) else {})

    def _variables(
        self, form: TaskForm, sender: SenderAddress | None, defaults: dict[str, Any]
    ) -> list[tuple[str, str, Badge | None]]:
        if self.template is None or self.template.current is None:
            return []
        wanted = list(self.template.current.variables)
        for text in (str(_read(form, "subject") or ""), sender.sender_name if sender else ""):
            wanted += templating.variables(text)
        columns = self.group.variables if self.group else []
        found: list[tuple[str, str, Badge | None]] = []
        for name in dict.fromkeys(wanted):
            where = [_("group")] if name in columns else []
            where += [_("defaults")] if name in defaults else []
            missing = Badge("bad", "x", _("missing")) if self.group and not where else None
            found.append((name, ", ".join(where), missing))
        return found


def _read(form: TaskForm, name: str) -> Any:
    """The field's value, whether or not the rest of the form is right; None when it can't be read."""
    bound = form[name]
    try:
        return bound.field.clean(bound.value())
    except forms.ValidationError:
        return None


def new_task(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        # With parameters: prefilled, or (by htmx, on a change) only what stands beside the form.
        known = {name: value for name, value in request.GET.items() if name in TaskForm.base_fields}
        return _form(request, TaskForm(initial={"control_percent": 0, **known}))
    form = TaskForm(request.POST)
    if not form.is_valid() or request.POST.get("edit"):
        return _form(request, form, status=422 if form.errors else 200)
    if not request.POST.get("confirmed"):
        return _ask(request, form)
    try:
        task = create_task(replace(form.new, created_by=request.user.get_username(), request_ip=ip_of(request)))
    except TaskRefused as refused:
        form.add_error(refused.field if refused.field in form.fields else None, str(refused))
        return _form(request, form, status=422)
    if task.next_run_at is None:
        messages.success(request, _("Task %s was made and begins within seconds.") % task.pk)
    else:
        messages.success(
            request, _("Task %(id)s was made and begins %(when)s.") % {"id": task.pk, "when": _moment(task.next_run_at)}
        )
    return redirect("task", pk=task.pk)


def _form(request: HttpRequest, form: TaskForm, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "chosen": Chosen(form),
        "title": _("Create sending task"),
        "submit": _("Check and go on"),
        "submit_hint": _("You see the count once more before anything is sent."),
        "cancel": reverse("tasks"),
        "crumbs": [(_("Batch tasks"), reverse("tasks")), (_("new"), "")],
        "lacks": lacks(form),
    }
    return render(request, "delivery/task_new.html", context, status=status)


def _moment(moment: dt.datetime) -> str:
    return date_format(timezone.localtime(moment), "j M Y H:i")


def _ask(request: HttpRequest, form: TaskForm) -> HttpResponse:
    begins = form.new.times.first_run(request.account.zone)  # type: ignore[attr-defined]
    context = {
        "form": form,
        "new": form.new,
        "chosen": Chosen(form),
        "begins": _moment(begins) if begins else "",
        "every": every(form.new.times.every_days),
        "carried": [(name, request.POST.get(name, "")) for name in form.fields],
        "crumbs": [(_("Batch tasks"), reverse("tasks")), (_("new"), "")],
    }
    return render(request, "delivery/task_confirm.html", context)


register(
    Page(
        name="task-new",
        route="tasks/new/",
        view=new_task,
        title=gettext_lazy("Create sending task"),
        permission="delivery.send",
        parent="tasks",
    )
)
