"""Offline data: lists as files. Asked for on a list's page, followed and fetched here."""

from __future__ import annotations

from typing import Any

import structlog
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.http import content_disposition_header
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.badges import Badge
from console.files import xlsx
from console.filters import ChoiceFilter, ChoicesFilter, FilterSet
from console.forms import posted
from console.lists import Empty, ListPage, lists
from console.menu import Section
from console.registry import Page, register
from console.tables import (
    ActionsColumn,
    Column,
    MainColumn,
    Progress,
    ProgressColumn,
    RowAction,
    StatusColumn,
    Table,
    TimeColumn,
)
from console.templatetags.posthorn import percent
from console.views import back
from exports import jobs, making, storage
from exports.models import KEPT_DAYS, UNDER_WAY, Export, Format, State

log = structlog.get_logger()

STATES: dict[str, Badge] = {
    State.WAITING: Badge("calm", "clock", State.WAITING.label),
    State.RUNNING: Badge("busy", "circle-dashed", State.RUNNING.label),
    State.DONE: Badge("ok", "check", State.DONE.label),
    State.FAILED: Badge("bad", "x", State.FAILED.label),
    State.CANCELLED: Badge("calm", "player-stop", State.CANCELLED.label),
    State.EXPIRED: Badge("calm", "trash", State.EXPIRED.label),
}
# Others' exports.
CHANGES = "exports.change_export"
_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: xlsx.TYPE,
}


def export_badge(export: Export) -> Badge:
    return STATES[export.state]


def title_of(export: Export) -> str:
    page = lists().get(export.page)
    return f"{page.title if page else export.page}, {export.get_format_display()}"


def _progress(export: Export) -> Progress:
    expected = max(export.expected or 0, export.rows, 1)
    if export.state == State.RUNNING:
        return Progress(export.rows, expected, percent(export.rows, expected))
    if export.state == State.WAITING:
        return Progress(0, expected)
    if export.state in (State.DONE, State.EXPIRED):
        return Progress(export.rows, max(1, export.rows), tone="ok")
    return Progress(export.rows, expected, tone="bad" if export.state == State.FAILED else "calm")


def _link(export: Export) -> str:
    at_hand = export.state == State.DONE and export.page in lists()
    return reverse("export-file", args=[export.pk]) if at_hand else ""


def _actions(export: Export) -> list[RowAction]:
    at = [export.pk]
    if export.state in UNDER_WAY:
        url = reverse("export-cancel", args=at)
        # One's own, or by whoever may change others'.
        by = export.requested_by_id
        return [RowAction(_("Cancel"), url, icon="player-stop", permission=CHANGES, owner=by, post=True)]
    if export.page not in lists():
        return []
    url = reverse("export-again", args=at)
    made = [RowAction(_("Run again"), url, icon="refresh", permission="exports.add_export", post=True)]
    if export.state == State.DONE:
        made.insert(0, RowAction(_("Download"), reverse("export-file", args=at), icon="download"))
    return made


class ExportFilter(FilterSet):
    """Also what each may see: one's own exports, and those of lists that one may see. Filters can hold names."""

    state = ChoicesFilter("state", gettext_lazy("Status"), choices=State.choices, badges=STATES)
    format = ChoiceFilter("format", gettext_lazy("Format"), choices=Format.choices)

    def filter_queryset(self, queryset: QuerySet[Export]) -> QuerySet[Export]:
        found = super().filter_queryset(queryset)
        if self.request is None:
            return found
        user = self.request.user
        seen = [name for name, page in lists().items() if user.has_perm(page.permission)]
        return found.filter(Q(page__in=seen) | Q(requested_by=user))


class ExportTable(Table):
    what = MainColumn(
        gettext_lazy("What"),
        accessor="pk",
        url=lambda export: _link(export),
    )
    status = StatusColumn(gettext_lazy("Status"), badge=export_badge, accessor="pk", width="cw-9")
    count = ProgressColumn(gettext_lazy("Rows"), progress=_progress, width="cw-9")
    size = Column(gettext_lazy("Size"), width="cw-6", phone="m-hide")
    by = Column(gettext_lazy("Asked for by"), accessor="requested_by", width="cw-7", wide=True, muted=True)
    started = TimeColumn(gettext_lazy("Start"), accessor="started_at", style="minutes", phone="m-hide", wide=True)
    ended = TimeColumn(gettext_lazy("End"), accessor="ended_at", style="minutes", phone="m-hide")
    expires = TimeColumn(gettext_lazy("Expires"), accessor="expires_at", style="minutes")
    actions = ActionsColumn(_actions, width="cw-10")

    def render_what(self, record: Export, column: MainColumn) -> Any:
        # In full: one tells two of a list by their filters, and the problem says what to do.
        under = format_html_join(
            "", '<span class="ph-sub">{}</span>', ([t] for t in (record.filters, record.problem) if t)
        )
        return column.render(title_of(record), record, self) + under

    def render_size(self, value: int) -> str:
        return filesizeformat(value) if value else "–"


class AskForm(forms.Form):
    format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=Format.choices,
        widget=forms.RadioSelect,
        initial=Format.CSV,
        help_text=gettext_lazy(
            "CSV is made many times faster and read by anything; a sheet of Excel ends at a million rows."
        ),
    )


def _list_named(request: HttpRequest, name: str) -> ListPage:
    """Its own permission counts as well as that for exports."""
    page = lists().get(name)
    if page is None or not page.exported:
        raise Http404
    if not request.user.has_perm(page.permission):
        raise PermissionDenied
    return page


