"""One declaration of a list: URL, menu entry, page, filters, paging, the 30-day cap, bulk actions, contract tests.

    register(ListPage(name="messages", route="email-status/", title=_("Email status"), noun=(_("email"), _("emails")),
                      rows=lambda window: window.limit(Message.objects.all()), filters=MessageFilter,
                      table=MessageTable, window=_("Requested"), permission="delivery.view_message",
                      section=Section.RESPONSE, order=20))

The page, its bulk actions and its export ask the same `ListPage.resolve(params)`, which can be called again from
stored parameters.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import NoReverseMatch, reverse
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _
from psycopg.errors import QueryCanceled

from console.filters import RESERVED, FilterSet, shown_value
from console.menu import Section, Trouble
from console.registry import Page, pages
from console.tables import Table
from console.window import Window, WindowError

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

    Text = StrPromise | str

SIZES = (10, 20, 50, 100)
DEFAULT_SIZE = 20
EXACT_UP_TO = 10_000
# In the planner's units: some 40,000 rows looked at, 10 ms. What costs more is not counted while a page waits for it.
COSTLY = 3_000
# What a row costs that is found by looking through some pages around it.
SCATTERED = 15
# Behind the page it may take so long.
COUNT_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something done to many rows: to those selected, and to all that match the filter (asked twice).

    run: does it, within a transaction, and returns what to say. consequence: what follows, said before.
    label is the verb: "Delete" gives "Delete 1,284 entries".
    """

    name: str
    label: Text
    permission: str
    run: Callable[[QuerySet[Any], HttpRequest], str]
    consequence: Text = ""
    danger: bool = True
    icon: str = ""
    all_matching: bool = True


@dataclass(frozen=True, kw_only=True)
class Button:
    """A link in the page's head: to a page by name, for those who hold the permission."""

    label: Text
    page: str
    permission: str = ""
    icon: str = "plus"
    primary: bool = True

    def url(self) -> str:
        """ "" when there is no page of that name (yet): the button is left out."""
        try:
            return reverse(self.page)
        except NoReverseMatch:
            return ""


