"""`manage.py serve`: everything runs, what dies or hangs is replaced, and nothing stays behind when it ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tests.installation import Installation, end_group, until

PARTS = ("gunicorn", "deliver", "jobs", "listen_feedback", "simulator")


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """One that looks after its parts four times as often as usual."""
    with Installation(SILENT_SECONDS="15") as here:
        yield here


@pytest.fixture
def serving(installation: Installation) -> Iterator[subprocess.Popen[bytes]]:
    """The running supervisor: one for all tests that leave it running."""
    running = next((process for process in installation.started if process.poll() is None), None)
    yield running or serve(installation)


def serve(installation: Installation) -> subprocess.Popen[bytes]:
    process = installation.manage("serve")
    until(lambda: process.poll() is not None or installation.healthy(), "the console answers")
    assert process.poll() is None, installation.log()
    return process


def leader(installation: Installation, serving: subprocess.Popen[bytes], name: str) -> psutil.Process:
    found: list[psutil.Process | None] = []
    until(lambda: found.append(installation.part(serving, name)) or found[-1], f"{name} runs")  # type: ignore[func-returns-value]
    assert found[-1] is not None
    return found[-1]


def replaced(installation: Installation, serving: subprocess.Popen[bytes], name: str, old: psutil.Process) -> None:
    until(lambda: (new := installation.part(serving, name)) is not None and new.pid != old.pid, f"another {name}")
    until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE, f"the old {name} is gone")


def test_all_parts_run_and_the_console_answers(installation: Installation, serving: subprocess.Popen[bytes]) -> None:
    leaders = {name: leader(installation, serving, name).pid for name in PARTS}
    assert len(set(leaders.values())) == len(PARTS)
    assert installation.healthy()


def test_what_is_killed_is_started_again(installation: Installation, serving: subprocess.Popen[bytes]) -> None:
    old = {
        name: leader(installation, serving, name) for name in ("gunicorn", "deliver", "listen_feedback", "simulator")
    }
    family = [child for one in old.values() for child in one.children(recursive=True)]
    for one in old.values():
        one.kill()
    for name, one in old.items():
        replaced(installation, serving, name, one)
    until(lambda: not any(one.is_running() for one in family), "the children of the old ones are gone")
    until(installation.healthy, "the console answers")


def test_a_cluster_that_is_frozen_is_replaced(installation: Installation, serving: subprocess.Popen[bytes]) -> None:
    old = leader(installation, serving, "deliver")
    end_group(old, signal.SIGSTOP)
    replaced(installation, serving, "deliver", old)


def test_sigterm_ends_everything_and_leaves_no_process_and_no_postgresql(
    installation: Installation, serving: subprocess.Popen[bytes]
) -> None:
    for name in PARTS:
        leader(installation, serving, name)
    assert installation.postgres_runs()
    serving.terminate()
    assert serving.wait(60) == 0, installation.log()
    until(lambda: not installation.processes(), "nothing is left")


def test_the_second_ctrl_c_kills_what_does_not_end(
    installation: Installation, serving: subprocess.Popen[bytes]
) -> None:
    end_group(leader(installation, serving, "jobs"), signal.SIGSTOP)
    serving.send_signal(signal.SIGINT)
    # It has begun to stop: the web is down, and it waits for the frozen part.
    until(lambda: not installation.healthy(), "the console ends")
    assert serving.poll() is None
    serving.send_signal(signal.SIGINT)
    assert serving.wait(60) == 1
    until(lambda: not installation.processes(), "nothing is left")


def test_when_the_supervisor_is_killed_its_parts_end(
    installation: Installation, serving: subprocess.Popen[bytes]
) -> None:
    for name in PARTS:
        leader(installation, serving, name)
    serving.kill()
    serving.wait()
    until(lambda: not installation.processes(), "nothing is left")


def test_a_part_that_is_not_known_is_named(installation: Installation) -> None:
    process = installation.manage("serve", "--parts", "web,mail")
    assert process.wait(60) == 1
    assert "Unknown part: mail" in installation.log()
