"""Callback addresses: where other systems hear what became of mail."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Badge
from console.filters import FilterSet, TextFilter, YesNoFilter
from console.forms import posted
from console.lists import Button, Empty, ListPage
from console.menu import Section, Trouble
from console.registry import Page, register
from console.tables import ActionsColumn, MainColumn, RowAction, StatusColumn, Table, TimeColumn
from console.views import confirm, show_secret
from delivery.callbacks import sending
from delivery.models import Callback, CallbackEvent, Happening, SenderAddress
from delivery.pages.callback_events import LatestTable
from delivery.services import callbacks

TAKES = Badge("ok", "check", gettext_lazy("Takes events"))
UNTRIED = Badge("calm", "clock", gettext_lazy("Nothing told yet"))
FAILING = Badge("warn", "alert-triangle", gettext_lazy("Failing"))
SUSPENDED = Badge("bad", "player-pause", gettext_lazy("Suspended"), gettext_lazy("tried every 15 min"))
DISABLED = Badge("calm", "player-stop", gettext_lazy("Disabled"))


def callback_badge(callback: Callback) -> Badge:
    if not callback.enabled:
        return DISABLED
    if callback.suspended_at is not None:
        return SUSPENDED
    if callback.failing_since is not None:
        return FAILING.but(callback.last_problem)
    return TAKES


def for_whom(callback: Callback) -> str:
    return callback.address.address if callback.address else _("the account")


class CallbackFilter(FilterSet):
    url = TextFilter("url", gettext_lazy("URL"), lookup_expr="icontains", placeholder=gettext_lazy("any part"))
    enabled = YesNoFilter("enabled", gettext_lazy("Enabled"))


class CallbackTable(Table):
    url = MainColumn(gettext_lazy("URL"), url="callback", sub=lambda one: _("for %s") % for_whom(one), sort="url")
    status = StatusColumn(gettext_lazy("Status"), badge=callback_badge, accessor="pk", width="cw-14")
    created = TimeColumn(gettext_lazy("Created"), accessor="created_at", style="minutes", sort="created_at")
    actions = ActionsColumn(
        lambda one: [
            RowAction(
                gettext_lazy("Deliveries"),
                f"{reverse('callback-events')}?callback={one.pk}",
                icon="list",
                permission="delivery.view_callbackevent",
            ),
            RowAction(
                gettext_lazy("Edit"),
                reverse("callback-edit", args=[one.pk]),
                icon="pencil",
                permission="delivery.change_callback",
            ),
            RowAction(
                gettext_lazy("Delete…"),
                reverse("callback-delete", args=[one.pk]),
                danger=True,
                permission="delivery.delete_callback",
            ),
        ]
    )


class CallbackForm(forms.Form):
    address = forms.ModelChoiceField(
        SenderAddress.objects.select_related("domain"),
        label=gettext_lazy("For mail from"),
        required=False,
        empty_label=gettext_lazy("every sender address (the account)"),
        help_text=gettext_lazy("The callback address of a sender address wins over the account's."),
    )
    url = forms.CharField(
        label=gettext_lazy("URL"),
        max_length=1000,
        widget=forms.URLInput({"placeholder": "https://shop.example/mail-events", "autocomplete": "off"}),
        error_messages={
            "required": gettext_lazy("Enter where events are told, like https://shop.example/mail-events.")
        },
    )
    happenings = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=Happening.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=Happening.values,
        error_messages={"required": gettext_lazy("Choose at least one event.")},
    )
    enabled = forms.BooleanField(
        label=gettext_lazy("Enabled"),
        required=False,
        initial=True,
        help_text=gettext_lazy("While it is disabled nothing is written down for it."),
    )

    def __init__(self, *args: Any, callback: Callback | None = None, **kwargs: Any) -> None:
        if callback is not None:
            kwargs["initial"] = {
                "url": callback.url,
                "happenings": callback.happenings,
                "enabled": callback.enabled,
            }
        super().__init__(*args, **kwargs)
        ports = ", ".join(str(port) for port in sorted(callbacks.rules().ports))
        self.fields["url"].help_text = (
            _("Events are POSTed there as JSON. Ports %s; no private networks; 2xx within 3 seconds counts as taken.")
            % ports
        )
        if callback is None:
            del self.fields["enabled"]
        else:
            del self.fields["address"]

    def clean_url(self) -> str:
        try:
            return callbacks.check_url(self.cleaned_data["url"])
        except callbacks.CallbackRefused as refused:
            raise forms.ValidationError(str(refused)) from None


def _crumbs(callback: Callback | None = None) -> list[tuple[str, str]]:
    crumbs = [(_("Callback addresses"), reverse("callbacks"))]
    return crumbs if callback is None else [*crumbs, (callback.url, reverse("callback", args=[callback.pk]))]


def new(request: HttpRequest) -> HttpResponse:
    form = CallbackForm(**posted(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            callback, secret = callbacks.add(url=data["url"], address=data["address"], happenings=data["happenings"])
        except callbacks.CallbackRefused as refused:
            form.add_error("address", str(refused))
        else:
            return show_secret(
                request,
                title=_("The secret that events are signed with"),
                secret=secret,
                done=reverse("callback", args=[callback.pk]),
                crumbs=_crumbs(callback),
            )
    context = {
        "form": form,
        "title": _("Add callback address"),
        "submit": _("Add"),
        "submit_hint": _("Its secret is shown next, once."),
        "cancel": reverse("callbacks"),
        "crumbs": _crumbs(),
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def edit(request: HttpRequest, pk: int) -> HttpResponse:
    callback = get_object_or_404(Callback, pk=pk)
    form = CallbackForm(callback=callback, **posted(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        callbacks.change(callback, url=data["url"], happenings=data["happenings"], enabled=data["enabled"])
        messages.success(request, _("The callback address is saved."))
        return redirect("callback", pk=pk)
    context = {
        "form": form,
        "title": _("Edit callback address"),
        "cancel": reverse("callback", args=[pk]),
        "crumbs": _crumbs(callback),
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def callback_page(request: HttpRequest, pk: int) -> HttpResponse:
    callback = get_object_or_404(Callback.objects.select_related("address__domain"), pk=pk)
    newest = list(callback.events.order_by("-id")[:10])
    badge = callback_badge(callback)
    context = {
        "callback": callback,
        "badge": UNTRIED if badge is TAKES and not newest else badge,
        "whom": for_whom(callback),
        "events": [str(Happening(name).label) for name in callback.happenings if name in Happening.values],
        "waiting": callback.events.filter(state=CallbackEvent.State.WAITING)[:10_001].count(),
        "rotating": bool(callback.old_secret_until and callback.old_secret_until > timezone.now()),
        "table": LatestTable(newest, request=request) if newest else None,
        "crumbs": _crumbs(),
    }
    return render(request, "delivery/callback.html", context)


def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Sent here and now, 3 seconds at most, so that whoever asks sees what came of it."""
    event = callbacks.test_event(get_object_or_404(Callback, pk=pk))
    told = sending.send_test(event, now=timezone.now())
    if told.taken:
        messages.success(request, _("The test event was taken (%s).") % told.answer.status)
    else:
        why = told.answer.problem or _("answered %s") % told.answer.status
        messages.error(request, _("The test event was not taken: %s.") % why)
    return redirect("callback-event", pk=event.pk)


