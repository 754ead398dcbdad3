"""Forms in the look. Any Django form can be drawn: `{% field form.name %}`; here are the widgets that Django lacks."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from console.files.encodings import ENCODING_NAMES
from console.widgets import UploadInput

# Said of a refused form. One that saves nothing has its own: `undone = _("Nothing was sent.")`; "" where nothing
# is done.
UNDONE = _("Nothing was saved.")


def posted(request: HttpRequest) -> dict[str, Any]:
    """What a form is made with: `Form(**posted(request))`. Of a POST all that it holds, though it be nothing: a form
    that came back empty is told what it lacks."""
    return {"data": request.POST, "files": request.FILES} if request.method == "POST" else {}


def dress(bound: forms.BoundField, *, rows: int = 0) -> SafeString:
    """The control itself with the look's classes, and its error and hint named to those who listen."""
    widget = bound.field.widget
    classes = [str(widget.attrs.get("class", ""))]
    if isinstance(widget, forms.CheckboxInput | forms.RadioSelect | forms.CheckboxSelectMultiple):
        classes.append("form-check-input")
    elif isinstance(widget, forms.Select):
        classes.append("form-select")
    else:
        classes.append("form-control")
    attrs: dict[str, Any] = {}
    if rows and isinstance(widget, forms.Textarea):
        attrs["rows"] = rows
    described = []
    if bound.errors:
        classes.append("is-invalid")
        attrs["aria-invalid"] = "true"
        described.append(f"{bound.auto_id}_error")
    if bound.help_text:
        described.append(f"{bound.auto_id}_helptext")
    if described:
        attrs["aria-describedby"] = " ".join(described)
    attrs["class"] = " ".join(filter(None, classes))
    return bound.as_widget(attrs=attrs)


class UploadField(forms.FileField):
    """A file of at most `max_bytes`; the limit stands beside the chooser, and the error names both sizes."""

    widget = UploadInput
    default_error_messages: ClassVar = {
        "required": _("Choose a file."),
        "empty": _("The file is empty. Choose another one."),
    }

    def __init__(self, *, accept: str = "", max_bytes: int = 0, **kwargs: Any) -> None:
        self.max_bytes = max_bytes or settings.UPLOAD_MAX_BYTES
        super().__init__(widget=UploadInput(accept=accept, max_bytes=self.max_bytes), **kwargs)

    def clean(self, data: Any, initial: Any = None) -> Any:
        if isinstance(data, UploadedFile) and (data.size or 0) > self.max_bytes:
            raise forms.ValidationError(
                _("The file is %(size)s. Choose one of at most %(max)s."),
                code="too_large",
                params={"size": filesizeformat(data.size or 0), "max": filesizeformat(self.max_bytes)},
            )
        return super().clean(data, initial)


class EncodingField(forms.ChoiceField):
    """The encoding of an uploaded file: a key of ENCODINGS, "" to have it detected."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Encoding"),
            required=False,
            choices=[("", _("Detect")), *ENCODING_NAMES.items()],
            help_text=_("Choose one only when letters come out garbled."),
        )


class JsonObjectField(forms.CharField):
    """A JSON object typed by a person; gives a dict. Empty: {}."""

    widget = forms.Textarea(attrs={"class": "ph-mono", "rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False, indent=2) if isinstance(value, dict) else value

    def clean(self, value: Any) -> dict[str, Any]:
        text = super().clean(value)
        if not text:
            return {}
        try:
            read = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = (
                _(" (line %(line)s, column %(column)s)") % {"line": error.lineno, "column": error.colno}
                if (isinstance(error, json.JSONDecodeError))
                else ""
            )
            raise forms.ValidationError(
                _('This is not JSON%(where)s. Write it as {"name": "value"}.'), params={"where": where}
            ) from None
        if not isinstance(read, dict):
            raise forms.ValidationError(_('This is JSON, but no object. Write it as {"name": "value"}.'))
        return read