@dataclass(frozen=True, kw_only=True)
class Empty:
    """First use: what this list is for and the next step. Nothing found says so by itself."""

    title: Text
    text: Text = ""
    icon: str = "inbox"
    button: Button | None = None


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """A list. rows: gives the rows to be filtered; called with a Window when `window` (the period's label) is given,
    without arguments otherwise. noun: (one, many), lower case. default_sort: columns as in ?sort=, "-created"; it must
    be a column that sorts, or a field of `order_by`. refresh: seconds between live refreshes, 0 = none.
    """

    name: str
    route: str
    title: Text
    rows: Callable[..., QuerySet[Any]]
    table: type[Table]
    permission: str
    noun: tuple[Text, Text]
    filters: type[FilterSet] = FilterSet
    window: Text = ""
    order_by: tuple[str, ...] = ("-pk",)
    default_sort: str = ""
    actions: Sequence[Action] = ()
    section: Section | None = None
    order: int = 100
    menu_title: Text = ""
    parent: str = ""
    description: Text = ""
    empty: Empty | None = None
    create: Button | None = None
    buttons: Sequence[Button] = ()
    refresh: int = 0
    trouble: Callable[[], Trouble | None] | None = None
    # Whether it can be had as a file.
    exported: bool = True
    template: str = "console/list.html"
    context: Callable[[HttpRequest], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        taken = RESERVED & set(self.filters.base_filters)
        if taken:
            raise ValueError(f"{self.name}: filters can't be called {taken}.")
        if self.default_sort and self.default_sort.lstrip("-") not in self.table.sortable():
            raise ValueError(f"{self.name}: default_sort {self.default_sort!r} is no column that sorts.")

    def __iter__(self) -> Iterator[Page]:
        """The pages that the list is made of: itself, and one for each bulk action."""
        from console import list_views

        yield Page(
            name=self.name,
            route=self.route,
            view=functools.partial(list_views.list_page, page=self),
            title=self.title,
            permission=self.permission,
            section=self.section,
            order=self.order,
            menu_title=self.menu_title,
            parent=self.parent,
            trouble=self.trouble,
            methods=("GET", "HEAD"),
            listing=self,
        )
        for action in self.actions:
            yield Page(
                name=f"{self.name}-{action.name}",
                route=f"{self.route}{action.name}/",
                view=functools.partial(list_views.bulk_action, page=self, action=action),
                title=action.label,
                permission=action.permission,
                parent=self.name,
            )

    def url(self) -> str:
        return reverse(self.name)

    def all_rows(self, window: Window | None) -> QuerySet[Any]:
        return self.rows(window) if self.window else self.rows()

    def resolve(
        self, params: QueryDict, zone: ZoneInfo, now: dt.datetime, request: HttpRequest | None = None
    ) -> Listing:
        """Read the parameters. Never raises for bad ones: the listing then has errors and no rows."""
        window, errors = None, {}
        if self.window:
            try:
                window = Window.parse({name: params.get(name, "") for name in ("from", "to")}, zone, now)
            except WindowError as error:
                errors = error.errors
        none = self.all_rows(window or Window.everything(zone)).none()
        filterset = self.filters(data=params, queryset=none, request=request)
        filterset.is_valid()
        return Listing(self, params, filterset, window, errors)


def lists() -> dict[str, ListPage]:
    """All registered lists by name."""
    return {name: page.listing for name, page in pages().items() if page.listing is not None}


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force. remove: the URL without it, "" where it can't be empty (the period)."""

    label: str
    text: str
    remove: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """How many match: exact up to 10,000, where that is no great work; else the planner's estimate. `later`: they may
    be no more than 10,000, and the page asks to have them counted once it is shown."""

    count: int
    exact: bool
    later: bool = False

    def __str__(self) -> str:
        text = number_format(min(self.count, EXACT_UP_TO) if self._over else self.count, force_grouping=True)
        if self.exact:
            return text
        return str(_("over %s") if self._over else _("about %s")) % text

    @property
    def _over(self) -> bool:
        """Counted up to there, and no more is known."""
        return not self.exact and self.count == EXACT_UP_TO + 1


@dataclass
class Listing:
    """A list with its parameters read: what the page, a bulk action and an export have in common."""

    page: ListPage
    params: QueryDict
    filterset: FilterSet
    window: Window | None
    window_errors: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def valid(self) -> bool:
        return not self.window_errors and not self.filterset.form.errors

    @functools.cached_property
    def queryset(self) -> QuerySet[Any]:
        """The rows that match, unsorted. Empty when a parameter is wrong."""
        if not self.valid:
            return self.filterset.queryset
        return self.filterset.filter_queryset(self.page.all_rows(self.window))

    @functools.cached_property
    def sort(self) -> str:
        """The column in force, with - for descending; "" = the list's own order."""
        asked = self.params.get("sort", "")
        return asked if asked.lstrip("-") in self.page.table.sortable() else self.page.default_sort

    def ordered(self) -> QuerySet[Any]:
        """The rows in their order; the key comes last, so that no row is seen on two pages."""
        fields = list(self.page.table.sortable().get(self.sort.lstrip("-"), ()))
        if self.sort.startswith("-"):
            fields = [name[1:] if name.startswith("-") else f"-{name}" for name in fields]
        fields = fields or list(self.page.order_by)
        if not {"pk", "-pk", "id", "-id"} & set(fields):
            fields.append("-pk")
        return self.queryset.order_by(*fields)

    @functools.cached_property
    def values(self) -> dict[str, list[str]]:
        """The filters in force as parameters, without the period."""
        form = self.filterset.form
        found = {}
        for name in self.page.filters.base_filters:
            given = [value for value in self.params.getlist(name) if value.strip()]
            if given:
                # What can't be read stays as it was typed: its error stands beside the field.
                shown = shown_value(form[name], form.cleaned_data.get(name)) if name not in form.errors else []
                found[name] = [value for value, _text in shown] if shown else given
        return found

    def resolved(self) -> dict[str, list[str]]:
        """All parameters, with the period made absolute: to be stored, or carried from page to page."""
        period = self.window.params() if self.window else {}
        return {**{name: [value] for name, value in period.items()}, **self.values}

    def query(self, **changes: str | int | None) -> str:
        """The page's URL with its parameters as they stand, but for these changes (None takes one away)."""
        kept: dict[str, Any] = {
            name: self.params[name] for name in ("from", "to", "sort", "size", "live") if self.params.get(name)
        }
        kept.update(self.values)
        for name, value in changes.items():
            kept.pop(name.rstrip("_"), None)
            if value is not None:
                kept[name.rstrip("_")] = str(value)
        text = urlencode(kept, doseq=True)
        return f"{self.page.url()}?{text}" if text else self.page.url()

    def without(self, name: str, value: str) -> str:
        """The page's URL without one value of one filter."""
        rest = [one for one in self.values[name] if one != value]
        text = self.query(**{name: None})
        if rest:
            text += ("&" if "?" in text else "?") + urlencode({name: rest}, doseq=True)
        return text

    def chips(self) -> list[Chip]:
        made = [Chip(str(self.page.window), str(self.window))] if self.window else []
        form = self.filterset.form
        for name in self.values:
            if name not in form.errors:
                for value, text in shown_value(form[name], form.cleaned_data.get(name)):
                    made.append(Chip(str(form[name].label), text, self.without(name, value)))
        return made

    @functools.cached_property
    def total(self) -> Total:
        """Counted over at most 10,001 rows, so that a large list costs no more than a small one; and not now where
        these few are scattered over too many others."""
        expected, cost = _planned(self._keys())
        if cost * min(1, EXACT_UP_TO / max(1, expected)) > COSTLY:
            return Total(_rounded(expected), False, later=expected < 2 * EXACT_UP_TO)
        return self._counted(expected)

    def counted(self) -> Total:
        """The total of a page that left it for later. Takes seconds at the most; then it stays the estimate."""
        if not self.total.later:
            return self.total
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{COUNT_SECONDS * 1000:.0f}ms"])
                total = self._counted(self.total.count)
                cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
                return total
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
            return Total(self.total.count, False)

    def _keys(self) -> QuerySet[Any, dict[str, Any]]:
        return self.queryset.order_by().values("pk")

    def _counted(self, expected: int) -> Total:
        count = self._keys()[: EXACT_UP_TO + 1].count()
        return Total(count, True) if count <= EXACT_UP_TO else Total(max(count, _rounded(expected)), False)


def _planned(rows: QuerySet[Any]) -> tuple[int, float]:
    """How many rows PostgreSQL's planner expects, and what it thinks that all of them cost; zeroes where there is
    nothing to plan."""
    try:
        plan = json.loads(rows.explain(format="json"))[0]["Plan"]
        return int(plan["Plan Rows"]), max(float(plan["Total Cost"]), SCATTERED * _by_pages(plan))
    except (ValueError, KeyError, IndexError, TypeError):
        return 0, 0.0


def _by_pages(plan: dict[str, Any]) -> float:
    """How many rows are expected of whole pages that are looked through: a summary of pages (BRIN) names some for each
    row, which the planner does not believe."""
    if plan["Node Type"] == "Bitmap Heap Scan":
        return float(plan["Plan Rows"])
    return sum(_by_pages(each) for each in plan.get("Plans", ()))


def _rounded(count: int) -> int:
    """To two digits."""
    return round(count, -max(0, len(str(count)) - 2))
