"""API users: who may request mail. Their secret is shown once, and kept as a hash."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_q.tasks import async_task

from console.badges import Badge
from console.filters import ChoiceFilter, FilterSet, TextFilter, YesNoFilter
from console.forms import posted
from console.lists import Button, Empty, ListPage
from console.menu import Section
from console.models import ApiUser
from console.registry import Page, register
from console.tables import (
    ActionsColumn,
    Column,
    MainColumn,
    NumberColumn,
    RowAction,
    StatusColumn,
    Table,
    TagColumn,
    TimeColumn,
)
from console.views import back, confirm, show_secret
from delivery.models import HeldBy, SenderDomain
from delivery.services import quota
from suppression.address import MalformedAddress, parse

ENABLED = Badge("ok", "check", gettext_lazy("Enabled"))
DISABLED = Badge("warn", "player-pause", gettext_lazy("Disabled"), gettext_lazy("mail is held"))


def user_badge(user: ApiUser) -> Badge:
    return ENABLED if user.enabled else DISABLED


class ApiUserFilter(FilterSet):
    name = TextFilter("name", gettext_lazy("Name"), lookup_expr="icontains", placeholder=gettext_lazy("any part"))
    type = ChoiceFilter("type", gettext_lazy("Type"), choices=ApiUser.Type.choices)
    enabled = YesNoFilter("enabled", gettext_lazy("Enabled"))


def _actions(user: ApiUser) -> list[RowAction]:
    switch = (
        RowAction(
            gettext_lazy("Disable…"),
            reverse("api-user-disable", args=[user.pk]),
            icon="player-pause",
            permission="console.change_apiuser",
        )
        if user.enabled
        else RowAction(
            gettext_lazy("Enable"),
            reverse("api-user-enable", args=[user.pk]),
            icon="player-play",
            permission="console.change_apiuser",
            post=True,
        )
    )
    edit = RowAction(
        gettext_lazy("Edit"),
        reverse("api-user-edit", args=[user.pk]),
        icon="pencil",
        permission="console.change_apiuser",
    )
    return [edit, switch]


class ApiUserTable(Table):
    name = MainColumn(
        gettext_lazy("Name"),
        url="api-user",
        sub=lambda user: _("The console's own") if user.is_console else user.reply_to,
        sort="name",
    )
    type = TagColumn(gettext_lazy("Type"), accessor="get_type_display", width="cw-6", sort="type", phone="m-hide")
    status = StatusColumn(gettext_lazy("Status"), badge=user_badge, accessor="pk", width="cw-11", sort="enabled")
    domain = Column(gettext_lazy("Sender domain"), accessor="only_domain", muted=True, wide=True)
    quota = NumberColumn(gettext_lazy("Daily quota"), accessor="daily_quota", width="cw-7", sort="daily_quota")
    created = TimeColumn(gettext_lazy("Created"), accessor="created_at", style="minutes", sort="created_at")
    actions = ActionsColumn(_actions)


class ApiUserForm(forms.ModelForm):
    only_domain = forms.ChoiceField(
        label=gettext_lazy("Sender domain"),
        required=False,
        help_text=gettext_lazy("Restricts it to one domain. Empty: it may send from every verified one."),
    )

    class Meta:
        model = ApiUser
        fields = ("name", "type", "reply_to", "only_domain", "daily_quota", "track_opens", "track_clicks")
        widgets: ClassVar = {
            "type": forms.RadioSelect,
            "name": forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
            "daily_quota": forms.TextInput({"inputmode": "numeric", "autocomplete": "off"}),
        }
        help_texts: ClassVar = {
            "type": gettext_lazy("Trigger mail (orders, passwords) overtakes batch mail. It can't be changed later."),
            "reply_to": gettext_lazy("Where answers go. Empty: to the sender address."),
        }
        error_messages: ClassVar = {
            "name": {"required": gettext_lazy("Enter a name: programs sign in with it.")},
            "type": {"required": gettext_lazy("Choose what kind of mail it sends.")},
            "daily_quota": dict.fromkeys(
                ("invalid", "min_value", "max_value"), gettext_lazy("Enter how many mails a day. Empty: no limit.")
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = list(SenderDomain.objects.values_list("name", flat=True))
        # A domain that was deleted stays chosen until somebody chooses another: it must not open up by itself.
        if self.instance.only_domain and self.instance.only_domain not in names:
            names.append(self.instance.only_domain)
        domain = self.fields["only_domain"]
        assert isinstance(domain, forms.ChoiceField)
        domain.choices = [("", _("Every verified domain")), *((name, name) for name in names)]
        type_ = self.fields["type"]
        assert isinstance(type_, forms.ChoiceField)
        type_.choices = list(ApiUser.Type.choices)
        if self.instance.pk:
            del self.fields["type"]
        if self.instance.is_console:
            del self.fields["name"]

    def clean_reply_to(self) -> str:
        text = str(self.cleaned_data["reply_to"]).strip()
        if not text:
            return ""
        try:
            return parse(text).canonical
        except MalformedAddress as malformed:
            raise forms.ValidationError(_(malformed.reason)) from None


def _crumbs(user: ApiUser | None = None) -> list[tuple[str, str]]:
    crumbs = [(_("API users"), reverse("api-users"))]
    return [*crumbs, (user.name, reverse("api-user", args=[user.pk]))] if user else crumbs


def _show_secret(request: HttpRequest, user: ApiUser, secret: str, *, fresh: bool) -> HttpResponse:
    """The answer to the POST that made it, kept by nobody: a redirect would have to keep the secret somewhere."""
    title = _("%(name)s is created") if fresh else _("The new secret of %(name)s")
    return show_secret(
        request,
        title=title % {"name": user.name},
        name=user.name,
        secret=secret,
        done=reverse("api-user", args=[user.pk]),
        crumbs=_crumbs(user),
    )


def new(request: HttpRequest) -> HttpResponse:
    form = ApiUserForm(initial={"type": ApiUser.Type.TRIGGER}, **posted(request))
    if request.method == "POST" and form.is_valid():
        user = form.save(commit=False)
        secret = user.new_secret()
        user.save()
        return _show_secret(request, user, secret, fresh=True)
    context = {
        "form": form,
        "title": _("Create API user"),
        "submit": _("Create"),
        "submit_hint": _("Its secret is shown next, once."),
        "cancel": reverse("api-users"),
        "crumbs": _crumbs(),
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def edit(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(ApiUser, pk=pk)
    crumbs = _crumbs(user)
    form = ApiUserForm(instance=user, **posted(request))
    if request.method == "POST" and form.is_valid():
        # Only what the form holds: somebody may be enabling it at this moment.
        user.save(update_fields=list(form.fields))
        messages.success(request, _("%(name)s is saved.") % {"name": user.name})
        return redirect("api-user", pk=pk)
    context = {
        "form": form,
        "title": _("Edit %(name)s") % {"name": crumbs[-1][0]},
        "cancel": reverse("api-user", args=[pk]),
        "crumbs": crumbs,
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def user_page(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(ApiUser, pk=pk)
    context = {
        "user_": user,
        "badge": user_badge(user),
        "sent_today": quota.sent_today(user.pk, quota.local_day(timezone.now())),
        "crumbs": _crumbs(),
    }
    return render(request, "delivery/api_user.html", context)


def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(ApiUser, pk=pk)
    if request.method == "POST":
        secret = user.new_secret()
        user.save(update_fields=["secret_hash"])
        return _show_secret(request, user, secret, fresh=False)
    return confirm(
        request,
        title=_("Make a new secret for %(name)s?") % {"name": user.name},
        button=_("Make a new secret"),
        cancel=reverse("api-user", args=[pk]),
        consequences=[
            _("The present secret stops working at once: programs that use it are refused."),
            _("The new one is shown once."),
        ],
        crumbs=_crumbs(user),
    )


def disable(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(ApiUser, pk=pk)
    if request.method == "POST":
        ApiUser.objects.filter(pk=pk).update(enabled=False)
        messages.success(request, _("%(name)s is disabled. Its mail is held.") % {"name": user.name})
        return redirect("api-user", pk=pk)
    return confirm(
        request,
        title=_("Disable %(name)s?") % {"name": user.name},
        button=_("Disable"),
        cancel=reverse("api-user", args=[pk]),
        consequences=[
            _("Its mail that waits is held, and goes on when it is enabled again."),
            _("New requests by the API are refused."),
            *([_("The console itself sends with it.")] if user.is_console else []),
        ],
        crumbs=_crumbs(user),
    )


def enable(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(ApiUser, pk=pk)
    with transaction.atomic():
        if ApiUser.objects.filter(pk=pk, enabled=False).update(enabled=True):
            transaction.on_commit(lambda: async_task("delivery.jobs.release", HeldBy.API_USER.value, cluster="jobs"))
    messages.success(request, _("%(name)s is enabled. What was held goes on.") % {"name": user.name})
    return back(request, reverse("api-user", args=[pk]))


def _rows() -> QuerySet[ApiUser]:
    """All. The console's own two stand there before their first mail."""
    for type in ApiUser.Type.values:
        ApiUser.console(type)
    return ApiUser.objects.all()


