"""Migrations agree with the models, and an upgrade on a table in use gives way and stands in nobody's way."""

from __future__ import annotations

import threading
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from console import locks
from console.management.commands import migrate
from tests.installation import until

pytestmark = pytest.mark.django_db(transaction=True)

# The last of the events' migrations but one; the one after it asks for a lock on the table.
BEFORE, TABLE, INDEX = "0005", "tracking_event", "event_response"


def there(index: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [index])
        return cursor.fetchone()[0] is not None


def test_no_model_has_changed_without_a_migration() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_a_migration_gives_way_to_who_uses_the_table_and_goes_on_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "TIMEOUT", "100ms")
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(migrate, "MOST_TRIES", 2000)
    call_command("migrate", "tracking", BEFORE, verbosity=0)
    assert not there(INDEX)
    said = StringIO()

    def upgrade() -> None:
        try:
            call_command("migrate", "tracking", verbosity=0, stderr=said)
        finally:
            connection.close()

    upgrading = threading.Thread(target=upgrade)
    try:
        with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as writer:
            writer.execute(f"LOCK TABLE {TABLE} IN ROW EXCLUSIVE MODE")
            upgrading.start()
            until(lambda: said.getvalue().count("Giving way") >= 2, "two tries")
            assert not there(INDEX)
        upgrading.join(60)
        assert there(INDEX)
    finally:
        upgrading.join(60)
        call_command("migrate", "tracking", verbosity=0)


def test_a_table_that_stays_in_use_is_said_and_nothing_is_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "TIMEOUT", "100ms")
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(migrate, "MOST_TRIES", 2)
    call_command("migrate", "tracking", BEFORE, verbosity=0)
    try:
        with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as writer:
            writer.execute(f"LOCK TABLE {TABLE} IN ROW EXCLUSIVE MODE")
            with pytest.raises(migrate.CommandError, match="stayed in use"):
                call_command("migrate", "tracking", verbosity=0, stderr=StringIO())
    finally:
        call_command("migrate", "tracking", verbosity=0)
    assert there(INDEX)
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone()[0] == "0"
