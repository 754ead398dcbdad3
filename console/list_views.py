"""The views of a list and of its bulk actions; what they show is worked out here, drawn in templates/console/."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console import paging, registry
from console.lists import DEFAULT_SIZE, SIZES, Action, Button, Listing, ListPage
from console.tables import ActionsColumn, Table, can_be_hidden
from console.window import DEFAULT_DAYS, MAX_DAYS, PRESETS, Window


def list_page(request: HttpRequest, page: ListPage) -> HttpResponse:
    """One page of a list; htmx gets only the two cards that change, or the total that was left for later."""
    listing = page.resolve(request.GET, request.account.zone, timezone.now(), request)  # type: ignore[attr-defined]
    if request.headers.get("HX-Target") == "total":
        return render(request, "console/total.html", {"total": listing.counted()})
    size = paging.whole(request.GET.get("size"), DEFAULT_SIZE)
    size = size if size in SIZES else DEFAULT_SIZE
    shown = paging.leaf(listing, request.GET, size)
    rows, total = shown.rows, listing.total
    if request.headers.get("HX-Target") == "results":
        _keep_order(rows, request.headers.get("X-Order", ""))
    table = page.table(rows, request=request)
    columns = _columns(request, page, table)
    for name, column in page.table.base_columns.items():
        if isinstance(column, ActionsColumn) and column.is_for_others(rows, request.user):
            table.columns.hide(name)
    actions = [action for action in page.actions if request.user.has_perm(action.permission)]
    table.selectable = bool(actions) and bool(rows)
    nothing = _nothing(listing) if not rows else None
    first_step = page.empty and page.empty.button and _offered(request, page.empty.button)
    blank = bool(nothing is not None and nothing["kind"] == "first" and first_step)
    there = {page.empty.button.page} if blank and page.empty and page.empty.button else set()
    buttons = [button for button in page.buttons if _offered(request, button) and button.page not in there]
    create = page.create if page.create and _offered(request, page.create) and page.create.page not in there else None
    loud = None if blank else create or next((button for button in buttons if button.primary), None)
    context = {
        "page": page,
        "above": _above(request, page),
        "listing": listing,
        "form": listing.filterset.form,
        "fields": filter_fields(listing),
        "table": table,
        "columns": columns,
        "heads": _heads(listing, bool(actions)),
        "total": total,
        "noun": page.noun[0] if total.exact and total.count == 1 else page.noun[1],
        "sizes": [(each, each == size, listing.query(size=each if each != DEFAULT_SIZE else None)) for each in SIZES],
        "pager": shown,
        "presets": presets(listing),
        "actions": actions,
        "carried": _carried(listing),
        "bulk": [(action, reverse(f"{page.name}-{action.name}")) for action in actions],
        "nothing": nothing,
        "create": create,
        "buttons": buttons,
        "first_step": first_step,
        # One loud button a page: the next step of an empty list, else what makes something, else the search.
        "blank": blank,
        "loud": loud,
        "quiet_search": bool(blank or loud),
        "export_url": _export_url(request, listing),
        "live": page.refresh and request.GET.get("live") != "0",
        "here": shown.here,
        "order": " ".join(str(row.pk) for row in rows) if page.refresh else "",
        "stop_live": listing.query(live="0"),
        "start_live": listing.query(live=None),
        **(page.context(request) if page.context else {}),
    }
    partial = bool(getattr(request, "htmx", False)) and request.headers.get("HX-Target") in ("list", "results")
    response = render(request, "console/list_parts.html" if partial else page.template, context)
    if partial and request.headers.get("HX-Target") == "list":
        response["HX-Push-Url"] = context["here"]
    return response


def _keep_order(rows: list[Any], order: str) -> None:
    """A list that refreshes by itself does not change its order under the pointer; what is new comes last."""
    places = {key: place for place, key in enumerate(order.split())}
    rows.sort(key=lambda row: places.get(str(row.pk), len(places)))


def _offered(request: HttpRequest, button: Button) -> bool:
    return bool(button.url()) and (not button.permission or request.user.has_perm(button.permission))


def _above(request: HttpRequest, page: ListPage) -> registry.Page | None:
    """The page that a list outside the menu hangs from: its way back."""
    above = registry.pages().get(page.parent) if page.section is None else None
    return above if above and above.allows(request.user) else None


def filter_fields(listing: Listing) -> dict[str, Any]:
    """The fields of console/list_filters.html: those always visible, and the others."""
    form, main = listing.filterset.form, listing.page.filters.always_visible()
    kinds = listing.filterset.filters
    fields = [
        {"field": form[name], "badges": getattr(kinds[name], "badges", {}), "main": name in main}
        for name in kinds
        if name not in listing.page.filters.hidden
    ]
    rest = [each for each in fields if not each["main"]]
    carried = [(name, listing.values[name]) for name in listing.page.filters.hidden if name in listing.values]
    hidden_set = any(each["field"].name in listing.values for each in rest)
    return {"main": [each for each in fields if each["main"]], "more": rest, "open": hidden_set, "hidden": carried}


def _columns(request: HttpRequest, page: ListPage, table: Table) -> list[dict[str, Any]]:
    """The columns to choose from, where not all are shown on every screen. The choice is kept for the session."""
    offered = [(name, column) for name, column in page.table.base_columns.items() if can_be_hidden(column)]
    if not any(column.wide for _name, column in offered):
        return []
    key = f"columns:{page.name}"
    if "cols" in request.GET:
        request.session[key] = [name for name, _column in offered if name in request.GET.getlist("cols")]
    chosen = request.session.get(key) or []
    if chosen:
        table.choose(chosen)
    return [
        {"name": name, "label": column.verbose_name or name, "on": name in chosen if chosen else not column.wide}
        for name, column in offered
    ]


def _export_url(request: HttpRequest, listing: Listing) -> str:
    """Where the list can be had as a file, with its filters as they stand; "" where it can't, or not by this person."""
    page = registry.pages().get("export-new")
    if page is None or not listing.page.exported or not page.allows(request.user):
        return ""
    _path, mark, query = listing.query().partition("?")
    return f"{reverse(page.name, args=[listing.page.name])}{mark}{query}"


