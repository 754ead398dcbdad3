"""The database is pulled away from under the web part: pages say so, and are there again as soon as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.test import Client
from psycopg import errors

from console.management.commands import serve
from console.views import database_is_away
from tests.installation import until
from tests.web import Web


@contextmanager
def away() -> Iterator[None]:
    """Nobody gets into the tests' database, and whoever is in is thrown out: other tests' databases stay."""
    known = connection.settings_dict
    connection.close()
    own = psycopg.connect(host=known["HOST"], user=known["USER"], dbname="postgres", autocommit=True)
    with own as server:
        try:
            server.execute(f'ALTER DATABASE "{known["NAME"]}" ALLOW_CONNECTIONS false')
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [known["NAME"]])
            yield
        finally:
            server.execute(f'ALTER DATABASE "{known["NAME"]}" ALLOW_CONNECTIONS true')


@pytest.mark.django_db(transaction=True)
def test_a_page_says_that_the_database_is_away(person: Callable[[str], Any]) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(person("viewer"))
    with away():
        answer = client.get("/tasks/")
        assert (answer.status_code, answer["Retry-After"]) == (503, "10")
        assert "database" in answer.content.decode()
        assert client.get("/healthz").status_code == 503
        connection.close()
    assert client.get("/tasks/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_database_that_was_restarted_breaks_no_page(person: Callable[[str], Any]) -> None:
    client = Client()
    client.force_login(person("viewer"))
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"}
    with Web() as web:
        # A page without style sheets, which nobody has collected here.
        page = "/groups/sample.csv"
        assert web.get(page, cookie).status == 200
        with away():
            pass
        # No connection of before is handed out.
        assert [web.get(page, cookie).status for _again in range(5)] == [200] * 5


@pytest.mark.django_db(transaction=True)
def test_whoever_starts_before_the_database_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "WAIT_SECONDS", 0.05)

    def start() -> None:
        serve.wait_for_database()
        connection.close()

    thread = threading.Thread(target=start, daemon=True)
    with away():
        thread.start()
        until(lambda: "database_away" in caplog.text, "it says so", 20)
        assert thread.is_alive()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("error", "because", "is_away"),
    [
        (OperationalError("the connection is lost"), None, True),
        (OperationalError("terminated"), errors.AdminShutdown(), True),
        (OperationalError("starting up"), errors.CannotConnectNow(), True),
        (OperationalError("full"), errors.TooManyConnections(), True),
        (InterfaceError("the connection is closed"), None, True),
        (OperationalError("a statement took too long"), errors.QueryCanceled(), False),
        (OperationalError("two waited for each other"), errors.DeadlockDetected(), False),
        (ProgrammingError("no such column"), errors.UndefinedColumn(), False),
        (ValueError("a fault of ours"), None, False),
        (None, None, False),
    ],
)
def test_what_is_no_fault_of_a_page_is_told_from_what_is(
    error: Exception | None, because: Exception | None, is_away: bool
) -> None:
    if error is not None and because is not None:
        error.__cause__ = because
    assert database_is_away(error) is is_away