def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    callback = get_object_or_404(Callback, pk=pk)
    if request.method == "POST":
        return show_secret(
            request,
            title=_("The new secret that events are signed with"),
            secret=callbacks.rotate(callback, now=timezone.now()),
            done=reverse("callback", args=[pk]),
            crumbs=_crumbs(callback),
        )
    return confirm(
        request,
        title=_("Make a new secret?"),
        button=_("Make a new secret"),
        cancel=reverse("callback", args=[pk]),
        consequences=[
            _("For %s hours events are signed with the old and with the new one: change your receiver in that time.")
            % callbacks.OLD_SECRET_HOURS,
            _("The new one is shown once."),
        ],
        danger=False,
        crumbs=_crumbs(callback),
    )


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    callback = get_object_or_404(Callback, pk=pk)
    if request.method == "POST":
        callbacks.remove(callback)
        messages.success(request, _("The callback address is deleted."))
        return redirect("callbacks")
    return confirm(
        request,
        title=_("Delete this callback address?"),
        button=_("Delete"),
        cancel=reverse("callback", args=[pk]),
        consequences=[
            _("%s is told nothing any more, and what it was still to be told is deleted.") % callback.url,
            *([_("Mail from this sender address is told to the account's.")] if callback.address_id else []),
        ],
        crumbs=_crumbs(callback),
    )


def _rows() -> QuerySet[Any]:
    return Callback.objects.select_related("address__domain")


def _trouble() -> Trouble | None:
    count = Callback.objects.filter(enabled=True, suspended_at__isnull=False).count()
    return Trouble(count, _("suspended")) if count else None


_ADD = Button(label=gettext_lazy("Add callback address"), page="callback-new", permission="delivery.add_callback")


def _page(name: str, route: str, view: Any, title: Any, permission: str, *methods: str) -> Page:
    return Page(
        name=name,
        route=f"callbacks/{route}",
        view=view,
        title=title,
        permission=f"delivery.{permission}_callback",
        parent="callbacks",
        methods=methods or ("GET", "HEAD", "POST"),
    )


register(
    ListPage(
        name="callbacks",
        route="callbacks/",
        title=gettext_lazy("Callback addresses"),
        noun=(gettext_lazy("callback address"), gettext_lazy("callback addresses")),
        description=gettext_lazy("Other systems hear there what became of each mail, a few seconds after it happened."),
        rows=_rows,
        filters=CallbackFilter,
        table=CallbackTable,
        permission="delivery.view_callback",
        order_by=("id",),
        section=Section.CONFIGURATION,
        order=40,
        create=_ADD,
        trouble=_trouble,
        empty=Empty(
            icon="webhook",
            title=gettext_lazy("No callback address yet"),
            text=gettext_lazy(
                "Add a URL of your own system, and it is told of deliveries, bounces, opens, clicks, spam reports and "
                "unsubscriptions."
            ),
            button=_ADD,
        ),
    ),
    _page("callback-new", "new/", new, _ADD.label, "add"),
    _page("callback", "<int:pk>/", callback_page, gettext_lazy("Callback address"), "view", "GET", "HEAD"),
    _page("callback-edit", "<int:pk>/edit/", edit, gettext_lazy("Edit callback address"), "change"),
    _page("callback-secret", "<int:pk>/secret/", rotate, gettext_lazy("Make a new secret"), "change"),
    _page("callback-test", "<int:pk>/test/", test, gettext_lazy("Send test event"), "change", "POST"),
    _page("callback-delete", "<int:pk>/delete/", delete, gettext_lazy("Delete callback address"), "delete"),
)
