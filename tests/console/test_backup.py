"""A dump that is restored elsewhere holds the same rows in the same partitions, and the same secrets open there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from console import database
from delivery.services import dkim_keys, domains
from tests.engine.world import started
from tests.factories.delivery import AddressFactory
from tests.factories.sending import attempt, message

RESTORED = "posthorn_restored"


def server() -> dict[str, Any]:
    known = {"host", "port", "user", "password"}
    return {name: str(value) for name, value in connection.get_connection_params().items() if name in known}


def run(program: str, *arguments: str) -> None:
    where = server()
    options = [f"--host={where['host']}", f"--username={where['user']}"]
    if where.get("port"):
        options.append(f"--port={where['port']}")
    subprocess.run([database.binaries() / program, *options, *arguments], check=True, capture_output=True)


@pytest.fixture
def empty() -> Iterator[str]:
    with psycopg.connect(**server(), dbname="postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {RESTORED}")  # type: ignore[call-overload]
        admin.execute(f"CREATE DATABASE {RESTORED}")  # type: ignore[call-overload]
        yield RESTORED
        admin.execute(f"DROP DATABASE {RESTORED} WITH (FORCE)")  # type: ignore[call-overload]


def tables(name: str) -> dict[str, tuple[int, str]]:
    """Table → rows, and a sum over what they hold."""
    found = {}
    with psycopg.connect(**server(), dbname=name) as there:
        names = there.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in names:
            row = there.execute(
                f"SELECT count(*), coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM \"{table}\" t"  # type: ignore[call-overload]
            ).fetchone()
            assert row is not None
            found[table] = row
    return found


@pytest.mark.django_db(transaction=True)
def test_a_dump_is_restored_row_for_row_into_an_empty_database(empty: str, tmp_path: Path) -> None:
    domains.add_domain("kept.example.com")
    started(["success+1@simulator.test", "success+2@simulator.test"], AddressFactory())
    for status in ("delivered", "invalid", "soft_bounce", "held"):
        attempt(message(f"{status}@example.org", status=status))
    here = connection.settings_dict["NAME"]
    dump = tmp_path / "posthorn.dump"
    run("pg_dump", "--format=custom", f"--file={dump}", here)
    run("pg_restore", "--no-owner", f"--dbname={empty}", str(dump))
    before, after = tables(here), tables(empty)
    assert after == before
    assert before["delivery_waiting"][0] == 2
    assert sum(rows for name, (rows, _sum) in after.items() if name.startswith("delivery_message_")) == 6
    with psycopg.connect(**server(), dbname=empty) as there:
        row = there.execute("SELECT private_key FROM delivery_dkimkey").fetchone()
    assert row is not None
    assert dkim_keys.box().decrypt(bytes(row[0])).startswith(b"-----BEGIN")
