"""The account: its name and zone, how long mail is tried, and stopping all sending."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_q.tasks import async_task

from console.forms import posted
from console.menu import Section
from console.models import Account
from console.registry import Page, register
from console.views import ask_twice, confirm, confirmed


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the account's settings that another floor knows: `page` is where it is changed, called `link`."""

    name: str
    value: str
    page: str
    link: str


facts: list[Callable[[], Fact]] = []


class AccountForm(forms.ModelForm):
    class Meta:
        model = Account
        fields = ("name", "time_zone", "retry_hours")
        error_messages: ClassVar = {
            "name": {"required": gettext_lazy("Enter the name of your company.")},
            "retry_hours": dict.fromkeys(
                ("required", "invalid", "min_value", "max_value"), gettext_lazy("Enter 1 to 120 hours.")
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A choice of 600 with typing ahead, and an entry that the system knows though this list does not.
        zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone or zone == "UTC")
        if self.instance.time_zone not in zones:
            zones.insert(0, self.instance.time_zone)
        field = self.fields["time_zone"]
        self.fields["time_zone"] = forms.ChoiceField(
            label=field.label,
            choices=[(zone, zone) for zone in zones],
            help_text=_("Times on every page, and where a day begins. What is planned keeps its local time."),
        )


def account_page(request: HttpRequest) -> HttpResponse:
    return render(request, "console/account.html", {"shown": Account.current(), "facts": [fact() for fact in facts]})


def edit(request: HttpRequest) -> HttpResponse:
    account = Account.current()
    form = AccountForm(instance=account, **posted(request))
    if request.method == "POST" and form.is_valid():
        # Only what the form holds: stopping all sending must never be undone by a form that was open meanwhile.
        account.save(update_fields=list(form.fields))
        messages.success(request, _("The account is saved."))
        return redirect("account")
    context = {
        "form": form,
        "title": _("Edit account"),
        "cancel": reverse("account"),
        "crumbs": [(_("Account"), reverse("account"))],
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def stop(request: HttpRequest) -> HttpResponse:
    """Asked twice: what follows, then the account's name is to be typed."""
    account = Account.current()
    if account.sending_stopped_at is not None:
        messages.info(request, _("All sending is stopped already."))
        return redirect("account")
    if confirmed(request, account.name):
        # Two at once: the first stays the one who stopped.
        account.stop_sending(by=request.user.get_username(), now=timezone.now())
        messages.success(request, _("All sending is stopped. What is on the wire now ends within seconds."))
        return redirect("account")
    return ask_twice(
        request,
        account.name,
        title=_("Stop all sending?"),
        button=_("Stop all sending"),
        cancel="account",
        consequences=[
            _("Nothing goes out any more: no batch, no trigger mail, no retry."),
            _("Requests are accepted and held. Nothing is lost; the retry window of mail that was tried runs on."),
            _("Every page says so until somebody resumes."),
        ],
        crumbs=[(_("Account"), reverse("account"))],
    )


def resume(request: HttpRequest) -> HttpResponse:
    account = Account.current()
    if request.method == "POST":
        with transaction.atomic():
            if account.resume_sending():
                transaction.on_commit(lambda: async_task("delivery.jobs.release", "account", cluster="jobs"))
        messages.success(request, _("Sending goes on. What was held is taken up again."))
        return redirect("account")
    return confirm(
        request,
        title=_("Resume sending?"),
        button=_("Resume sending"),
        danger=False,
        cancel="account",
        consequences=[_("Everything that was held because of the stop is sent now.")],
        crumbs=[(_("Account"), reverse("account"))],
    )


def _page(name: str, route: str, view: Any, title: Any) -> Page:
    return Page(
        name=name,
        route=f"account/{route}",
        view=view,
        title=title,
        permission="console.change_account",
        parent="account",
    )


register(
    Page(
        name="account",
        route="account/",
        view=account_page,
        title=gettext_lazy("Account"),
        permission="console.view_account",
        section=Section.CONFIGURATION,
        order=60,
        methods=("GET", "HEAD"),
    ),
    _page("account-edit", "edit/", edit, gettext_lazy("Edit account")),
    _page("account-stop", "stop/", stop, gettext_lazy("Stop all sending")),
    _page("account-resume", "resume/", resume, gettext_lazy("Resume sending")),
)
