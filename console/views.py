"""The kit's own views: confirm pages, sandboxed mail, search, theme, health, errors."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.views import LoginView, PasswordChangeView
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.csrf import requires_csrf_token

from console.middleware import MAIL_POLICY
from console.models import User
from console.once import afterwards
from console.registry import pages

log = logging.getLogger(__name__)

# Makes the first administrator, in the folder of the installation and with its settings.
FIRST_ADMINISTRATOR = ".venv/bin/python manage.py createsuperuser"


def confirm(
    request: HttpRequest,
    *,
    title: str,
    button: str,
    cancel: str,
    consequences: Sequence[str | SafeString] = (),
    danger: bool = True,
    type_to_confirm: str = "",
    crumbs: Sequence[tuple[str, str]] = (),
    extra: dict[str, Any] | None = None,
    template: str = "console/confirm.html",
) -> HttpResponse:
    """A page that asks before one thing is done: GET shows it, and the view acts on POST.

    `cancel` is a URL or a page's name. With `type_to_confirm` the view acts only when `confirmed(request, text)`.
    """
    wrong = request.method == "POST" and type_to_confirm
    context = {
        "title": title,
        "button": button,
        "cancel": resolve_url(cancel),
        "consequences": consequences,
        "danger": danger,
        "type": type_to_confirm,
        "error": _("Type “%s” to go on. Nothing was done.") % type_to_confirm if wrong else "",
        "crumbs": crumbs,
        **(extra or {}),
    }
    return render(request, template, context, status=422 if wrong else 200)


def confirmed(request: HttpRequest, text: str) -> bool:
    """Whether the page of `confirm(type_to_confirm=text)` was sent with it."""
    return request.method == "POST" and request.POST.get("typed", "").strip() == text


def ask_twice(request: HttpRequest, text: str, *, button: str, **page: Any) -> HttpResponse:
    """The page of what is asked twice, unless `confirmed(request, text)`: first what follows, then `text` is to be
    typed. `page`: see `confirm`."""
    second = request.method == "POST"
    answer = confirm(
        request,
        button=button if second else f"{button}…",
        type_to_confirm=text if second else "",
        extra={} if "typed" in request.POST else {"error": ""},
        **page,
    )
    if "typed" not in request.POST:
        answer.status_code = 200
    return answer


def sandboxed(content: str, content_type: str = "text/html; charset=utf-8") -> HttpResponse:
    """A mail to be shown in `<iframe sandbox>`: of its own URL, with a policy under which nothing loads or runs."""
    response = HttpResponse(content, content_type=content_type)
    response["Content-Security-Policy"] = MAIL_POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def show_secret(
    request: HttpRequest, *, title: str, secret: str, done: str, name: str = "", crumbs: Sequence[tuple[str, str]] = ()
) -> HttpResponse:
    """A secret, for the only time: kept by no cache. `name`: the login that goes with it; `done`: where to go on."""
    context = {"title": title, "secret": secret, "done": done, "name": name, "crumbs": crumbs}
    response = render(request, "console/secret.html", context)
    response["Cache-Control"] = "no-store"
    afterwards(response, done)
    return response


def back(request: HttpRequest, default: str) -> HttpResponseRedirect:
    """To where a row's action was asked from (its form's `next`), else to `default`, a page's name or a URL."""
    to = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(to, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(to if safe else resolve_url(default))


# --- search


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found by the search of the top bar. kind: "Message", "Task" …"""

    kind: str
    title: str
    url: str
    detail: str = ""


SearchHandler = Callable[[str, HttpRequest], Sequence[Hit]]
_handlers: list[SearchHandler] = []


def search_handler(handler: SearchHandler) -> SearchHandler:
    """Registers a function that finds what was typed. It checks the permissions itself and answers from an index."""
    _handlers.append(handler)
    return handler


def search(request: HttpRequest) -> HttpResponse:
    """One hit: straight there. Several, or none: said on a page."""
    text = " ".join(request.GET.get("q", "").replace("\x00", "").split())[:400]
    hits = [hit for handler in _handlers for hit in handler(text, request)] if text else []
    if len(hits) == 1:
        return HttpResponseRedirect(hits[0].url)
    return render(request, "console/search.html", {"q": text, "hits": hits})


# --- small things


def home(request: HttpRequest) -> HttpResponse:
    """The first page of the menu, until there is an overview."""
    for group in _menu(request):
        return HttpResponseRedirect(group.entries[0].url)
    return render(request, "console/nothing.html", status=200)


def _menu(request: HttpRequest) -> Any:
    from console.menu import menu

    return menu(request)


def theme(request: HttpRequest) -> HttpResponse:
    """Keeps light, dark or the system's choice with the person."""
    asked = request.POST.get("theme", "")
    if request.user.is_authenticated and asked in User.Theme.values:
        request.user.theme = asked
        request.user.save(update_fields=["theme"])
    return back(request, "home")


class ChangePassword(PasswordChangeView):
    """What was left empty is asked for in words of its own."""

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        for name, words in (
            ("old_password", _("Enter your password of now.")),
            ("new_password1", _("Enter the new password.")),
            ("new_password2", _("Enter the new password once more.")),
        ):
            form.fields[name].error_messages["required"] = words
        return form


class SignIn(LoginView):
    """The sign-in page. On a new installation, where nobody could, it says how the first administrator is made."""

    redirect_authenticated_user = True

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        wrong = _("The username or the password is wrong. Upper and lower case matter in both.")
        form.error_messages = {**form.error_messages, "invalid_login": wrong}
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(nobody=not User.objects.exists(), first_command=FIRST_ADMINISTRATOR, **kwargs)


def healthz(request: HttpRequest) -> HttpResponse:
    """200 when this process answers and reaches the database, else 503. For load balancers; needs no sign-in."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "error", "database": "unreachable"}, status=503)
    return JsonResponse({"status": "ok"})


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """A page with a number that stands in the log as well. It asks nothing of the database: that may be what broke."""
    number = secrets.token_hex(4)
    away = database_is_away(sys.exc_info()[1])
    log.error("error page shown", extra={"error_number": number, "path": request.path, "database_away": away})
    from django.template.loader import render_to_string

    response = HttpResponse(render_to_string("500.html", {"number": number, "away": away}), status=500)
    if away:
        # Load balancers, programs and htmx ask again by themselves.
        response.status_code, response["Retry-After"] = 503, "10"
    return response


def database_is_away(error: BaseException | None) -> bool:
    """Whether this is no fault of a page: the connection was lost, or none is to be had."""
    while error is not None:
        if isinstance(error, InterfaceError):
            return True
        if isinstance(error, OperationalError):
            # SQLSTATE of what the server said, if it said anything: it goes down or comes up, or is full.
            code = getattr(error.__cause__, "sqlstate", None)
            return code is None or code.startswith(("08", "53", "57P"))
        error = error.__cause__ or error.__context__
    return False


def count_text(count: int) -> str:
    """1284 → “1,284”, for texts."""
    return number_format(count, force_grouping=True)


def page_url(name: str, *args: Any) -> str:
    """The URL of a page if it is registered, else ""."""
    return reverse(name, args=args) if name in pages() else ""
