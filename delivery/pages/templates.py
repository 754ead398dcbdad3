"""Email templates: the list, the editor, and the page of one with its preview and versions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.filters import ChoiceFilter, FilterSet, IdFilter, TextFilter
from console.forms import UploadField
from console.languages import DEFAULT_LANGUAGE, LANGUAGES
from console.lists import Button, Empty, ListPage
from console.menu import Section
from console.registry import Page, register
from console.tables import ActionsColumn, IdColumn, MainColumn, NumberColumn, RowAction, Table, TagColumn, TimeColumn
from console.views import confirm, sandboxed
from delivery import templating
from delivery.models import Template, TemplateVersion
from delivery.neutral import neutralised
from delivery.services import templates

SHOWN_PROBLEMS = 20
VIEWS = ("desktop", "phone", "text", "source")


def _rows() -> QuerySet[Template]:
    return Template.objects.filter(deleted_at=None).select_related("current")


class TemplateFilter(FilterSet):
    name = TextFilter("name", gettext_lazy("Name"), lookup_expr="icontains", placeholder=gettext_lazy("any part"))
    number = IdFilter("pk", gettext_lazy("Template ID"))
    type = ChoiceFilter("type", gettext_lazy("Type"), choices=Template.Type.choices)


class TemplateTable(Table):
    number = IdColumn("ID", accessor="pk", width="cw-5", sort="pk", phone="m-hide")
    name = MainColumn(gettext_lazy("Name"), url="template", sub=lambda template: template.summary, sort="name")
    type = TagColumn(gettext_lazy("Type"), accessor="get_type_display", width="cw-6", sort="type", phone="m-b")
    version = NumberColumn(gettext_lazy("Version"), accessor="current__number", width="cw-5", phone="m-hide")
    variables = NumberColumn(gettext_lazy("Variables"), accessor="pk", width="cw-6", phone="m-hide")
    changed = TimeColumn(gettext_lazy("Changed"), accessor="changed_at", style="minutes", sort="changed_at")
    actions = ActionsColumn(
        lambda template: [
            RowAction(
                gettext_lazy("Edit"),
                reverse("template-edit", args=[template.pk]),
                icon="pencil",
                permission="delivery.change_template",
            ),
            RowAction(
                gettext_lazy("Send a test…"),
                reverse("template-test", args=[template.pk]),
                icon="send",
                permission="delivery.send",
            ),
            RowAction(
                gettext_lazy("Delete…"),
                reverse("template-delete", args=[template.pk]),
                icon="trash",
                permission="delivery.delete_template",
                danger=True,
            ),
        ]
    )

    def render_variables(self, record: Template) -> str:
        return str(len(record.current.variables)) if record.current else "–"

    def value_variables(self, record: Template) -> int:
        return len(record.current.variables) if record.current else 0


# --- the editor


class TemplateForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        widget=forms.TextInput({"autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Enter a name to find it by.")},
    )
    type = forms.ChoiceField(
        label=gettext_lazy("Type"), choices=Template.Type.choices, widget=forms.RadioSelect, initial=Template.Type.HTML
    )
    summary = forms.CharField(
        label=gettext_lazy("Summary"),
        max_length=200,
        required=False,
        widget=forms.TextInput({"autocomplete": "off"}),
        help_text=gettext_lazy("The preview text that inboxes show after the subject."),
    )
    upload = UploadField(
        label=gettext_lazy("Upload the body"),
        required=False,
        accept=".html,.htm,.txt",
        max_bytes=templating.MAX_BYTES,
        help_text=gettext_lazy("It replaces what is typed below. Text in UTF-8 or UTF-16, or as its <meta> says."),
    )
    source = forms.CharField(
        label=gettext_lazy("Body"),
        required=False,
        strip=False,
        widget=forms.Textarea({"class": "ph-mono", "rows": 22, "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy(
            "Write {{name}} where a recipient's own value shall stand. {{unsubscribe_url}} is the link to unsubscribe; "
            "batch mail gets a line with it when you leave it out."
        ),
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language of the line to unsubscribe"),
        choices=list(LANGUAGES.items()),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose one.")},
        help_text=gettext_lazy(
            "Batch mail gets that line when the body has no {{unsubscribe_url}}. The page that it leads to speaks the "
            "reader's language by itself."
        ),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        upload = data.get("upload")
        if isinstance(upload, UploadedFile):
            try:
                data["source"] = templating.read_upload(upload.read())
            except templating.TemplateError as error:
                self.add_error("upload", error.problems[0].text)
        elif not str(data.get("source", "")).strip() and "upload" not in self.errors:
            self.add_error("source", templates.EMPTY_BODY)
        return data


def _edit(request: HttpRequest, template: Template | None, initial: dict[str, Any]) -> HttpResponse:
    form = TemplateForm(request.POST, request.FILES) if request.method == "POST" else TemplateForm(initial=initial)
    found: list[templating.Problem] = []
    source = str(initial.get("source", ""))
    if form.is_bound and form.is_valid():
        source = form.cleaned_data["source"]
        given = {name: form.cleaned_data[name] for name in ("name", "type", "summary", "language")}
        try:
            saved = templates.save_template(**given, source=source, by=request.user.get_username(), template=template)
        except templates.TemplateRefused as refused:
            form.add_error(refused.field or None, str(refused))
        except templating.TemplateError as error:
            found = error.problems
            # An uploaded body stands in the form now, where it can be mended.
            data = request.POST.copy()
            data["source"] = source
            form.data = data
            for problem in found[:SHOWN_PROBLEMS]:
                form.add_error("source", str(problem))
        else:
            _say_saved(request, saved)
            return redirect("template", pk=saved.pk)
    context = {
        "form": form,
        "template": template,
        "title": _("Edit %(name)s") % {"name": template.name} if template else _("Create email template"),
        "submit": _("Save as a new version") if template else _("Create"),
        "cancel": reverse("template", args=[template.pk]) if template else reverse("templates"),
        "crumbs": [(_("Email templates"), reverse("templates"))],
        "problems": [(problem, _line(source, problem.line)) for problem in found[:SHOWN_PROBLEMS]],
        "variables": templating.variables(source),
    }
    return render(request, "delivery/template_form.html", context, status=422 if form.is_bound else 200)


def _say_saved(request: HttpRequest, template: Template) -> None:
    current = template.current
    names = list(current.variables) if current else []
    text = _("%(name)s is saved as version %(number)s.") % {
        "name": template.name,
        "number": current.number if current else 0,
    }
    found = ngettext("%(n)s variable found: %(names)s.", "%(n)s variables found: %(names)s.", len(names)) % {
        "n": len(names),
        "names": ", ".join(names),
    }
    messages.success(request, f"{text} {found}" if names else text)
    for problem in templates.problems(current.source, current.type) if current else ():
        if problem.warning:
            messages.warning(request, str(problem))


def _line(source: str, number: int) -> str:
    lines = templates.plain_lines(source).split("\n")
    return lines[number - 1].strip()[:200] if 0 < number <= len(lines) else ""


def new(request: HttpRequest) -> HttpResponse:
    return _edit(request, None, {"type": Template.Type.HTML, "language": DEFAULT_LANGUAGE})


def _of(pk: int) -> Template:
    return get_object_or_404(_rows(), pk=pk)


def edit(request: HttpRequest, pk: int) -> HttpResponse:
    template = _of(pk)
    initial = {
        "name": template.name,
        "type": template.type,
        "summary": template.summary,
        "language": template.language,
        "source": template.current.source if template.current else "",
    }
    return _edit(request, template, initial)


# --- the page of one


def _version(template: Template, data: QueryDict) -> TemplateVersion | None:
    number = data.get("version", "")
    if number.isdecimal() and len(number) < 9:
        return get_object_or_404(TemplateVersion, template=template, number=int(number))
    return template.current


def _values(version: TemplateVersion, data: QueryDict) -> dict[str, str]:
    """The sample values asked for (`v-NAME`), a made-up one where none was."""
    made = templates.sample_values(list(version.variables))
    return {name: data.get(f"v-{name}", made[name])[:2000] for name in made}


def template_page(request: HttpRequest, pk: int) -> HttpResponse:
    template = _of(pk)
    version = _version(template, request.GET)
    view = request.GET.get("view", "desktop")
    views = VIEWS if version and version.type == Template.Type.HTML else ("text", "source")
    view = view if view in views else views[0]
    values = _values(version, request.GET) if version else {}
    asked = {f"v-{name}": value for name, value in values.items() if f"v-{name}" in request.GET}
    if version and version != template.current:
        asked["version"] = str(version.number)
    words = {"desktop": _("Desktop"), "phone": _("Phone"), "text": _("Plain text"), "source": _("Source")}
    text = templates.filled(version, values)[1] if version and view == "text" else ""
    frame = urlencode({**{f"v-{name}": value for name, value in values.items()}})
    context = {
        "template": template,
        "shown": version,
        "own_way_out": bool(version and templating.has_unsubscribe(version.source)),
        "versions": list(template.versions.defer("source", "html", "text")[:50]),
        "view": view,
        "tabs": [(each, words[each], f"?{urlencode({**asked, 'view': each})}") for each in views],
        "text": text,
        "values": [(name, f"v-{name}", value) for name, value in values.items()],
        "frame": f"{reverse('template-preview', args=[version.pk])}?{frame}" if version else "",
        "crumbs": [(_("Email templates"), reverse("templates"))],
    }
    return render(request, "delivery/template.html", context)


def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """One version filled with sample values, for the sandboxed frame."""
    version = get_object_or_404(TemplateVersion, pk=pk)
    html, text = templates.filled(version, _values(version, request.GET))
    return sandboxed(neutralised(html)) if html else sandboxed(text, "text/plain; charset=utf-8")


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    template = _of(pk)
    if request.method == "POST":
        name = template.name
        try:
            templates.delete_template(template, now=timezone.now())
        except templates.TemplateRefused as refused:
            messages.error(request, str(refused))
            return redirect("template", pk=pk)
        messages.success(request, _("%(name)s is deleted.") % {"name": name})
        return redirect("templates")
    consequences = [
        _("It can't be chosen for new mail any more, and its name is free again."),
        _("Mail that was sent with it is still shown as it was sent."),
    ]
    if why := templates.in_use(template):
        consequences.insert(0, why)
    return confirm(
        request,
        title=_("Delete %(name)s?") % {"name": template.name},
        button=_("Delete template"),
        cancel=reverse("template", args=[pk]),
        consequences=consequences,
        crumbs=[(_("Email templates"), reverse("templates")), (template.name, reverse("template", args=[pk]))],
    )


_CREATE = Button(label=gettext_lazy("Create email template"), page="template-new", permission="delivery.add_template")

register(
    ListPage(
        name="templates",
        route="templates/",
        title=gettext_lazy("Email templates"),
        noun=(gettext_lazy("template"), gettext_lazy("templates")),
        rows=_rows,
        filters=TemplateFilter,
        table=TemplateTable,
        permission="delivery.view_template",
        order_by=("-changed_at",),
        default_sort="-changed",
        section=Section.CONFIGURATION,
        order=30,
        create=_CREATE,
        empty=Empty(
            icon="template",
            title=gettext_lazy("No email template yet"),
            text=gettext_lazy("The body of a mail, with {{variables}} for what differs between recipients."),
            button=_CREATE,
        ),
    ),
    Page(
        name="template-new",
        route="templates/new/",
        view=new,
        title=_CREATE.label,
        permission="delivery.add_template",
        parent="templates",
    ),
    Page(
        name="template",
        route="templates/<int:pk>/",
        view=template_page,
        title=gettext_lazy("Email template"),
        permission="delivery.view_template",
        parent="templates",
        methods=("GET", "HEAD"),
    ),
    Page(
        name="template-edit",
        route="templates/<int:pk>/edit/",
        view=edit,
        title=gettext_lazy("Edit template"),
        permission="delivery.change_template",
        parent="templates",
    ),
    Page(
        name="template-delete",
        route="templates/<int:pk>/delete/",
        view=delete,
        title=gettext_lazy("Delete template"),
        permission="delivery.delete_template",
        parent="templates",
    ),
    Page(
        name="template-preview",
        route="templates/versions/<int:pk>/preview/",
        view=preview,
        title=gettext_lazy("Preview"),
        permission="delivery.view_template",
        parent="templates",
        methods=("GET", "HEAD"),
    ),
)
