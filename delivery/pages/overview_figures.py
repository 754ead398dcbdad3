"""The overview's figures: today and the last days, by hour, and what Gmail and Yahoo ask of senders."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from console.charts import Chart, Series
from console.models import Account
from console.templatetags.posthorn import percent
from delivery.attention import Look
from delivery.models import IpCheck
from delivery.services import overview as service
from delivery.services import preflight, statistics
from delivery.services.statistics import COMPLAINTS_END, COMPLAINTS_MARK, FAILED, Figures

DOMAINS_SHOWN = 8
_BAR, _STEP, _HEIGHT = 4.7, 7.2, 24.0
ENDED = ("delivered", "rejected", *FAILED)


@dataclass(frozen=True, slots=True)
class Kpi:
    """A figure of today and of all the days, with a bar for each of them."""

    title: str
    today: int
    under: str
    days: int
    days_under: str
    url: str
    bars: list[tuple[str, str, str]]
    words: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A sender domain's complaint rate: `share` of the rate from which mail is refused, in per cent."""

    week: service.DomainWeek
    rate: str
    tone: str
    share: str
    facts: str
    link: str


def midnight(account: Account, now: dt.datetime, days: int) -> dt.datetime:
    """When the first of the last `days` days began, today included."""
    here = now.astimezone(account.zone).replace(tzinfo=None)
    first = dt.datetime.combine(here.date() - dt.timedelta(days=days - 1), dt.time())
    return first.replace(tzinfo=account.zone).astimezone(dt.UTC)


def figures(look: Look, account: Account, days: int) -> dict[str, Any]:
    """KPIs and charts. Two queries."""
    day = dt.timedelta(days=1)
    here = look.now.astimezone(account.zone).replace(tzinfo=None)
    today = dt.datetime.combine(here.date(), dt.time())

    def since(days: int, *, hours: bool = False) -> list[tuple[dt.datetime, Figures]]:
        rows = statistics.between(
            statistics.summary(), midnight(account, look.now, days), midnight(account, look.now, 0)
        )
        return statistics.steps(rows, today - (days - 1) * day, today + day, account.zone, hours=hours)

    by_day = [each for _at, each in since(days)]
    by_hour = since(2, hours=True)
    yesterday, by_hour = by_hour[:24], by_hour[24:]
    return {"kpis": _kpis(look, by_day), "by_hour": _charts(here, by_hour, yesterday), "days": days}


def _kpis(look: Look, by_day: Sequence[Figures]) -> list[Kpi]:
    today, whole = by_day[-1], Figures.sum(by_day)
    sending, tracking = look.link("sending-data"), look.link("tracking-data")

    def sum_of(columns: Sequence[str], of: Figures) -> int:
        return sum(of.count(name) for name in columns)

    def share(columns: Sequence[str], whole: str, of: Figures, decimals: int = 1) -> str:
        return percent(sum_of(columns, of), of.count(whole), decimals)

    def kpi(title: str, url: str, *columns: str, of: str = "", under: str = "%s", decimals: int = 1) -> Kpi:
        values = [sum_of(columns, each) for each in by_day]
        return Kpi(
            title=title,
            today=values[-1],
            under=under % share(columns, of, today, decimals) if of else under,
            days=sum(values),
            days_under=share(columns, of, whole, decimals) if of else "",
            url=url,
            bars=_bars(values),
            words=f"{title}: {', '.join(map(str, values))}",
        )

    open_ = today.count("requested") - sum_of(ENDED, today)
    return [
        kpi(_("Requests"), sending, "requested", under=_("%s still on their way") % max(0, open_)),
        kpi(_("Delivered"), sending, "delivered", of="requested", under=_("%s of requests")),
        kpi(_("Bounced"), sending, *FAILED, of="requested", under=_("%s of requests")),
        kpi(_("Complaints"), tracking, "complaints", of="delivered", under=_("%s of delivered"), decimals=2),
        kpi(_("Opened"), tracking, "unique_opens", of="delivered", under=_("%s of delivered")),
        kpi(_("Clicked"), tracking, "unique_clicks", of="delivered", under=_("%s of delivered")),
    ]


def _bars(values: Sequence[int]) -> list[tuple[str, str, str]]:
    """(x, y, height) of each; what is not nothing is seen."""
    most = max(values, default=0) or 1
    heights = [max(1.0, _HEIGHT * value / most) if value > 0 else 0.0 for value in values]
    return [(f"{n * _STEP:.1f}", f"{_HEIGHT - height:.1f}", f"{height:.1f}") for n, height in enumerate(heights)]


def _charts(
    here: dt.datetime,
    today: Sequence[tuple[dt.datetime, Figures]],
    yesterday: Sequence[tuple[dt.datetime, Figures]],
) -> list[Chart]:
    """Delivered beside yesterday, and what failed on a scale of its own. Hours to come have no figures yet."""
    labels = [f"{begin:%H:%M}" for begin, _each in today]

    def of(columns: Sequence[str], hours: Sequence[tuple[dt.datetime, Figures]]) -> list[float | None]:
        return [sum(each.count(name) for name in columns) if begin <= here else None for begin, each in hours]

    return [
        Chart(
            id="today-delivered",
            label=_("Delivered by hour of the request, and yesterday"),
            low=True,
            labels=labels,
            series=[
                Series(name=_("Delivered"), tone="ok", data=of(["delivered"], today)),
                Series(name=_("Yesterday"), tone="calm", data=of(["delivered"], yesterday), dash=(3, 2), type="line"),
            ],
        ),
        Chart(
            id="today-failed",
            label=_("Bounced and rejected by hour of the request"),
            type="line",
            low=True,
            labels=labels,
            series=[
                Series(name=_("Bounced"), tone="bad", data=of(FAILED, today)),
                Series(name=_("Rejected by a list"), tone="calm", data=of(["rejected"], today), dash=(6, 2)),
            ],
        ),
    ]


def rules(look: Look, weeks: list[service.DomainWeek]) -> dict[str, Any]:
    """What Gmail and Yahoo ask of senders, by sender domain; and the state of our sending IPs, where it is known."""
    lines = []
    for week in weeks[:DOMAINS_SHOWN]:
        rate = week.figures["complaint_rate"] or 0.0
        complaints, delivered = week.figures.count("complaints"), week.figures.count("delivered")
        tone = "bad" if rate >= COMPLAINTS_END else "warn" if rate >= COMPLAINTS_MARK else "ok"
        lines.append(
            Rule(
                week=week,
                rate=percent(complaints, delivered, 2),
                tone=tone,
                share=f"{min(100.0, 100 * rate / COMPLAINTS_END):.1f}%",
                facts=_("%(n)s of %(all)s delivered") % {"n": complaints, "all": delivered},
                link=look.link("domain", week.domain.pk),
            )
        )
    ips = preflight.sending_ips()
    checks = list(IpCheck.objects.filter(ip__in=ips)) if ips else []
    bad = sum(preflight.worst(preflight.findings_of(each)) == "bad" for each in checks)
    return {
        "rules": lines,
        "rules_more": max(0, len(weeks) - DOMAINS_SHOWN),
        "mark": f"{100 * COMPLAINTS_MARK / COMPLAINTS_END:.1f}%",
        "ips": len(checks),
        "ips_bad": bad,
        "ips_url": look.link("sending-ips"),
    }
