"""How a page for recipients is drawn: in the sender's name, in the language that the browser asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation

from console.languages import LANGUAGES, preferred
from tracking.models import UnsubscribePage


@dataclass(frozen=True, slots=True)
class Language:
    """A link to the same page in another language."""

    code: str
    name: str
    query: str
    current: bool


def language_of(request: HttpRequest) -> str:
    """What was chosen on the page (?lang=), else what the browser asks for."""
    chosen = request.GET.get("lang", "")
    return chosen if chosen in LANGUAGES else preferred(request.headers.get("Accept-Language", ""))


def drawn(request: HttpRequest, name: str, context: dict[str, Any] | None = None, *, status: int = 200) -> HttpResponse:
    """The page `templates/tracking/<name>.html`. Without the request in its context: nothing of whoever may be signed
    in at this browser belongs on a recipient's page. The account's own words are there for a page that has a sender."""
    language = language_of(request)
    context = context or {}
    shown = {
        **context,
        "languages": [
            Language(code, own, f"?{urlencode({'lang': code})}", code == language) for code, own in LANGUAGES.items()
        ],
        "words": UnsubscribePage.current() if context.get("sender") else None,
    }
    with translation.override(language):
        response = HttpResponse(render_to_string(f"tracking/{name}.html", shown), status=status)
    response["Content-Language"] = language
    return response


def not_valid(request: HttpRequest) -> HttpResponse:
    """The one answer to a token that says nothing to us, whatever is the matter with it."""
    return drawn(request, "not_valid", status=404)
