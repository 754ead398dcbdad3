"""Tracking settings: whether opens and clicks are followed, for the account and for each sender domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Badge
from console.filters import FilterSet, TextFilter, YesNoFilter
from console.forms import posted
from console.lists import Action, Button, Empty, ListPage
from console.menu import Section
from console.models import Account
from console.registry import Page, register
from console.tables import ActionsColumn, Column, MainColumn, RowAction, StatusColumn, Table
from console.views import ask_twice, confirmed
from delivery.models import SenderDomain

ON = Badge("ok", "check", gettext_lazy("On"))
OFF = Badge("calm", "minus", gettext_lazy("Off"))
# The switches: field of the account and of a domain → what is followed.
SWITCHES = {"track_opens": gettext_lazy("Opens"), "track_clicks": gettext_lazy("Clicks")}


def switch_badge(on: bool) -> Badge:
    return ON if on else OFF


class SettingsFilter(FilterSet):
    name = TextFilter("name", gettext_lazy("Domain"), lookup_expr="icontains", placeholder=gettext_lazy("any part"))
    opens = YesNoFilter("track_opens", SWITCHES["track_opens"], yes=gettext_lazy("On"), no=gettext_lazy("Off"))
    clicks = YesNoFilter("track_clicks", SWITCHES["track_clicks"], yes=gettext_lazy("On"), no=gettext_lazy("Off"))


class SettingsTable(Table):
    name = MainColumn(gettext_lazy("Sender domain"), url="domain", sort="name")
    opens = StatusColumn(
        SWITCHES["track_opens"],
        badge=lambda domain: switch_badge(domain.track_opens),
        accessor="pk",
        width="cw-9",
        phone="",
        sort=("track_opens", "name"),
        export="track_opens",
    )
    clicks = StatusColumn(
        SWITCHES["track_clicks"],
        badge=lambda domain: switch_badge(domain.track_clicks),
        accessor="pk",
        width="cw-9",
        phone="",
        sort=("track_clicks", "name"),
        export="track_clicks",
    )
    host = Column(gettext_lazy("Own tracking host"), accessor="tracking_host", muted=True, phone="m-hide")
    actions = ActionsColumn(
        lambda domain: [
            RowAction(
                gettext_lazy("Edit"),
                reverse("tracking-settings-domain", args=[domain.pk]),
                icon="pencil",
                permission="delivery.change_senderdomain",
            )
        ]
    )


class SwitchesForm(forms.ModelForm):
    class Meta:
        model = SenderDomain
        fields = tuple(SWITCHES)


def edit(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    form = SwitchesForm(instance=domain, **posted(request))
    if form.is_valid():
        domain.save(update_fields=list(SWITCHES))
        messages.success(
            request, _("%(domain)s: saved. Mail that is composed from now on follows it.") % {"domain": domain}
        )
        return redirect("tracking-settings")
    context = {
        "form": form,
        "title": _("Tracking of %(domain)s") % {"domain": domain},
        "cancel": reverse("tracking-settings"),
        "crumbs": [(_("Tracking settings"), reverse("tracking-settings")), (domain.name, "")],
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def account(request: HttpRequest, field: str) -> HttpResponse:
    """Asked twice, on as well as off: it concerns every mail from then on."""
    here = Account.current()
    what = str(SWITCHES[field]).lower()
    on = not getattr(here, field)
    if confirmed(request, here.name):
        setattr(here, field, on)
        here.save(update_fields=[field])
        text = _("Tracking of %(what)s is on.") if on else _("Tracking of %(what)s is off.")
        messages.success(request, text % {"what": what})
        return redirect("tracking-settings")
    title = _("Turn tracking of %(what)s on?") if on else _("Turn tracking of %(what)s off?")
    return ask_twice(
        request,
        here.name,
        title=title % {"what": what},
        button=(_("Turn %(what)s on") if on else _("Turn %(what)s off")) % {"what": what},
        cancel="tracking-settings",
        consequences=_consequences(field, on),
        danger=not on,
        crumbs=[(_("Tracking settings"), reverse("tracking-settings"))],
    )


def _consequences(field: str, on: bool) -> list[str]:
    if on:
        first = (
            _("HTML mail carries an image of one pixel again.")
            if field == "track_opens"
            else _("Links in HTML mail lead over us again.")
        )
        return [first, _("It holds for mail that is composed from now on, where neither domain nor API user says no.")]
    if field == "track_opens":
        follows = [
            _("HTML mail carries no image any more; nobody is seen to open it."),
            _("The statistics lack its opens, and a domain can't warm up by them."),
        ]
    else:
        follows = [
            _("Links in HTML mail lead straight to their targets; nobody is seen to click them."),
            _("The statistics lack its clicks."),
        ]
    return [*follows, _("Mail that was sent before keeps what it has, and goes on being counted.")]


def _set(field: str, on: bool) -> Callable[[QuerySet[Any], HttpRequest], str]:
    def run(rows: QuerySet[Any], request: HttpRequest) -> str:
        count = SenderDomain.objects.filter(pk__in=rows.values("pk")).update(**{field: on})
        text = (
            ngettext("%(what)s turned on for %(n)s domain.", "%(what)s turned on for %(n)s domains.", count)
            if on
            else ngettext("%(what)s turned off for %(n)s domain.", "%(what)s turned off for %(n)s domains.", count)
        )
        return text % {"what": SWITCHES[field], "n": count}

    return run


def _actions() -> list[Action]:
    labels = {
        ("track_opens", True): gettext_lazy("Follow opens of"),
        ("track_opens", False): gettext_lazy("Stop following opens of"),
        ("track_clicks", True): gettext_lazy("Follow clicks of"),
        ("track_clicks", False): gettext_lazy("Stop following clicks of"),
    }
    return [
        Action(
            name=f"{field.removeprefix('track_')}-{'on' if on else 'off'}",
            label=label,
            permission="delivery.change_senderdomain",
            run=_set(field, on),
            consequence=gettext_lazy("It holds for mail that is composed from now on."),
            danger=False,
        )
        for (field, on), label in labels.items()
    ]


def _switches(request: HttpRequest) -> dict[str, Any]:
    here = Account.current()
    return {
        "switches": [
            (
                name,
                getattr(here, field),
                switch_badge(getattr(here, field)),
                reverse(f"{field.replace('_', '-')}-account"),
            )
            for field, name in SWITCHES.items()
        ]
    }


def _switch_page(field: str) -> Page:
    return Page(
        name=f"{field.replace('_', '-')}-account",
        route=f"tracking-settings/account/{field.removeprefix('track_')}/",
        view=lambda request: account(request, field),
        title=SWITCHES[field],
        permission="console.change_account",
        parent="tracking-settings",
    )


register(
    ListPage(
        name="tracking-settings",
        route="tracking-settings/",
        title=gettext_lazy("Tracking settings"),
        noun=(gettext_lazy("sender domain"), gettext_lazy("sender domains")),
        rows=SenderDomain.objects.all,
        filters=SettingsFilter,
        table=SettingsTable,
        permission="delivery.view_senderdomain",
        order_by=("name",),
        default_sort="name",
        section=Section.STATISTICS,
        order=30,
        description=gettext_lazy(
            "Opens and clicks are followed where the account, the sender domain and the API user all say so. A change "
            "holds for mail that is composed from then on, within seconds."
        ),
        actions=_actions(),
        template="delivery/tracking_settings.html",
        context=_switches,
        empty=Empty(
            icon="world",
            title=gettext_lazy("No sender domain yet"),
            text=gettext_lazy("Each sender domain has switches of its own, once there is one."),
            button=Button(
                label=gettext_lazy("Create sender domain"), page="domain-new", permission="delivery.add_senderdomain"
            ),
        ),
    ),
    Page(
        name="tracking-settings-domain",
        route="tracking-settings/<int:pk>/",
        view=edit,
        title=gettext_lazy("Tracking of a sender domain"),
        permission="delivery.change_senderdomain",
        parent="tracking-settings",
    ),
    *map(_switch_page, SWITCHES),
)
