"""Every page of the product is registered here: URLs, the menu and the contract tests are made from it."""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from console.menu import Section, Trouble
from console.once import once

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

    from console.lists import ListPage

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One URL of the console.

    name: the URL's name. route: Django's route, without a leading slash.
    permission: "app.codename"; "" = whoever has signed in. public: no sign-in at all. bare: public, and answered before
    static files, sessions and the host's name are looked at, for what comes a thousand times as often as anything else;
    its route begins with a segment of its own.
    section, order: the place in the menu; None = not in the menu. parent: the name of the page whose menu entry is
    marked while this one is open. methods: other methods are answered with 405.
    """

    name: str
    route: str
    view: View
    title: StrPromise | str
    permission: str = ""
    public: bool = False
    bare: bool = False
    section: Section | None = None
    order: int = 100
    menu_title: StrPromise | str = ""
    parent: str = ""
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    trouble: Callable[[], Trouble | None] | None = None
    listing: ListPage | None = None

    def allows(self, user: Any) -> bool:
        return self.public or (user.is_authenticated and (not self.permission or user.has_perm(self.permission)))

    def url(self) -> URLPattern:
        view = require_http_methods(list(self.methods))(self.view)
        return path(self.route, login_not_required(view) if self.public else _guarded(view, self), name=self.name)


_pages: dict[str, Page] = {}


def register(*new: Page | Iterable[Page]) -> None:
    """Add pages, or things that are made of pages (a ListPage)."""
    for item in new:
        for page in [item] if isinstance(item, Page) else item:
            if page.name in _pages:
                raise ValueError(f"Two pages are called {page.name!r}.")
            _pages[page.name] = page


def pages() -> dict[str, Page]:
    """All pages by name."""
    _discover()
    return _pages


def urls() -> list[URLPattern]:
    return [page.url() for page in pages().values()]


@functools.cache
def bare_urls() -> dict[str, URLPattern]:
    """The URLs of bare pages by their first segment."""
    return {page.route.partition("/")[0]: page.url() for page in pages().values() if page.bare}


@functools.cache
def _discover() -> None:
    """Import each module of every app's `pages` package: a module registers its own pages."""
    for config in apps.get_app_configs():
        if "site-packages" in config.path or find_spec(f"{config.name}.pages") is None:
            continue
        package = import_module(f"{config.name}.pages")
        for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
            import_module(f"{package.__name__}.{module}")


def _guarded(view: View, page: Page) -> View:
    """Refuse who lacks the page's permission, and let each form act once. Who has not signed in was sent away by
    LoginRequiredMiddleware."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not page.allows(request.user):
            raise PermissionDenied
        return once(request, lambda: view(request, *args, **kwargs))

    return guarded
