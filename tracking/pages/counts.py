"""What came back in figures: by day, sender domain and receiving domain. Opens, clicks, spam reports and the others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Tone
from console.charts import Chart, Series
from console.filters import FilterSet, ModelFilter, TextFilter
from console.list_views import filter_fields, presets
from console.lists import Listing, ListPage
from console.models import ApiUser
from console.registry import Page, register
from console.tables import Table
from console.window import Window
from delivery.models import Message, ReceivingDomain, SenderDomain
from suppression.models import Entry
from tracking import counting
from tracking.models import Event
from tracking.of_messages import of_messages, of_one

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise


class CountsFilter(FilterSet):
    """Of events, which know their message's domains."""

    sender_domain = ModelFilter(
        "sender_domain",
        gettext_lazy("Sender domain"),
        queryset=SenderDomain.objects.order_by("name"),
        method="by_sender",
    )
    receiving_domain = TextFilter(
        "receiving_domain", gettext_lazy("Receiving domain"), placeholder="gmail.com", method="by_receiver"
    )
    api_user = ModelFilter(
        "api_user", gettext_lazy("API user"), queryset=ApiUser.objects.order_by("name"), method="by_api_user"
    )

    def by_sender(self, queryset: QuerySet[Any], name: str, chosen: SenderDomain) -> QuerySet[Any]:
        return queryset.filter(sender_domain_id=chosen.pk)

    def by_receiver(self, queryset: QuerySet[Any], name: str, text: str) -> QuerySet[Any]:
        # By its key, which is found first: the planner knows nothing of a name.
        found = ReceivingDomain.objects.filter(name=_domain(text)).values_list("pk", flat=True).first()
        return queryset.filter(receiving_domain_id=found or 0)

    def by_api_user(self, queryset: QuerySet[Any], name: str, chosen: ApiUser) -> QuerySet[Any]:
        return of_messages(queryset, "api_user_id", [chosen.pk])


class BouncedFilter(CountsFilter):
    """Of entries, which know their receiving domain and whose mail it was."""

    def by_sender(self, queryset: QuerySet[Any], name: str, chosen: SenderDomain) -> QuerySet[Any]:
        return queryset.filter(of_one(Message.objects.filter(sender_domain_id=chosen.pk)))

    def by_receiver(self, queryset: QuerySet[Any], name: str, text: str) -> QuerySet[Any]:
        return queryset.filter(domain=_domain(text))

    def by_api_user(self, queryset: QuerySet[Any], name: str, chosen: ApiUser) -> QuerySet[Any]:
        return queryset.filter(origin=chosen)


def _domain(text: str) -> str:
    return text.lower().removeprefix("@")


@dataclass(frozen=True, slots=True)
class Apart:
    """What is counted apart: a column and a series. `condition`: see counting.counted."""

    name: StrPromise
    tone: Tone
    condition: str


@dataclass(frozen=True, kw_only=True)
class CountsPage:
    """`of`, `of_title`: the list's page; `one`: what is counted, for the chart; `note`: how it is counted."""

    of: str
    of_title: StrPromise | str
    title: StrPromise
    one: StrPromise
    note: StrPromise
    rows: Callable[[Window], QuerySet[Any]]
    filters: type[CountsFilter]
    tone: Tone
    when: StrPromise
    permission: str = "suppression.view_entry"
    apart: tuple[Apart, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.of}-counts"

    @property
    def route(self) -> str:
        return f"{self.of}/counts/"

    def __iter__(self) -> Iterator[Page]:
        yield Page(
            name=self.name,
            route=self.route,
            view=functools.partial(show, page=self),
            title=self.title,
            permission=self.permission,
            parent=self.of,
            methods=("GET", "HEAD"),
        )

    @functools.cached_property
    def listing(self) -> ListPage:
        """What reads the parameters, as of every list."""
        return ListPage(
            name=self.name,
            route=self.route,
            title=self.title,
            rows=self.rows,
            table=Table,
            permission=self.permission,
            noun=("", ""),
            filters=self.filters,
            window=self.when,
        )


