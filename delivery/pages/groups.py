"""Recipient groups: the list, the page of one, and importing a file into it."""

from __future__ import annotations

from typing import Any, BinaryIO, ClassVar, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.files.lines import csv_download
from console.files.sheets import ERRORS_SHOWN
from console.filters import FilterSet, TextFilter
from console.forms import EncodingField, UploadField, posted
from console.lists import Button, Empty, ListPage
from console.menu import Section
from console.registry import Page, register
from console.tables import ActionsColumn, MainColumn, NumberColumn, RowAction, Table, TimeColumn
from console.views import confirm, count_text
from delivery.models import GroupImport, RecipientGroup, Task
from delivery.services.recipient_files import (
    LIMIT,
    RecipientFileError,
    read_recipients,
    sample_csv,
)
from delivery.services.recipients import errors_csv, import_recipients

SHOWN_RECIPIENTS = 10


class GroupFilter(FilterSet):
    name = TextFilter("name", gettext_lazy("Name"), lookup_expr="icontains", placeholder=gettext_lazy("any part"))


class GroupTable(Table):
    name = MainColumn(gettext_lazy("Name"), url="group", sub=lambda group: group.description, sort="name")
    size = NumberColumn(gettext_lazy("Recipients"), sort="size", width="cw-7")
    variables = NumberColumn(gettext_lazy("Variables"), accessor="pk", width="cw-6", phone="m-hide")
    created = TimeColumn(gettext_lazy("Created"), accessor="created_at", style="minutes", sort="created_at")
    actions = ActionsColumn(
        lambda group: [
            RowAction(
                gettext_lazy("Import…"),
                reverse("group-import", args=[group.pk]),
                icon="file-upload",
                permission="delivery.change_recipientgroup",
            ),
            RowAction(
                gettext_lazy("Edit"),
                reverse("group-edit", args=[group.pk]),
                icon="pencil",
                permission="delivery.change_recipientgroup",
            ),
            RowAction(
                gettext_lazy("Delete…"),
                reverse("group-delete", args=[group.pk]),
                icon="trash",
                permission="delivery.delete_recipientgroup",
                danger=True,
            ),
        ]
    )

    def render_variables(self, record: RecipientGroup) -> str:
        return str(len(record.variables))

    def value_variables(self, record: RecipientGroup) -> int:
        return len(record.variables)


class GroupForm(forms.ModelForm):
    class Meta:
        model = RecipientGroup
        fields = ("name", "description")
        error_messages: ClassVar = {"name": {"required": gettext_lazy("Enter a name to find it by.")}}


class FileFields(forms.Form):
    """A file of recipients. Checked as far as its header when the form is; its rows when they go in."""

    file = UploadField(
        label=gettext_lazy("File"),
        accept=".csv,.tsv,.txt,.xlsx",
        help_text=gettext_lazy(
            "CSV (comma, semicolon or tab) or Excel (.xlsx), at most 10,000 recipients. The first line names the "
            "columns; the first column is the address, every further one a variable."
        ),
    )
    encoding = EncodingField()


class ImportForm(FileFields):
    undone = gettext_lazy("Nothing was imported.")


class NewGroupForm(GroupForm, FileFields):
    file = UploadField(
        label=gettext_lazy("File"),
        required=False,
        accept=".csv,.tsv,.txt,.xlsx",
        help_text=gettext_lazy(
            "Can be done later as well. CSV or Excel (.xlsx), at most 10,000 recipients a file. The first line names "
            "the columns; the first column is the address, every further one a variable."
        ),
    )

    field_order = ("name", "description", "file", "encoding")


