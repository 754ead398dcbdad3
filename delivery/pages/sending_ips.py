"""Sending IPs: what receivers see of each, and what to mend before the first mail."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Badge
from console.menu import Section, Trouble
from console.registry import Page, register
from delivery.models import IpCheck
from delivery.services import preflight, quota
from delivery.services.preflight_words import ABOUT, Words, words

STATES = {
    "ok": Badge("ok", "check", gettext_lazy("In order")),
    "warn": Badge("warn", "alert-triangle", gettext_lazy("Look at it")),
    "bad": Badge("bad", "alert-circle", gettext_lazy("To be mended")),
}
NOT_CHECKED = Badge("calm", "help", gettext_lazy("Not checked"))


@dataclass(frozen=True, slots=True)
class Line:
    title: str
    badge: Badge
    words: Words


@dataclass(frozen=True, slots=True)
class Shown:
    """One sending IP on the page."""

    ip: str
    badge: Badge
    check: IpCheck | None
    lines: list[Line]
    refusals: list[preflight.Refusal]
    # Today: attempts, and mails taken.
    tried: int
    taken: int


def _shown(ips: list[str]) -> list[Shown]:
    checks = {check.ip: check for check in IpCheck.objects.filter(ip__in=ips)}
    refused = preflight.refusals(ips, now=timezone.now())
    today = preflight.counted(ips, day=quota.local_day(timezone.now()))
    shown = []
    for ip in ips:
        check = checks.get(ip)
        findings = preflight.findings_of(check) if check else []
        badge = STATES[preflight.worst(findings)] if check else NOT_CHECKED
        if refused[ip]:
            badge = STATES["bad"].but(gettext_lazy("refused by providers"))
        lines = [Line(str(ABOUT[one.about]), STATES[one.state], words(one)) for one in findings]
        shown.append(Shown(ip, badge, check, lines, refused[ip], *today[ip]))
    return shown


def sending_ips(request: HttpRequest) -> HttpResponse:
    shown = _shown(preflight.sending_ips())
    where = preflight.target()
    context = {
        "ips": shown,
        "ehlo": preflight.ehlo_name(),
        "target": f"{where.host}:{where.port}",
        "simulated": where.simulated,
        "bad": sum(one.badge.tone == "bad" for one in shown),
    }
    return render(request, "delivery/sending_ips.html", context)


def check(request: HttpRequest) -> HttpResponse:
    checks = preflight.run(now=timezone.now())
    bad = sum(preflight.worst(preflight.findings_of(each)) == "bad" for each in checks)
    if bad:
        text = ngettext("%(n)s sending IP is to be mended.", "%(n)s sending IPs are to be mended.", bad)
        messages.warning(request, text % {"n": bad})
    else:
        messages.success(request, _("Checked: mail can leave from every sending IP."))
    return redirect("sending-ips")


def _trouble() -> Trouble | None:
    ips = preflight.sending_ips()
    checks = IpCheck.objects.filter(ip__in=ips)
    bad = {each.ip for each in checks if preflight.worst(preflight.findings_of(each)) == "bad"}
    return Trouble(len(bad), ngettext("IP in trouble", "IPs in trouble", len(bad))) if bad else None


register(
    Page(
        name="sending-ips",
        route="sending-ips/",
        view=sending_ips,
        title=gettext_lazy("Sending IPs"),
        permission="delivery.view_ipcheck",
        section=Section.RESPONSE,
        order=80,
        methods=("GET", "HEAD"),
        trouble=_trouble,
    ),
    Page(
        name="sending-ips-check",
        route="sending-ips/check/",
        view=check,
        title=gettext_lazy("Check the sending IPs"),
        permission="delivery.change_ipcheck",
        parent="sending-ips",
        methods=("POST",),
    ),
)