def ask(request: HttpRequest, name: str) -> HttpResponse:
    """GET shows what would be exported, POST asks for it."""
    page = _list_named(request, name)
    listing = page.resolve(request.GET, request.account.zone, timezone.now(), request)  # type: ignore[attr-defined]
    if not listing.valid:
        messages.error(request, _("Mend the filters first: nothing was exported."))
        return redirect(listing.query())
    form = AskForm(**posted(request))
    if request.method == "POST" and _has_enough(request):
        return redirect("exports")
    if request.method == "POST" and form.is_valid():
        making.ask(listing, Format(form.cleaned_data["format"]), by=request.user.pk)
        jobs.ask()
        messages.success(
            request, _("The export is on its way. You may leave this page: the file is kept for %s days.") % KEPT_DAYS
        )
        return redirect("exports")
    context = {
        "form": form,
        "page": page,
        "chips": listing.chips(),
        "total": listing.total,
        "noun": page.noun[0] if listing.total.count == 1 else page.noun[1],
        "days": KEPT_DAYS,
        "title": _("Export %s") % page.title,
        "submit": _("Export"),
        "cancel": listing.query(),
        "crumbs": [(str(page.title), listing.query())],
    }
    return render(request, "exports/ask.html", context, status=422 if form.is_bound else 200)


def _has_enough(request: HttpRequest) -> bool:
    enough = making.has_enough(request.user.pk)
    if enough:
        words = _("%s exports of yours are under way: cancel some, or wait until they are done. Nothing was added.")
        messages.error(request, words % making.MOST_AT_ONCE)
    return enough


def file(request: HttpRequest, pk: int) -> HttpResponse | FileResponse:
    export = get_object_or_404(Export, pk=pk)
    if export.page not in lists():
        return _no_file(request, export, "removed")
    _list_named(request, export.page)
    if export.is_over(timezone.now()):
        return _no_file(request, export, State.EXPIRED)
    if export.state != State.DONE:
        return _no_file(request, export, export.state)
    try:
        found = storage.reader(export.file)
    except FileNotFoundError:
        return _no_file(request, export, "missing")
    except OSError as error:
        log.warning("export_out_of_reach", export=export.pk, error=str(error))
        return _no_file(request, export, "away")
    response = FileResponse(found, content_type=_TYPES[Format(export.format)])
    response["Content-Disposition"] = content_disposition_header(True, export.file_name)
    response["Content-Length"] = export.size
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _no_file(request: HttpRequest, export: Export, why: str) -> HttpResponse:
    context = {
        "export": export,
        "why": why,
        "title": title_of(export),
        "again": why not in (*UNDER_WAY, "removed") and request.user.has_perm("exports.add_export"),
        "days": KEPT_DAYS,
        "crumbs": [(_("Offline data"), reverse("exports"))],
    }
    status = 410 if why in (State.EXPIRED, "removed") else 503 if why == "away" else 200
    return render(request, "exports/no_file.html", context, status=status)


def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    export = get_object_or_404(Export, pk=pk)
    if export.requested_by_id != request.user.pk:
        _list_named(request, export.page)
        if not request.user.has_perm(CHANGES):
            messages.error(request, _("Others' exports are cancelled by operators: ask one."))
            return back(request, "exports")
    if making.cancel(export):
        messages.success(request, _("The export is cancelled."))
    else:
        messages.error(request, _("It had ended already: nothing was done."))
    return back(request, "exports")


def again(request: HttpRequest, pk: int) -> HttpResponse:
    export = get_object_or_404(Export.objects.exclude(state__in=UNDER_WAY), pk=pk)
    _list_named(request, export.page)
    if _has_enough(request):
        return back(request, "exports")
    making.again(export, by=request.user.pk)
    jobs.ask()
    messages.success(request, _("The export runs again, over what there is now."))
    return back(request, "exports")


def _post(name: str, view: Any, title: Any, permission: str) -> Page:
    return Page(
        name=f"export-{name}",
        route=f"offline-data/<int:pk>/{name}/",
        view=view,
        title=title,
        permission=permission,
        parent="exports",
        methods=("POST",),
    )


register(
    ListPage(
        name="exports",
        route="offline-data/",
        title=gettext_lazy("Offline data"),
        noun=(gettext_lazy("export"), gettext_lazy("exports")),
        description=format_lazy(
            gettext_lazy("Lists as files. Each is kept for {days} days, then deleted."), days=KEPT_DAYS
        ),
        rows=lambda: Export.objects.select_related("requested_by"),
        filters=ExportFilter,
        table=ExportTable,
        permission="exports.view_export",
        section=Section.RESPONSE,
        order=90,
        refresh=5,
        exported=False,
        empty=Empty(
            icon="download",
            title=gettext_lazy("Nothing has been exported yet"),
            text=gettext_lazy("Every list has an Export button, which takes it along with its filters as they stand."),
        ),
    ),
    Page(
        name="export-new",
        route="offline-data/new/<str:name>/",
        view=ask,
        title=gettext_lazy("Export"),
        permission="exports.add_export",
        parent="exports",
    ),
    Page(
        name="export-file",
        route="offline-data/<int:pk>/file/",
        view=file,
        title=gettext_lazy("Download"),
        permission="exports.view_export",
        parent="exports",
        methods=("GET", "HEAD"),
    ),
    _post("cancel", cancel, gettext_lazy("Cancel the export"), "exports.add_export"),
    _post("again", again, gettext_lazy("Run the export again"), "exports.add_export"),
)
