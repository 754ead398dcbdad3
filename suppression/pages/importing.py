"""Bringing the suppression lists of another service: a file whose columns are guessed, shown, and put right by a person
before anything is saved."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.files.encodings import ENCODING_NAMES, UnreadableFile
from console.forms import EncodingField, UploadField, posted
from console.models import ApiUser
from console.registry import Page, register
from console.views import count_text
from suppression import columns, uploads
from suppression.columns import Guess, Layout
from suppression.models import Entry, Upload
from suppression.pages.adding import ACCEPT, with_limit

COLUMNS_MOST = 60
_KEPT = dt.timedelta(days=1)  # an upload that nobody confirms
_SAMPLES = 3  # values that are shown of a column
_SAMPLE_LENGTH = 60

MEANINGS = [
    ("", gettext_lazy("Not used")),
    ("address", gettext_lazy("Address")),
    ("kind", gettext_lazy("Which list")),
    ("reason", gettext_lazy("Reason")),
    ("since", gettext_lazy("There since")),
]


class FileForm(forms.Form):
    undone = gettext_lazy("Nothing was imported.")

    file = UploadField(
        label=gettext_lazy("File"),
        accept=ACCEPT,
        help_text=with_limit(
            gettext_lazy(
                "The exported list as CSV or Excel (.xlsx), at most %(most)s rows. What its columns are is asked next."
            )
        ),
    )
    encoding = EncodingField()


@dataclass(frozen=True, slots=True)
class Contents:
    """A kept file as far as the page shows it: guess, names and first values of its columns, rows, words."""

    guess: Guess
    names: list[str]
    samples: list[list[str]]
    count: int
    words: dict[str, int]

    @classmethod
    def of(cls, upload: Upload, layout: Layout | None = None) -> Contents:
        """With the words of the column that `layout` names; else of the one guessed. Raises UnreadableFile."""
        guess, first, rows = uploads.look(_sheet(upload))
        layout = layout or guess.layout
        count, words = uploads.survey(rows, layout)
        cells = [row for _line, row in first if isinstance(row, list)]
        width = min(max(map(len, cells), default=1), COLUMNS_MOST)
        names = cells[0] if layout.header and cells else []
        body = cells[1:] if layout.header else cells
        return cls(
            guess=guess,
            names=[names[place].strip()[:_SAMPLE_LENGTH] if place < len(names) else "" for place in range(width)],
            samples=[_first_values(body, place) for place in range(width)],
            count=count,
            words=words,
        )


def _first_values(rows: list[list[str]], place: int) -> list[str]:
    values = (row[place].strip()[:_SAMPLE_LENGTH] for row in rows if place < len(row) and row[place].strip())
    return list(dict.fromkeys(values))[:_SAMPLES]


def _sheet(upload: Upload) -> Any:
    return uploads.open_sheet(io.BytesIO(bytes(upload.content or b"")), upload.filename, encoding=_encoding(upload))


def _encoding(upload: Upload) -> str:
    """The key of the encoding that the file was read in, "" of a workbook."""
    return next((key for key, name in ENCODING_NAMES.items() if name == upload.encoding), "")


class ColumnsForm(forms.Form):
    """What each column is, which list each word means, and for whom it holds."""

    undone = FileForm.undone

    header = forms.BooleanField(label=gettext_lazy("The first row names the columns"), required=False)
    kind = forms.ChoiceField(
        label=gettext_lazy("Put them on"),
        required=False,
        choices=[("", gettext_lazy("The list that each row says")), *Entry.List.choices],
    )
    api_user = forms.ModelChoiceField(
        ApiUser.objects.all(),
        label=gettext_lazy("API user"),
        required=False,
        empty_label=gettext_lazy("All"),
        help_text=gettext_lazy("For whose mail unsubscriptions and blocks hold. The other lists hold for all."),
    )
    # The column whose words are asked about.
    asked = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, contents: Contents, layout: Layout, kind: str, data: Mapping[str, Any] | None = None) -> None:
        meanings = {layout.address: "address", layout.kind: "kind", layout.reason: "reason", layout.since: "since"}
        initial: dict[str, Any] = {"header": layout.header, "kind": kind, "asked": layout.kind}
        self.contents = contents
        super().__init__(data, initial=initial)
        for place, name in enumerate(contents.names):
            self.fields[f"column-{place}"] = forms.ChoiceField(
                label=name or _("Column %s") % (place + 1),
                required=False,
                choices=MEANINGS,
                initial=meanings.get(place, ""),
            )
        for number, word in enumerate(contents.words):
            self.fields[f"word-{number}"] = forms.ChoiceField(
                label=word or _("Nothing"),
                required=False,
                choices=[("", _("Leave out")), *Entry.List.choices],
                initial=columns.list_named(word),
            )

    @property
    def column_rows(self) -> list[tuple[forms.BoundField, list[str]]]:
        return [(self[f"column-{place}"], values) for place, values in enumerate(self.contents.samples)]

    @property
    def word_rows(self) -> list[tuple[forms.BoundField, int]]:
        return [(self[f"word-{number}"], count) for number, count in enumerate(self.contents.words.values())]

    def clean(self) -> dict[str, Any]:
        data = cast("dict[str, Any]", super().clean())
        places: dict[str, list[int]] = {}
        for place in range(len(self.contents.names)):
            if meaning := data.get(f"column-{place}"):
                places.setdefault(meaning, []).append(place)
        words = dict(MEANINGS)
        for meaning, found in places.items():
            if len(found) > 1:
                self.add_error(f"column-{found[1]}", _("Two columns are “%s”. Keep one of them.") % words[meaning])
        if "address" not in places:
            self.add_error(None, _("Say which column has the addresses."))
        elif not data.get("kind") and "kind" not in places:
            self.add_error("kind", _("Choose a list, or the column that says which list each row is for."))
        return data

    def layout(self) -> Layout:
        """As far as it was said: the form may have errors."""
        data = self.cleaned_data
        places = {data.get(f"column-{place}"): place for place in range(len(self.contents.names))}
        return Layout(
            header=data.get("header", False),
            address=places.get("address", 0),
            # With one list for all, the column does not matter.
            kind=None if data.get("kind") else places.get("kind"),
            reason=places.get("reason"),
            since=places.get("since"),
        )

    def where(self) -> uploads.Where:
        data = self.cleaned_data
        words = {word: data[f"word-{number}"] for number, word in enumerate(self.contents.words)}
        user = data["api_user"]
        return uploads.Where(
            kind=data["kind"], kinds=lambda word: words.get(word, ""), api_user_id=user.pk if user else None
        )


def bring(request: HttpRequest) -> HttpResponse:
    """The file: kept until its columns are confirmed, a day at most."""
    form = FileForm(**posted(request))
    if request.method == "POST" and form.is_valid():
        Upload.objects.filter(content__isnull=False, made_at__lt=timezone.now() - _KEPT).delete()
        chosen = form.cleaned_data["file"]
        try:
            sheet = uploads.open_sheet(
                chosen.file,
                chosen.name,
                encoding=form.cleaned_data["encoding"],
                max_bytes=settings.UPLOAD_MAX_BYTES,
            )
            uploads.look(sheet)
        except UnreadableFile as error:
            form.add_error("encoding" if error.code == "encoding" else "file", error.message)
        else:
            chosen.seek(0)
            upload = Upload.objects.create(
                filename=chosen.name[:255],
                encoding=sheet.encoding_name,
                content=chosen.read(),
                made_by=request.user.get_username(),
                made_at=timezone.now(),
            )
            return redirect("suppression-import-columns", pk=upload.pk)
    context = {
        "form": form,
        "limit": uploads.LIMIT,
        "command": uploads.COMMAND,
        "title": _("Import from another service"),
        "submit": _("Next: its columns"),
        "cancel": reverse("blocklist"),
        "crumbs": [(_("Blocklist"), reverse("blocklist"))],
    }
    return render(request, "suppression/import.html", context, status=422 if request.method == "POST" else 200)


def confirm_columns(request: HttpRequest, pk: int) -> HttpResponse:
    """What the columns are: guessed, shown, corrected; only then it is imported."""
    upload = get_object_or_404(Upload, pk=pk)
    if upload.content is None:
        return redirect("suppression-upload", pk=pk)
    form: ColumnsForm | None = None
    error = ""
    try:
        contents = Contents.of(upload)
        if request.method == "POST":
            form, asks_anew = _posted(request, upload, contents)
            if form.is_valid() and not asks_anew and "show" not in request.POST:
                rows = uploads.look(_sheet(upload))[2]
                uploads.take(rows, form.layout(), form.where(), upload, now=timezone.now(), by=cast(Any, request.user))
                return redirect("suppression-upload", pk=pk)
        else:
            form = ColumnsForm(contents, contents.guess.layout, contents.guess.kind)
    except UnreadableFile as unreadable:
        error = unreadable.message
    context = {
        "form": form,
        "upload": upload,
        "error": error,
        "title": _("What is in %(file)s") % {"file": upload.filename},
        "submit": _("Import %(n)s rows") % {"n": count_text(form.contents.count)} if form else "",
        "cancel": reverse("blocklist"),
        "crumbs": [
            (_("Blocklist"), reverse("blocklist")),
            (_("Import from another service"), reverse("suppression-import")),
        ],
    }
    failed = error or (form is not None and form.errors)
    return render(request, "suppression/columns.html", context, status=422 if failed else 200)


def _posted(request: HttpRequest, upload: Upload, contents: Contents) -> tuple[ColumnsForm, bool]:
    """The form as it was sent, and whether it now asks what words mean that it did not ask about before."""
    form = ColumnsForm(contents, contents.guess.layout, contents.guess.kind, request.POST)
    form.is_valid()
    layout = form.layout()
    if layout != contents.guess.layout:
        contents = Contents.of(upload, layout)
    data = request.POST.copy()
    asked = "" if layout.kind is None else str(layout.kind)
    asks_anew = bool(asked) and asked != data.get("asked", "")
    if asks_anew:
        data["asked"] = asked
        for number, word in enumerate(contents.words):
            data[f"word-{number}"] = columns.list_named(word)
    return ColumnsForm(contents, layout, "", data), asks_anew


register(
    Page(
        name="suppression-import",
        route="blocklist/import/",
        view=bring,
        title=gettext_lazy("Import from another service"),
        permission="suppression.add_upload",
        parent="blocklist",
    ),
    Page(
        name="suppression-import-columns",
        route="blocklist/import/<int:pk>/",
        view=confirm_columns,
        title=gettext_lazy("Columns of the file"),
        permission="suppression.add_upload",
        parent="blocklist",
    ),
)