def _import(request: HttpRequest, group: RecipientGroup, form: forms.BaseForm) -> GroupImport | None:
    """Import the form's file; None with an error at its field when the file can't be read. All or nothing of it."""
    upload = form.cleaned_data["file"]
    try:
        source = read_recipients(
            cast(BinaryIO, upload.file),
            upload.name,
            encoding=form.cleaned_data["encoding"] or None,
            limit=LIMIT,
            max_bytes=settings.UPLOAD_MAX_BYTES,
        )
        return import_recipients(group, source, made_by=request.user.get_username())
    except RecipientFileError as error:
        form.add_error("encoding" if error.code == "encoding" else "file", error.message)
    except RecipientGroup.DoesNotExist:
        form.add_error(None, _("The group was deleted meanwhile."))
    return None


class _Undone(Exception):
    """Rolls a new group back when its file could not be read."""


def new(request: HttpRequest) -> HttpResponse:
    form = NewGroupForm(**posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                group = form.save()
                record = _import(request, group, form) if form.cleaned_data.get("file") else None
                if form.errors:
                    raise _Undone
        except _Undone:
            pass
        else:
            if record is not None:
                return redirect("group-import-result", pk=group.pk, number=record.pk)
            messages.success(request, _("%(name)s is created. Now import its recipients.") % {"name": group.name})
            return redirect("group-import", pk=group.pk)
    context = {
        "form": form,
        "title": _("Create recipient group"),
        "submit": _("Create"),
        "cancel": reverse("groups"),
        "crumbs": [(_("Recipient groups"), reverse("groups"))],
    }
    return render(request, "delivery/group_form.html", context, status=422 if form.is_bound else 200)


def edit(request: HttpRequest, pk: int) -> HttpResponse:
    group = get_object_or_404(RecipientGroup, pk=pk)
    name = group.name
    form = GroupForm(instance=group, **posted(request))
    if request.method == "POST" and form.is_valid():
        # Only its own columns: an import may be counting at this moment.
        group.save(update_fields=["name", "description"])
        messages.success(request, _("%(name)s is saved.") % {"name": group.name})
        return redirect("group", pk=pk)
    context = {
        "form": form,
        "title": _("Edit %(name)s") % {"name": name},
        "cancel": reverse("group", args=[pk]),
        "crumbs": [(_("Recipient groups"), reverse("groups")), (name, reverse("group", args=[pk]))],
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


def import_page(request: HttpRequest, pk: int) -> HttpResponse:
    group = get_object_or_404(RecipientGroup, pk=pk)
    form = ImportForm(**posted(request))
    if request.method == "POST" and form.is_valid() and (record := _import(request, group, form)) is not None:
        return redirect("group-import-result", pk=pk, number=record.pk)
    context = {
        "form": form,
        "title": _("Import recipients into %(name)s") % {"name": group.name},
        "submit": _("Import"),
        "cancel": reverse("group", args=[pk]),
        "crumbs": [(_("Recipient groups"), reverse("groups")), (group.name, reverse("group", args=[pk]))],
    }
    return render(request, "delivery/group_form.html", context, status=422 if request.method == "POST" else 200)


def group_page(request: HttpRequest, pk: int) -> HttpResponse:
    group = get_object_or_404(RecipientGroup, pk=pk)
    context = {
        "group": group,
        "imports": list(group.imports.defer("errors")[:20]),
        "first": list(group.recipients.order_by("pk")[:SHOWN_RECIPIENTS]),
        "tasks": list(group.tasks.order_by("-pk")[:5]),
        "crumbs": [(_("Recipient groups"), reverse("groups"))],
    }
    return render(request, "delivery/group.html", context)


def _record(pk: int, number: int) -> GroupImport:
    return get_object_or_404(GroupImport.objects.select_related("group"), pk=number, group_id=pk)


def import_result(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    record = _record(pk, number)
    context = {
        "record": record,
        "group": record.group,
        "errors": record.errors[:ERRORS_SHOWN],
        "crumbs": [(_("Recipient groups"), reverse("groups")), (record.group.name, reverse("group", args=[pk]))],
    }
    return render(request, "delivery/group_import.html", context)


def import_errors(request: HttpRequest, pk: int, number: int) -> StreamingHttpResponse:
    record = _record(pk, number)
    return csv_download(f"malformed-{record.pk}.csv", errors_csv(record))


def sample(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(sample_csv(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="recipients.csv"'
    return response


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    group = get_object_or_404(RecipientGroup, pk=pk)
    # A task walks its group until all rows are made; what is made already needs it no more.
    task = Task.objects.filter(group=group, ended_at=None, expanded=False).order_by("pk").first()
    crumbs = [(_("Recipient groups"), reverse("groups")), (group.name, reverse("group", args=[pk]))]
    if request.method == "POST":
        if task is not None:
            messages.error(request, _in_use(task))
            return redirect("group", pk=pk)
        group.delete()
        messages.success(request, _("%(name)s is deleted.") % {"name": group.name})
        return redirect("groups")
    consequences = [
        ngettext(
            "Its %(n)s recipient and what imports said about it are deleted.",
            "Its %(n)s recipients and what imports said about them are deleted.",
            group.size,
        )
        % {"n": count_text(group.size)},
        _("Mail that was sent to it stays on the status pages."),
        _("The suppression lists stay as they are."),
    ]
    if task is not None:
        consequences.insert(0, _in_use(task))
    return confirm(
        request,
        title=_("Delete %(name)s?") % {"name": group.name},
        button=_("Delete group"),
        cancel=reverse("group", args=[pk]),
        consequences=consequences,
        crumbs=crumbs,
    )


def _in_use(task: Task) -> str:
    return _("Task %(task)s is about to send to it. Wait until it has begun in full, or stop it first.") % {
        "task": task.pk
    }


def _rows() -> QuerySet[RecipientGroup]:
    return RecipientGroup.objects.all()


_CREATE = Button(
    label=gettext_lazy("Create recipient group"), page="group-new", permission="delivery.add_recipientgroup"
)


def _page(name: str, route: str, view: Any, title: Any, permission: str, *, get: bool = False) -> Page:
    return Page(
        name=name,
        route=f"groups/{route}",
        view=view,
        title=title,
        permission=f"delivery.{permission}_recipientgroup",
        parent="groups",
        methods=("GET", "HEAD") if get else ("GET", "HEAD", "POST"),
    )


register(
    ListPage(
        name="groups",
        route="groups/",
        title=gettext_lazy("Recipient groups"),
        noun=(gettext_lazy("group"), gettext_lazy("groups")),
        rows=_rows,
        filters=GroupFilter,
        table=GroupTable,
        permission="delivery.view_recipientgroup",
        order_by=("-pk",),
        default_sort="-created",
        section=Section.SENDING,
        order=20,
        create=_CREATE,
        buttons=(Button(label=gettext_lazy("Sample CSV"), page="group-sample", icon="download", primary=False),),
        empty=Empty(
            icon="users",
            title=gettext_lazy("No recipient group yet"),
            text=gettext_lazy("A batch task sends to a group. Create one and import its recipients from a CSV file."),
            button=_CREATE,
        ),
    ),
    _page("group-new", "new/", new, _CREATE.label, "add"),
    _page("group-sample", "sample.csv", sample, gettext_lazy("Sample CSV"), "view", get=True),
    _page("group", "<int:pk>/", group_page, gettext_lazy("Recipient group"), "view", get=True),
    _page("group-edit", "<int:pk>/edit/", edit, gettext_lazy("Edit group"), "change"),
    _page("group-import", "<int:pk>/import/", import_page, gettext_lazy("Import recipients"), "change"),
    _page(
        "group-import-result",
        "<int:pk>/imports/<int:number>/",
        import_result,
        gettext_lazy("Result of the import"),
        "view",
        get=True,
    ),
    _page(
        "group-import-errors",
        "<int:pk>/imports/<int:number>/malformed.csv",
        import_errors,
        gettext_lazy("Malformed rows"),
        "view",
        get=True,
    ),
    _page("group-delete", "<int:pk>/delete/", delete, gettext_lazy("Delete group"), "delete"),
)
