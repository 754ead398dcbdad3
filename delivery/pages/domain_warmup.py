"""A sender domain's warm-up: what its page says of it, and setting the level by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Badge
from console.forms import posted
from console.registry import Page, register
from console.templatetags.posthorn import percent
from console.views import count_text
from delivery.models import DomainDay, SenderDomain
from delivery.services import quota, warmup

DAYS_SHOWN = 7
BLOCKED = Badge("bad", "lock", gettext_lazy("Blocked for today"))
FULL = Badge("warn", "player-pause", gettext_lazy("Quota reached"))

# Why a day moved the level, or did not.
WHY = {
    "good": gettext_lazy("70 % of the cap used, more than 92 % delivered"),
    "opens": gettext_lazy("70 % of the cap used, more than half opened"),
    "invalid": gettext_lazy("more than 9 % invalid addresses"),
    "undelivered": gettext_lazy("less than 65 % delivered"),
    "spam": gettext_lazy("more than 5 % refused as spam"),
    "complaints": gettext_lazy("more than 0.5 % complaints"),
}


@dataclass(frozen=True, slots=True)
class Moved:
    """A day that is over, and what it did to the level."""

    day: dt.date
    attempted: int
    text: str
    tone: str


def warmup_facts(domain: SenderDomain, *, now: dt.datetime) -> dict[str, Any]:
    """For the card on the domain's page: level, today's figures, and why the level moved. Writes nothing."""
    today = quota.local_day(now)
    days = list(DomainDay.objects.filter(domain=domain).order_by("-day")[: DAYS_SHOWN + 1])
    # Before the day has begun (a minute, or the first mail), what it will begin with.
    day = next((one for one in days if one.day == today), DomainDay(domain=domain, day=today, level=domain.level))
    return {
        "warm": day,
        "warm_cap": warmup.cap(day.level),
        "warm_levels": warmup.LEVELS,
        "warm_badge": day_badge(day),
        "warm_figures": shares(day),
        "warm_moves": [_moved(one) for one in days if one.day != today],
        "warm_next": warmup.cap(day.level + 1) if day.level < warmup.LEVELS else 0,
    }


def day_badge(day: DomainDay) -> Badge | None:
    """What keeps the domain from sending more today, if anything does."""
    if day.blocked_at or warmup.blocked(quota.figures(day)):
        return BLOCKED
    return FULL if day.attempted >= warmup.cap(day.level) else None


def shares(day: DomainDay) -> list[tuple[str, int, str]]:
    """(name, count, share of the attempted) of today's figures; a share of nothing is ''."""
    named = (
        (_("Delivered"), day.delivered),
        (_("Invalid addresses"), day.invalid),
        (_("Refused as spam"), day.spam),
        (_("Complaints"), day.complaints),
        (_("Opens"), day.opens),
    )
    return [(name, count, str(percent(count, day.attempted)) if day.attempted else "") for name, count in named]


def _moved(day: DomainDay) -> Moved:
    why = str(WHY.get(day.why, ""))
    if day.moved:
        level = day.level + day.moved
        text = (_("rose to level %(level)s: %(why)s") if day.moved > 0 else _("fell to level %(level)s: %(why)s")) % {
            "level": level,
            "why": why,
        }
        return Moved(day.day, day.attempted, text, "ok" if day.moved > 0 else "bad")
    if why:
        return Moved(day.day, day.attempted, _("stays at level 1: %(why)s") % {"why": why}, "bad")
    return Moved(day.day, day.attempted, _("stayed at level %(level)s") % {"level": day.level}, "calm")


class LevelForm(forms.Form):
    level = forms.TypedChoiceField(
        label=gettext_lazy("Level"),
        coerce=int,
        help_text=gettext_lazy(
            "For a domain that receivers know already. Mail that is sent faster than they are used to is put off, or "
            "lands among spam. From here the level goes on rising and falling by itself."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["level"]
        assert isinstance(field, forms.TypedChoiceField)
        field.choices = [
            (
                level,
                ngettext("%(level)s: %(cap)s mail a day", "%(level)s: %(cap)s mails a day", warmup.cap(level))
                % {"level": level, "cap": count_text(warmup.cap(level))},
            )
            for level in range(1, warmup.LEVELS + 1)
        ]


def level_page(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    form = LevelForm(initial={"level": domain.level}, **posted(request))
    if request.method == "POST" and form.is_valid():
        quota.set_level(domain, form.cleaned_data["level"], now=timezone.now())
        messages.success(
            request, _("The level is set. Mail that waits for the quota goes on within a minute, as far as it reaches.")
        )
        return redirect("domain", pk=pk)
    context = {
        "form": form,
        "title": _("Warm-up level of %(domain)s") % {"domain": domain},
        "submit": _("Set level"),
        "cancel": reverse("domain", args=[pk]),
        "crumbs": [(_("Sender domains"), reverse("domains")), (domain.name, reverse("domain", args=[pk]))],
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


register(
    Page(
        name="domain-level",
        route="domains/<int:pk>/level/",
        view=level_page,
        title=gettext_lazy("Warm-up level"),
        permission="delivery.change_senderdomain",
        parent="domains",
    )
)
