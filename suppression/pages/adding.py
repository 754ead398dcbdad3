"""Putting addresses on a list by hand or from a file, and the page of what became of it."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.files.encodings import UnreadableFile
from console.files.lines import csv_download, csv_lines
from console.files.sheets import ERRORS_SHOWN, SheetRow
from console.filters import DayField
from console.forms import EncodingField, UploadField, posted
from console.models import ApiUser
from console.registry import Page, register
from console.views import count_text
from suppression import uploads
from suppression.columns import Layout
from suppression.models import Entry, UnsubscribeReason, Upload
from suppression.pages.lists import KINDS, Kind, kind_of
from suppression.services import REASON_MAX

LINES_MAX = 1_000_000  # characters typed
ACCEPT = ".csv,.tsv,.txt,.xlsx"


def with_limit(text: Any) -> Any:
    """A lazy text with the most rows that a file may have."""
    return text % {"most": f"{uploads.LIMIT:,}"}


class AddForm(forms.Form):
    """Lines or a file, and what holds for all of them. What a list has no use for is left out."""

    lines = forms.CharField(
        label=gettext_lazy("Addresses"),
        required=False,
        max_length=LINES_MAX,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("One a line."),
    )
    file = UploadField(
        label=gettext_lazy("Or a file"),
        required=False,
        accept=ACCEPT,
        help_text=with_limit(
            gettext_lazy(
                "Plain lines, CSV or Excel (.xlsx), at most %(most)s rows. The column of the addresses is found by its "
                "name, or by what stands in it."
            )
        ),
    )
    encoding = EncodingField()
    api_user = forms.ModelChoiceField(
        ApiUser.objects.all(), label=gettext_lazy("API user"), required=False, empty_label=gettext_lazy("All")
    )
    expires = DayField(
        label=gettext_lazy("Last day"),
        required=False,
        help_text=gettext_lazy("Empty: they stay until you delete them."),
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=REASON_MAX)

    def __init__(self, kind: Kind, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kind.list == Entry.List.BLOCK:
            self.fields["lines"].label = _("Addresses and domains")
            self.fields["lines"].help_text = _("One a line: ann@example.com, or example.com for the whole domain.")
        else:
            del self.fields["expires"]
        if kind.list not in uploads.SCOPED:
            del self.fields["api_user"]
        if kind.list == Entry.List.UNSUBSCRIPTION:
            choices = [("", _("Not given")), *UnsubscribeReason.choices]
            self.fields["reason"] = forms.ChoiceField(label=_("Reason"), required=False, choices=choices)

    def clean_expires(self) -> dt.date | None:
        day = cast("dt.date | None", self.cleaned_data["expires"])
        if day is not None and day < timezone.localdate():
            raise forms.ValidationError(_("This day is over. Choose today or a later one."))
        return day

    def clean(self) -> dict[str, Any]:
        data = cast("dict[str, Any]", super().clean())
        typed = data.get("lines", "").strip()
        if typed and data.get("file"):
            self.add_error("file", _("Type addresses or choose a file, not both."))
        elif not typed and not data.get("file") and "file" not in self.errors and "lines" not in self.errors:
            self.add_error("lines", _("Type at least one address, or choose a file."))
        return data

    def where(self, kind: Kind) -> uploads.Where:
        data = self.cleaned_data
        user, day = data.get("api_user"), data.get("expires")
        return uploads.Where(
            kind=kind.list,
            api_user_id=user.pk if user else None,
            expires_at=end_of(day) if day else None,
            reason=data["reason"],
        )


def end_of(day: dt.date) -> dt.datetime:
    """The moment after the last of a day of the account's zone."""
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=timezone.get_current_timezone())


def _typed(text: str) -> Iterator[SheetRow]:
    """Each line is one address, whatever stands in it."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, [line]


def add(request: HttpRequest, kind: Kind) -> HttpResponse:
    form = AddForm(kind, **posted(request))
    if request.method == "POST" and form.is_valid() and (upload := _take(request, form, kind)) is not None:
        if upload.malformed:
            return redirect("suppression-upload", pk=upload.pk)
        messages.success(request, _said(upload))
        return redirect(kind.name)
    context = {
        "form": form,
        "kind": kind,
        "limit": uploads.LIMIT,
        "command": uploads.COMMAND,
        "domains": kind.list == Entry.List.BLOCK,
        "title": _("Add to %(list)s") % {"list": kind.title},
        "submit": _("Add"),
        "cancel": kind.url(),
        "crumbs": [(kind.title, kind.url())],
    }
    return render(request, "suppression/add.html", context, status=422 if request.method == "POST" else 200)


def _take(request: HttpRequest, form: AddForm, kind: Kind) -> Upload | None:
    """Put what the form has on the list; None with an error at its field when the file can't be read."""
    upload = Upload(list=kind.list, made_at=timezone.now())
    chosen = form.cleaned_data.get("file")
    try:
        if chosen:
            sheet = uploads.open_sheet(
                chosen.file,
                chosen.name,
                encoding=form.cleaned_data["encoding"],
                max_bytes=settings.UPLOAD_MAX_BYTES,
            )
            upload.filename, upload.encoding = chosen.name[:255], sheet.encoding_name
            guess, _first, rows = uploads.look(sheet)
            layout = guess.layout
        else:
            layout, rows = Layout(header=False, address=0), _typed(form.cleaned_data["lines"])
        uploads.take(rows, layout, form.where(kind), upload, now=timezone.now(), by=cast(Any, request.user))
    except UnreadableFile as error:
        field = ("encoding" if error.code == "encoding" else "file") if chosen else "lines"
        form.add_error(field, error.message)
        return None
    return upload


def _said(upload: Upload) -> str:
    added = ngettext("%(n)s entry is added.", "%(n)s entries are added.", upload.added) % {
        "n": count_text(upload.added)
    }
    if not upload.repeated:
        return added
    there = ngettext("%(n)s was there already.", "%(n)s were there already.", upload.repeated) % {
        "n": count_text(upload.repeated)
    }
    return f"{added} {there}"


# --- what became of it


def result(request: HttpRequest, pk: int) -> HttpResponse:
    upload = get_object_or_404(Upload.objects.filter(content=None).defer("content"), pk=pk)
    kind = kind_of(upload.list) if upload.list else None
    context = {
        "upload": upload,
        "errors": upload.errors[:ERRORS_SHOWN],
        "back": kind.name if kind else "blocklist",
        "crumbs": [(kind.title, kind.url())] if kind else [],
    }
    return render(request, "suppression/upload.html", context)


def malformed(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    upload = get_object_or_404(Upload.objects.filter(content=None).defer("content"), pk=pk)
    return csv_download(f"malformed-{upload.pk}.csv", csv_lines([["line", "value", "reason"], *upload.errors]))


register(
    *(
        Page(
            name=kind.add_page,
            route=f"{kind.route}add/",
            view=functools.partial(add, kind=kind),
            title=gettext_lazy("Add"),
            permission="suppression.add_entry",
            parent=kind.name,
        )
        for kind in KINDS
    ),
    Page(
        name="suppression-upload",
        route="blocklist/uploads/<int:pk>/",
        view=result,
        title=gettext_lazy("What was added"),
        permission="suppression.view_upload",
        parent="blocklist",
        methods=("GET", "HEAD"),
    ),
    Page(
        name="suppression-upload-malformed",
        route="blocklist/uploads/<int:pk>/malformed.csv",
        view=malformed,
        title=gettext_lazy("Malformed rows"),
        permission="suppression.view_upload",
        parent="blocklist",
        methods=("GET", "HEAD"),
    ),
)
