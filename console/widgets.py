"""Widgets that Django lacks. None needs a script; ui.js adds drag-and-drop to the file chooser."""

from __future__ import annotations

from typing import Any

from django import forms
from django.template.defaultfilters import filesizeformat


class UploadInput(forms.FileInput):
    """A file chooser that files can be dropped on, with the limit of size beside it."""

    template_name = "console/upload.html"

    def __init__(self, *, accept: str = "", max_bytes: int = 0, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({**({"accept": accept} if accept else {}), **(attrs or {})})
        self.max_bytes = max_bytes

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"]["limit"] = filesizeformat(self.max_bytes) if self.max_bytes else ""
        context["widget"]["max_bytes"] = str(self.max_bytes)
        return context