_CREATE = Button(label=gettext_lazy("Create API user"), page="api-user-new", permission="console.add_apiuser")


def _change(name: str, route: str, view: Any, title: Any, *, post: bool = False) -> Page:
    return Page(
        name=name,
        route=f"api-users/<int:pk>/{route}",
        view=view,
        title=title,
        permission="console.change_apiuser",
        parent="api-users",
        methods=("POST",) if post else ("GET", "HEAD", "POST"),
    )


register(
    ListPage(
        name="api-users",
        route="api-users/",
        title=gettext_lazy("API users"),
        noun=(gettext_lazy("API user"), gettext_lazy("API users")),
        rows=_rows,
        filters=ApiUserFilter,
        table=ApiUserTable,
        permission="console.view_apiuser",
        order_by=("name",),
        default_sort="name",
        section=Section.CONFIGURATION,
        order=50,
        create=_CREATE,
        empty=Empty(
            icon="key",
            title=gettext_lazy("No API user yet"),
            text=gettext_lazy("Programs request mail with one. The console makes one of each type for itself."),
            button=_CREATE,
        ),
    ),
    Page(
        name="api-user-new",
        route="api-users/new/",
        view=new,
        title=_CREATE.label,
        permission="console.add_apiuser",
        parent="api-users",
    ),
    Page(
        name="api-user",
        route="api-users/<int:pk>/",
        view=user_page,
        title=gettext_lazy("API user"),
        permission="console.view_apiuser",
        parent="api-users",
        methods=("GET", "HEAD"),
    ),
    _change("api-user-edit", "edit/", edit, gettext_lazy("Edit API user")),
    _change("api-user-secret", "secret/", rotate, gettext_lazy("Make a new secret")),
    _change("api-user-disable", "disable/", disable, gettext_lazy("Disable API user")),
    _change("api-user-enable", "enable/", enable, gettext_lazy("Enable API user"), post=True),
)