def _heads(listing: Listing, selectable: bool) -> dict[str, dict[str, str]]:
    """For each sortable head: where it leads, and how it stands."""
    heads = {}
    for name in listing.page.table.sortable():
        down, up = listing.sort == f"-{name}", listing.sort == name
        # The first click on a text sorts upwards, the second turns it round.
        heads[name] = {
            "url": listing.query(sort=f"-{name}" if up else name),
            "aria": "descending" if down else "ascending" if up else "",
        }
    return heads


def presets(listing: Listing) -> list[dict[str, Any]]:
    """The links beside the period."""
    if not listing.page.window:
        return []
    words = {1: _("Today"), 7: _("7 days"), 30: _("30 days")}
    zone, now = timezone.get_current_timezone(), timezone.now()
    made = []
    for days in PRESETS:
        window = Window.days(days, zone, now)
        made.append(
            {
                "word": words[days],
                "url": listing.query(from_=None, to=None) if days == DEFAULT_DAYS else _with(listing, window),
                "current": listing.window == window,
            }
        )
    return made


def _with(listing: Listing, window: Window) -> str:
    period = window.params()
    return listing.query(from_=period["from"], to=period["to"])


def _nothing(listing: Listing) -> dict[str, Any]:
    """Why the list is empty: a wrong filter, nothing yet, or nothing found; and the nearest change."""
    page = listing.page
    if not listing.valid:
        days = Window.days(MAX_DAYS, timezone.get_current_timezone(), timezone.now())
        return {"kind": "error", "wider": _with(listing, days) if listing.window_errors else ""}
    zone = timezone.get_current_timezone()
    if not listing.values:
        everything = Window.everything(zone) if page.window else None
        if not page.window or not page.all_rows(everything).exists():
            return {"kind": "first"}
    wider = ""
    if listing.window and listing.window.length < MAX_DAYS:
        wider = _with(listing, Window.days(MAX_DAYS, zone, timezone.now()))
    return {"kind": "none", "wider": wider, "clear": page.url() if listing.values else ""}


def _carried(listing: Listing) -> list[tuple[str, str]]:
    """The parameters in force as hidden fields."""
    return [(name, value) for name, values in listing.resolved().items() for value in values]


def bulk_action(request: HttpRequest, page: ListPage, action: Action) -> HttpResponse:
    """Asks, and acts by POST. Selected rows: asked once. All that match: the filter, the count and what follows
    first, then the count is to be typed. Nothing is done when the count has changed in between."""
    if not request.user.has_perm(page.permission):
        raise PermissionDenied
    data = request.POST if request.method == "POST" else request.GET
    listing = page.resolve(data, request.account.zone, timezone.now(), request)  # type: ignore[attr-defined]
    everything = data.get("all") == "1" and action.all_matching
    rows = listing.queryset if everything else listing.queryset.filter(pk__in=_keys(listing, data))
    count = rows.order_by().values("pk").count()
    if not listing.valid or not count:
        messages.error(
            request,
            _("Nothing matches any more: nothing was done.") if everything else _("Select at least one row first."),
        )
        return redirect(listing.query())
    error = ""
    typed = "".join(data.get("count", "").split()).replace(",", "").replace(".", "")
    if request.method == "POST":
        if not everything or typed == str(count):
            with transaction.atomic():
                said = action.run(rows, request)
            messages.success(request, said)
            return redirect(listing.query())
        error = _("Type %(count)s to go on. Nothing was done.") % {"count": count}
    context = {
        "page": page,
        "action": action,
        "listing": listing,
        "chips": listing.chips(),
        "count": count,
        "noun": page.noun[0] if count == 1 else page.noun[1],
        "everything": everything,
        "second": data.get("step") == "2" or request.method == "POST",
        "next": f"{request.path}?{_step_two(listing)}",
        "carried": [*_carried(listing), *([] if everything else [("id", str(key)) for key in _keys(listing, data)])],
        "rows": [] if everything else list(rows.order_by(*page.order_by)[:10]),
        "unshown": 0 if everything else max(0, count - 10),
        "error": error,
        "cancel": listing.query(),
    }
    return render(request, "console/bulk.html", context, status=422 if error else 200)


def _step_two(listing: Listing) -> str:
    query = QueryDict(mutable=True)
    for name, value in _carried(listing):
        query.appendlist(name, value)
    query["all"], query["step"] = "1", "2"
    return query.urlencode()


def _keys(listing: Listing, data: QueryDict) -> list[Any]:
    """The selected rows' keys; what is no key is left out."""
    to_python = listing.filterset.queryset.model._meta.pk.to_python
    keys = []
    for text in data.getlist("id")[: max(SIZES)]:
        try:
            keys.append(to_python(text))
        except (ValidationError, ValueError):
            continue
    return keys
