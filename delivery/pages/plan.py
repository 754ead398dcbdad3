"""Plan: credits and their ledger, the daily quota of every sender domain, and the limits in force."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Badge
from console.forms import posted
from console.menu import Section, Trouble
from console.models import Account, ApiUser
from console.pages import account as account_page
from console.registry import Page, register
from console.views import confirm
from console.window import Window
from delivery.engine import shape
from delivery.models import CreditEntry, DomainDay, HeldBy, LimitGroup, SenderDomain, Waiting
from delivery.models.address import ADDRESSES_PER_DOMAIN
from delivery.models.queue import group_title
from delivery.pages.domain_warmup import day_badge
from delivery.services import credits, quota, statistics, warmup
from delivery.services.recipient_files import LIMIT
from delivery.services.regular import MAX_RECIPIENTS

LEDGER_ROWS = 60
PAID_DAYS = 7
LEDGER_SPAN = dt.timedelta(days=90)
MOST = 10**12


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the ledger: mail by day, what people did one by one."""

    day: Any
    what: str
    delta: int
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class DomainQuota:
    domain: SenderDomain
    level: int
    attempted: int
    cap: int
    badge: Badge | None


@dataclass(frozen=True, slots=True)
class GroupLimits:
    name: str
    limits: shape.Limits
    changed: bool


def plan(request: HttpRequest) -> HttpResponse:
    account = Account.current()
    form = TopUpForm(**posted(request)) if request.user.has_perm("delivery.add_creditentry") else None
    if request.method == "POST" and form is not None and form.is_valid():
        credits.top_up(
            form.cleaned_data["amount"],
            by=request.user.get_username(),
            note=form.cleaned_data["note"],
            now=timezone.now(),
        )
        messages.success(request, _("The credits are written into the ledger. Mail that waited for them goes on."))
        return redirect("plan")
    today = quota.local_day(timezone.now())
    context = {
        "left": credits.left(),
        "waiting": Waiting.objects.filter(state=Waiting.State.HELD, held_by=HeldBy.CREDITS).count(),
        "lines": ledger(account.time_zone, now=timezone.now()),
        "form": form,
        "paid": paid_by_day(account.zone, now=timezone.now()),
        "domains": domain_quotas(today),
        "users": [
            (user, quota.sent_today(user.pk, today))
            for user in ApiUser.objects.filter(daily_quota__isnull=False).order_by("name")
        ],
        "account": account,
        "limits": [
            (_("Recipients of a regular mail"), MAX_RECIPIENTS),
            (_("Recipients in an imported file"), LIMIT),
            (_("Sender addresses of a domain"), ADDRESSES_PER_DOMAIN),
        ],
        "groups": group_limits(),
    }
    return render(request, "delivery/plan.html", context, status=422 if form is not None and form.is_bound else 200)


def ledger(zone: str, *, now: dt.datetime) -> list[Line]:
    """The latest lines: mail summed by day in this time zone, and every top-up."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (at AT TIME ZONE %s)::date AS day, kind, sum(delta), max(by), max(note), max(id) AS last
            FROM delivery_creditentry WHERE at > %s
            GROUP BY day, kind, CASE WHEN kind IN ('top_up', 'set') THEN id END
            ORDER BY day DESC, last DESC LIMIT %s
            """,
            [zone, now - LEDGER_SPAN, LEDGER_ROWS],
        )
        rows = cursor.fetchall()
    return [
        Line(day, str(CreditEntry.Kind(kind).label), int(delta), by, note) for day, kind, delta, by, note, _last in rows
    ]


def paid_by_day(zone: zoneinfo.ZoneInfo, *, now: dt.datetime) -> list[tuple[dt.date, int]]:
    """The last days, today first, each with how much of the mail requested on it was worth its credit; counted also
    while credits are unlimited."""
    window = Window.days(PAID_DAYS, zone, now)
    rows = statistics.between(statistics.summary(), window.start, window.end)
    days = statistics.steps(rows, window.first, window.last, zone, columns=["paid"])
    return [(day.date(), figures.count("paid")) for day, figures in reversed(days)]


def domain_quotas(today: Any) -> list[DomainQuota]:
    days = {day.domain_id: day for day in DomainDay.objects.filter(day=today)}
    found = []
    for domain in SenderDomain.objects.order_by("name"):
        day = days.get(domain.pk, DomainDay(domain=domain, day=today, level=domain.level))
        found.append(DomainQuota(domain, day.level, day.attempted, warmup.cap(day.level), day_badge(day)))
    return found


def group_limits() -> list[GroupLimits]:
    """What is asked of receivers: the default, the big providers, and what was changed in the console."""
    default, providers = shape.providers()
    changed = {group.name: group for group in LimitGroup.objects.exclude(**dict.fromkeys(shape.LIMITS))}
    names = [f"provider:{provider.name}" for provider in providers]
    found = []
    for name in [*names, *sorted(changed.keys() - {"", *names}), ""]:
        limits = shape.limits_of(name) if name else default
        if group := changed.get(name):
            limits = limits.but({name: getattr(group, name) for name in shape.LIMITS})
        found.append(GroupLimits(group_title(name) or _("Everybody else"), limits, name in changed))
    return found


_NO_AMOUNT = gettext_lazy("Enter how many credits to add.")


class TopUpForm(forms.Form):
    amount = forms.IntegerField(
        label=gettext_lazy("Credits"),
        min_value=-MOST,
        max_value=MOST,
        help_text=gettext_lazy("Added to what is left. A negative number takes away."),
        error_messages=dict.fromkeys(("required", "invalid"), _NO_AMOUNT),
    )
    note = forms.CharField(label=gettext_lazy("Note"), max_length=200, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if credits.left() is None:
            self.fields["amount"].help_text = _("From now on no more than these may be used.")

    def clean_amount(self) -> int:
        amount: int = self.cleaned_data["amount"]
        if not amount and credits.left() is not None:
            raise forms.ValidationError(_NO_AMOUNT)
        return amount


def unlimited(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        credits.lift_limit()
        messages.success(request, _("Credits are unlimited. Mail that waited for them goes on."))
        return redirect("plan")
    return confirm(
        request,
        title=_("Make credits unlimited?"),
        button=_("Make unlimited"),
        cancel="plan",
        consequences=[
            _("Mail that waits for credits goes on at once."),
            _("New mail reserves none, and the ledger rests. It stays as it is."),
        ],
        danger=False,
        crumbs=[(_("Plan"), reverse("plan"))],
    )


def credits_fact() -> account_page.Fact:
    left = credits.left()
    shown = _("Unlimited") if left is None else _("%s left") % number_format(left, use_l10n=True, force_grouping=True)
    return account_page.Fact(_("Credits"), shown, "plan", _("Plan"))


def _trouble() -> Trouble | None:
    left = credits.left()
    return Trouble(1, _("credits used up")) if left is not None and left <= 0 else None


account_page.facts.append(credits_fact)
register(
    Page(
        name="plan",
        route="plan/",
        view=plan,
        title=gettext_lazy("Plan"),
        permission="delivery.view_creditentry",
        section=Section.PLAN,
        order=10,
        trouble=_trouble,
    ),
    Page(
        name="plan-unlimited",
        route="plan/unlimited/",
        view=unlimited,
        title=gettext_lazy("Make credits unlimited"),
        permission="delivery.add_creditentry",
        parent="plan",
    ),
)
