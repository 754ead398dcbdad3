"""Fixtures of all tests: the database, people of each role with a client of their own, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests import emptying
from tests.installation import until

if TYPE_CHECKING:
    from django.test import Client
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
PASSWORD = "correct horse battery"  # long enough for the validators


def pytest_configure(config: pytest.Config) -> None:
    from console import database
    from console.settings import STATIC_ROOT

    database.ensure_running()
    # WhiteNoise warns when it is missing; the tests find static files where they are written.
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    emptying.install()
    # A machine that is busy with others' work makes no example wrong.
    hypothesis.settings.register_profile(
        "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A database of this run's own: several runs may share one server."""
    from django.conf import settings

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:8]
    name = settings.DATABASES["default"]["TEST"].get("NAME") or "test_posthorn"
    settings.DATABASES["default"]["TEST"]["NAME"] = f"{name}_{run}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """No commit waits for the disk: this database outlives no power failure. Who kills PostgreSQL has one of its own
    (installation.py), which waits."""
    from django.db import connection

    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            name = connection.ops.quote_name(connection.settings_dict["NAME"])
            cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.close()
    yield
    # A thread of the live server leaves when the browser has closed its connection; then the database can go.
    with django_db_blocker.unblock():
        until(_nobody_else, "all others have left the database", pause=0.02)


def _nobody_else() -> bool:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend')"
        )
        return bool(cursor.fetchone()[0])


@pytest.fixture
def person(db: None, django_user_model: Any) -> Callable[[str], Any]:
    """Makes a person of this role: person("viewer")."""
    from console import roles

    def make(role: str) -> Any:
        user = django_user_model.objects.filter(username=role).first()
        if user is None:
            user = django_user_model.objects.create_user(role, f"{role}@example.com", PASSWORD)
            roles.give(user, role)
        return django_user_model.objects.get(pk=user.pk)

    return make


def _client(user: Any) -> Client:
    from django.test import Client

    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def viewer(person: Callable[[str], Any]) -> Client:
    """A client whose person sees."""
    return _client(person("viewer"))


@pytest.fixture
def operator(person: Callable[[str], Any]) -> Client:
    """A client whose person sends and edits lists."""
    return _client(person("operator"))


@pytest.fixture
def administrator(person: Callable[[str], Any]) -> Client:
    """A client whose person may do everything."""
    return _client(person("administrator"))


# --- browser


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: Playwright leaves an event loop running in its process, in which asyncio.run() refuses."""
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


def _chromium() -> str:
    if CHROMIUM is None:
        if os.environ.get("POSTHORN_REQUIRE_BROWSER") == "1":
            pytest.fail("No Chromium found, and POSTHORN_REQUIRE_BROWSER=1 asks for one.")
        pytest.skip("No Chromium on the PATH: install it to run the browser tests.")
    return CHROMIUM


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    path = _chromium()
    from playwright.sync_api import sync_playwright

    # Playwright runs an event loop in this thread; Django then refuses the ORM unless told that it is meant.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


WIDE: Any = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def window(browser: Browser, live_server: Any) -> Iterator[BrowserContext]:
    """The window that tests use in turn: to open one takes longer than most of them need it. Its first tab stays."""
    window = browser.new_context(base_url=live_server.url, viewport=WIDE)
    window.new_page()
    yield window
    window.close()


@pytest.fixture(scope="session")
def plain_window(browser: Browser, live_server: Any) -> Iterator[BrowserContext]:
    """Another, in which scripts are off."""
    window = browser.new_context(base_url=live_server.url, viewport=WIDE, java_script_enabled=False)
    window.new_page()
    yield window
    window.close()


def _tidied(window: BrowserContext, url: str) -> None:
    """Nothing of what a test left is there any more."""
    first, *others = window.pages
    for tab in others:
        tab.close()
    first.goto("about:blank")
    window.clear_cookies()
    window.clear_permissions()
    debugger = window.new_cdp_session(first)
    debugger.send("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "all"})
    debugger.detach()


@pytest.fixture
def context(request: pytest.FixtureRequest, browser: Browser, live_server: Any) -> Iterator[BrowserContext]:
    """A browser without cookies at 1280 × 900 whose relative URLs go to the live server. With
    `@pytest.mark.own_window` it is nobody else's: what is changed in it can't be put back."""
    if request.node.get_closest_marker("own_window"):
        context = browser.new_context(base_url=live_server.url, viewport=WIDE)
        yield context
        context.close()
    else:
        context = request.getfixturevalue("window")
        yield context
        _tidied(context, live_server.url)


class Faults(list[str]):
    """What went wrong in a page: errors of scripts, broken rules of the CSP, answers of 5xx."""

    def watch(self, page: Page) -> dict[str, Callable[[Any], None]]:
        """Gives the listeners that it has set."""
        listeners: dict[str, Callable[[Any], None]] = {
            "pageerror": lambda error: self.append(f"error: {error}"),
            "console": lambda line: self.append(line.text) if "Content Security Policy" in line.text else None,
            "response": lambda answer: self.append(f"{answer.status} {answer.url}") if answer.status >= 500 else None,
        }
        for event, listener in listeners.items():
            page.on(event, listener)  # type: ignore[call-overload]
        return listeners


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page of the browser. At the end of the test it must not have met an error or broken the CSP."""
    page, faults = context.new_page(), Faults()
    faults.watch(page)
    yield page
    assert not faults


@pytest.fixture
def plain(plain_window: BrowserContext, live_server: Any) -> Iterator[Page]:
    """A page in which scripts are off."""
    yield plain_window.new_page()
    _tidied(plain_window, live_server.url)


@pytest.fixture
def first_tab(context: BrowserContext) -> Iterator[Page]:
    """As `page`, in the tab that stays: for many tests that do no more than look at a page, at sizes and in colours
    that each sets itself."""
    page, faults = context.pages[0], Faults()
    listeners = faults.watch(page)
    yield page
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    assert not faults


def sign_in(context: BrowserContext, live_server: Any, client: Client) -> None:
    """The window goes on with the client's session."""
    from django.conf import settings

    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])


@pytest.fixture
def signed_in(
    page: Page, context: BrowserContext, live_server: Any, person: Callable[[str], Any]
) -> Callable[..., Page]:
    """Signs a role in without the form: signed_in("operator") gives the page."""

    def signed_in(role: str = "administrator") -> Page:
        sign_in(context, live_server, _client(person(role)))
        return page

    return signed_in


@pytest.fixture
def as_administrator(first_tab: Page, context: BrowserContext, live_server: Any, administrator: Client) -> Page:
    """The first tab, of the same session as the client `administrator`."""
    sign_in(context, live_server, administrator)
    return first_tab


AXE = Path(__file__).parent / "assets" / "axe.min.js"


@pytest.fixture
def axe() -> Callable[[Page], list[str]]:
    """Gives what axe-core finds on a page against WCAG 2.2 A and AA."""

    def run(page: Page) -> list[str]:
        # Evaluated through the debugger, so that the page's own policy stays in force. Frames hold mail, which is
        # shown as it is, without scripts: axe would wait in vain for an answer from there.
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE.read_text())
        found = page.evaluate(
            """async () => (await axe.run(document,
                 {iframes: false, runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}))
               .violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target} ${n.failureSummary}`))"""
        )
        return list(found)

    return run