def show(request: HttpRequest, page: CountsPage) -> HttpResponse:
    listing = page.listing.resolve(request.GET, request.account.zone, timezone.now(), request)  # type: ignore[attr-defined]
    context: dict[str, Any] = {
        "page": page.listing,
        "counts": page,
        "listing": listing,
        "fields": filter_fields(listing),
        "presets": presets(listing),
        "crumbs": [(page.of_title, reverse(page.of)), (_("counts"), "")],
    }
    if listing.valid and listing.window:
        found = counting.counted(listing.queryset, listing.window, [one.condition for one in page.apart])
        context |= {
            "found": found,
            "most": counting.MOST,
            "chart": _chart(page, found),
            "parts": _parts(listing, found),
            "wider": _wider(listing),
        }
    partial = bool(getattr(request, "htmx", False)) and request.headers.get("HX-Target") == "list"
    response = render(request, "tracking/counts_parts.html" if partial else "tracking/counts.html", context)
    if partial:
        response["HX-Push-Url"] = listing.query()
    return response


def _chart(page: CountsPage, found: counting.Counted) -> Chart:
    return Chart(
        id="days",
        label=_("%s by day") % page.one,
        stacked=bool(page.apart),
        labels=[date_format(day, "j M") for day, _count in found.days],
        series=[
            Series(name=one.name, tone=one.tone, data=[parts[place] for parts in found.day_parts])
            for place, one in enumerate(page.apart)
        ]
        or [Series(name=page.one, tone=page.tone, data=[count for _day, count in found.days])],
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One table: its lines are (name, URL of the same page for it alone or "", count, what of it is counted apart)."""

    id: str
    title: str
    head: str
    lines: list[tuple[str, str, int, tuple[int, ...]]]


def _parts(listing: Listing, found: counting.Counted) -> list[Part]:
    senders = [
        (one.name or _("Not known"), listing.query(sender_domain=one.pk) if one.pk else "", one.count, one.parts)
        for one in found.sender_domains
    ]
    receivers = [
        (one.name or _("Not known"), listing.query(receiving_domain=one.name) if one.name else "", one.count, one.parts)
        for one in found.receiving_domains
    ]
    for lines, rest in ((senders, found.rest_of_sending), (receivers, found.rest_of_receiving)):
        if rest.count:
            lines.append((_("All others"), "", rest.count, rest.parts))
    return [
        Part("by-sender", _("By sender domain"), _("Sender domain"), senders),
        Part("by-receiver", _("By receiving domain"), _("Receiving domain"), receivers),
    ]


def _wider(listing: Listing) -> str:
    """The last 30 days, where less is shown."""
    assert listing.window
    if listing.window.length >= 30:
        return ""
    month = Window.days(30, listing.window.zone, timezone.now()).params()
    return listing.query(from_=month["from"], to=month["to"])


register(
    CountsPage(
        of="spam-reports",
        of_title=Entry.List.SPAM_REPORT.label,
        title=gettext_lazy("Spam reports, counted"),
        one=gettext_lazy("Spam reports"),
        note=gettext_lazy("Each report counts on the day on which it came, on the list still or not."),
        rows=functools.partial(counting.events, kind=Event.Kind.COMPLAINT),
        filters=CountsFilter,
        tone="bad",
        when=gettext_lazy("Reported"),
    ),
    CountsPage(
        of="bounced",
        of_title=Entry.List.BOUNCE.label,
        title=gettext_lazy("Bounced, counted"),
        one=gettext_lazy("Bounced addresses"),
        note=gettext_lazy("Each address of the list counts once, on the day of its latest hard bounce."),
        rows=counting.bounced,
        filters=BouncedFilter,
        tone="warn",
        when=gettext_lazy("Bounced"),
    ),
    CountsPage(
        of="unsubscriptions",
        of_title=Entry.List.UNSUBSCRIPTION.label,
        title=gettext_lazy("Unsubscriptions, counted"),
        one=gettext_lazy("Unsubscriptions"),
        note=gettext_lazy("Each counts on the day on which it came, those that were taken back as well."),
        rows=functools.partial(counting.events, kind=Event.Kind.UNSUBSCRIBE),
        filters=CountsFilter,
        tone="calm",
        when=gettext_lazy("Unsubscribed"),
    ),
)
