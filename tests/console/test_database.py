"""The embedded PostgreSQL belongs to all who use it: the first starts it, the last stops it, a kill counts nobody."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.installation import Installation, until

USER = "from console import database; database.ensure_running(); print('up', flush=True); input()"


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with Installation() as here:
        yield here


def user(here: Installation) -> subprocess.Popen[bytes]:
    """A process that uses the database until it is told to leave."""
    return here.run("-c", USER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def up(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == b"up\n"


def leave(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(60) == 0


def test_two_first_starts_side_by_side_make_one_server_and_the_last_to_leave_stops_it(
    installation: Installation,
) -> None:
    first, second = user(installation), user(installation)
    assert (up(first), up(second)) == (True, True)
    leave(first)
    assert installation.postgres_runs()
    leave(second)
    until(lambda: not installation.postgres_runs(), "PostgreSQL ended")


def test_a_killed_user_leaves_no_false_count(installation: Installation) -> None:
    first, second = user(installation), user(installation)
    assert (up(first), up(second)) == (True, True)
    first.kill()
    first.wait()
    assert installation.postgres_runs()
    leave(second)
    until(lambda: not installation.postgres_runs(), "PostgreSQL ended")


def test_a_server_that_was_killed_is_started_again_by_the_next_user(installation: Installation) -> None:
    first = user(installation)
    assert up(first)
    servers = installation.postgres()
    for process in servers:
        process.kill()
    # Until they are reaped, too: to PostgreSQL a zombie still holds the lock file.
    until(lambda: not any(psutil.pid_exists(process.pid) for process in servers), "PostgreSQL gone")
    second = user(installation)
    assert up(second), installation.log()
    assert installation.postgres_runs()
    leave(first)
    leave(second)
    until(lambda: not installation.postgres_runs(), "PostgreSQL ended")


def test_a_database_url_of_another_kind_is_refused(installation: Installation) -> None:
    installation.environment["DATABASE_URL"] = "sqlite:///x.db"
    try:
        keys = dict.fromkeys(("SECRET_KEY", "TOKEN_KEYS", "DKIM_KEYS"), "00" * 32)
        installation.environment |= keys
        process = installation.manage("check")
        assert process.wait(60) != 0
        assert "Posthorn runs on no other" in installation.log()
    finally:
        for name in ("DATABASE_URL", *keys):
            del installation.environment[name]
