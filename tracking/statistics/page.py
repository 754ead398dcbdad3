"""A page of the statistics: filters, period, charts, a table by day, and the same as a file. Declared like a list:

register(StatisticsPage(name="sending-data", columns=[...], kpis=[...], charts=..., ...))
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.charts import Chart
from console.files.lines import csv_download, csv_lines
from console.files.xlsx import workbook_download
from console.list_views import filter_fields, presets
from console.lists import Listing, ListPage
from console.menu import Section
from console.models import ApiUser
from console.registry import Page
from console.tables import Table
from console.window import Window
from delivery.models import Statistic, Summary, Template, Total
from delivery.pages.mail_filters import MailFilter, receiving_domain
from delivery.services import statistics
from delivery.services.deltas import QUARTER
from delivery.services.statistics import LABELS, RATES, Figures
from tracking.statistics.table import row, values

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

PERMISSION = "delivery.view_statistic"
KINDS = ("csv", "xlsx")


class StatisticsFilter(MailFilter):
    main = ("sender_domain", "receiving_domain", "template")

    def by_template(self, queryset: QuerySet[Any], name: str, template: Template) -> QuerySet[Any]:
        return queryset.filter(template_id=template.pk)


@dataclass(frozen=True, slots=True)
class Period:
    """A window with its steps: (beginning on the wall clock, figures), and the sum of all."""

    window: Window
    steps: list[tuple[dt.datetime, Figures]]
    total: Figures
    hours: bool

    @property
    def labels(self) -> list[str]:
        return [date_format(begin, "H:i" if self.hours else "j M") for begin, _figures in self.steps]

    def of(self, name: str) -> list[float | None]:
        """One column or rate, step by step."""
        return [figures[name] for _begin, figures in self.steps]


# Gives (title, chart, words under it) for the period and the one before.
Charts = Callable[[Period, Period], list[tuple[str, Chart, str]]]


@dataclass(frozen=True, kw_only=True)
class StatisticsPage:
    """`columns`: those of the table and the file. `kpis`: those on top, each with the rate that stands under it."""

    name: str
    route: str
    title: StrPromise
    description: StrPromise
    columns: Sequence[str]
    kpis: Sequence[tuple[str, str]]
    charts: Charts
    order: int

    def __iter__(self) -> Iterator[Page]:
        yield Page(
            name=self.name,
            route=self.route,
            view=functools.partial(show, page=self),
            title=self.title,
            permission=PERMISSION,
            section=Section.STATISTICS,
            order=self.order,
            methods=("GET", "HEAD"),
        )
        yield Page(
            name=f"{self.name}-file",
            route=f"{self.route}figures.<str:kind>",
            view=functools.partial(download, page=self),
            title=self.title,
            permission=PERMISSION,
            parent=self.name,
            methods=("GET", "HEAD"),
        )

    @functools.cached_property
    def listing(self) -> ListPage:
        """What reads the parameters, as of every list."""
        return ListPage(
            name=self.name,
            route=self.route,
            title=self.title,
            rows=lambda window: statistics.between(Total.objects.all(), window.start, window.end),
            table=Table,
            permission=PERMISSION,
            noun=("", ""),
            filters=StatisticsFilter,
            window=gettext_lazy("Requested"),
        )


def asked(request: HttpRequest, page: StatisticsPage) -> Listing:
    zone = request.account.zone  # type: ignore[attr-defined]
    listing = page.listing.resolve(request.GET, zone, timezone.now(), request)
    if listing.window:
        for field, moment in (("from", listing.window.start), ("to", listing.window.end)):
            if (moment - dt.datetime(2020, 1, 1, tzinfo=dt.UTC)) % QUARTER:
                listing.window_errors = {field: _("Figures are kept by quarter-hour. Enter 10:00, 10:15, 10:30 …")}
    return listing


def sums(listing: Listing) -> statistics.Rows:
    """The sums that match the filters, from the smallest table that can tell."""
    names = [name for name in listing.values if name in StatisticsFilter.base_filters]
    if not names:
        return statistics.summary()
    if len(names) == 1:
        given = listing.filterset.form.cleaned_data[names[0]]
        return statistics.summary(*_one_dimension(names[0], given))
    table = Statistic if "receiving_domain" in names else Total
    return listing.filterset.filter_queryset(table.objects.all())


def _one_dimension(name: str, given: Any) -> tuple[Summary.Dimension, list[object]]:
    """The dimension of a filter, and its values."""
    if name == "type":
        return Summary.Dimension.API_USER, list(ApiUser.objects.filter(type__in=given).values_list("pk", flat=True))
    if name == "receiving_domain":
        return Summary.Dimension.RECEIVING_DOMAIN, list(receiving_domain(given).values_list("pk", flat=True))
    return Summary.Dimension[name.upper()], [given if name == "label" else given.pk]


def period(rows: statistics.Rows, columns: Sequence[str], window: Window) -> Period:
    """The figures of a window, as far as these columns need them. One query."""
    within = statistics.between(rows, window.start, window.end)
    hours = window.length <= 1
    steps = statistics.steps(
        within, window.first, window.last, window.zone, hours=hours, columns=statistics.behind(columns)
    )
    return Period(window, steps, Figures.sum(figures for _begin, figures in steps), hours)


def before(window: Window) -> Window:
    """The period of the same length that ends where this one begins."""
    span = window.last - window.first
    first, last = (f"{at:%Y-%m-%d %H:%M}" for at in (window.first - span, window.first - dt.timedelta(minutes=1)))
    return Window.parse({"from": first, "to": last}, window.zone, timezone.now())


def show(request: HttpRequest, page: StatisticsPage) -> HttpResponse:
    listing = asked(request, page)
    context: dict[str, Any] = {
        "page": page.listing,
        "statistics": page,
        "listing": listing,
        "fields": filter_fields(listing),
        "presets": presets(listing),
        "freshness": statistics.freshness(),
    }
    if listing.valid and listing.window:
        rows = sums(listing)
        now, earlier = (period(rows, page.columns, each) for each in (listing.window, before(listing.window)))
        if any(now.total.counts):
            context |= {
                "kpis": [_kpi(now.total, earlier.total, name, rate) for name, rate in page.kpis],
                "earlier": earlier.window,
                "charts": (charts := page.charts(now, earlier)),
                "width": "ph-6" if len(charts) % 2 == 0 else "ph-4",
                "hours": now.hours,
                **_table(page, now, earlier),
                "files": [(kind, _file_url(listing, page, kind)) for kind in KINDS],
            }
        else:
            context["nothing"] = _nothing(listing)
    partial = bool(getattr(request, "htmx", False)) and request.headers.get("HX-Target") == "list"
    response = render(request, "tracking/statistics_parts.html" if partial else "tracking/statistics.html", context)
    if partial:
        response["HX-Push-Url"] = listing.query()
    return response


def _kpi(now: Figures, earlier: Figures, name: str, rate: str) -> dict[str, Any]:
    was, is_now = earlier.count(name), now.count(name)
    return {
        "title": LABELS[name],
        "count": is_now,
        "rate": (LABELS[rate], now[rate], RATES[rate].decimals) if rate else None,
        "before": was,
        "change": 100 * (is_now - was) / was if was else None,
    }


def _table(page: StatisticsPage, now: Period, earlier: Period) -> dict[str, Any]:
    columns = page.columns
    steps = [row(label, columns, figures) for label, (_begin, figures) in zip(now.labels, now.steps, strict=True)]
    return {
        "heads": [LABELS[name] for name in columns],
        "sums": [
            row(_("All"), columns, now.total),
            row(_("Before"), columns, earlier.total, under=str(earlier.window)),
        ],
        # The latest is asked for most.
        "lines": steps[::-1],
    }


def _nothing(listing: Listing) -> dict[str, Any]:
    """Why there are no figures: no mail yet, or none that matches; and the nearest change."""
    if not listing.values and not Total.objects.exists():
        return {"first": True}
    wider = ""
    if listing.window and listing.window.length < 30:
        month = Window.days(30, listing.window.zone, timezone.now()).params()
        wider = listing.query(from_=month["from"], to=month["to"])
    return {"first": False, "wider": wider, "clear": listing.page.url() if listing.values else ""}


def _file_url(listing: Listing, page: StatisticsPage, kind: str) -> str:
    """The file of the same filters and period, which is absolute: the link means the same tomorrow."""
    assert listing.window
    query = listing.query(**{f"{name}_": text for name, text in listing.window.params().items()})
    return f"{reverse(f'{page.name}-file', args=[kind])}?{query.partition('?')[2]}"


def download(request: HttpRequest, kind: str, page: StatisticsPage) -> HttpResponse | StreamingHttpResponse:
    """The table as a file, with what it was asked by in every row. Filters that can't be read lead to the page."""
    if kind not in KINDS:
        raise Http404
    listing = asked(request, page)
    if not listing.valid or not listing.window:
        return redirect(f"{reverse(page.name)}?{request.GET.urlencode()}")
    now = period(sums(listing), page.columns, listing.window)
    chips = [chip for chip in listing.chips() if chip.remove]
    head = [_("Hour") if now.hours else _("Day"), *(LABELS[name] for name in page.columns), *(c.label for c in chips)]
    form = "%Y-%m-%d %H:%M" if now.hours else "%Y-%m-%d"
    rows: list[list[object]] = [
        [begin.strftime(form), *values(page.columns, figures), *(chip.text for chip in chips)]
        for begin, figures in now.steps
    ]
    lines: list[list[object]] = [[str(word) for word in head], *rows]
    last = listing.window.last - dt.timedelta(minutes=1)
    filename = f"{page.name}-{listing.window.first:%Y-%m-%d}-{last:%Y-%m-%d}.{kind}"
    if kind == "csv":
        return csv_download(filename, csv_lines(lines))
    return workbook_download(filename, lines, title=str(page.title))
