"""What holds for every answer: under which name it is given, the strict Content-Security-Policy, the account's zone."""

from __future__ import annotations

from collections.abc import Callable, Container
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import resolve_url
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from console.registry import bare_urls, pages

GetResponse = Callable[[HttpRequest], HttpResponse]

POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ]
)
# A mail in a frame: nothing is loaded, nothing runs, nothing is sent. Mail carries its styles inline.
MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"


class ContentSecurityPolicy:
    """A view that needs a policy of its own sets the header itself; every other answer gets the strict one."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


# Further names under which recipients reach us. Other packages add theirs: `other_names.append(…)`.
other_names: list[Container[str]] = []


class OtherNames:
    """Under these only what stands in mail is answered, as under our own name; nobody finds a console there."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name, _port = split_domain_port(request.META.get("HTTP_HOST", ""))
        if not name or name in settings.ALLOWED_HOSTS or not any(name in names for names in other_names):
            return self.get_response(request)
        if not _is_public(request.path_info):
            return HttpResponse("Not found", status=404, content_type="text/plain; charset=utf-8")
        request.META["HTTP_HOST"] = urlsplit(settings.PUBLIC_URL).netloc
        return self.get_response(request)


def _is_public(path: str) -> bool:
    if path.startswith(settings.STATIC_URL):
        return True
    try:
        page = pages().get(resolve(path).url_name or "")
    except Resolver404:
        return False
    return page is not None and page.public


class BarePages:
    """Answers bare pages (console/registry.py) at once: they know nobody, and look the same under every name."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info[1:]
        pattern = bare_urls().get(path.partition("/")[0])
        match = pattern.resolve(path) if pattern else None
        if match is None:
            return self.get_response(request)
        request.resolver_match = match
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        # As CommonMiddleware does: without it the server would send the body in chunks.
        response.headers.setdefault("Content-Length", str(len(response.content)))
        if request.method == "HEAD":
            response.content = b""
        return response


class AccountZone:
    """`request.account`, and its time zone for all that is shown to people who have signed in."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return _as_htmx_wants(request, self._answer(request))

    def _answer(self, request: HttpRequest) -> HttpResponse:
        from console.models import Account

        request.account = SimpleLazyObject(Account.current)  # type: ignore[attr-defined]
        if not request.user.is_authenticated:
            return self.get_response(request)
        with timezone.override(request.account.zone):  # type: ignore[attr-defined]
            response = self.get_response(request)
            # Templates that are rendered late (admin) want the zone too.
            if hasattr(response, "render") and not getattr(response, "is_rendered", True):
                response = response.render()
        # A list's URL answers htmx with a part of the page: caches must not mix them up.
        patch_vary_headers(response, ["HX-Request"])
        return response


def _as_htmx_wants(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Whoever was signed out meanwhile gets the sign-in page as a page, not inside a list."""
    if response.status_code != 302 or "HX-Request" not in request.headers or request.user.is_authenticated:
        return response
    sign_in = resolve_url(settings.LOGIN_URL)
    if not response["Location"].startswith(sign_in):
        return response
    here = urlsplit(request.headers.get("HX-Current-URL", "/"))
    to = f"{sign_in}?{urlencode({'next': f'{here.path}?{here.query}' if here.query else here.path})}"
    return HttpResponse(status=204, headers={"HX-Redirect": to})
