"""The supervisor's parts: whole process groups, started again when they end, ended when it stops."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.utils import timezone
from django_q.models import OrmQ

from console import heartbeat
from console import supervisor as module
from console.supervisor import BACKOFF_SECONDS, Part, Supervisor
from tests.installation import until

# A leader with a child; both write their pids down.
PROGRAM = """
import os, subprocess, sys, time, signal
{before}
child = subprocess.Popen(["sleep", "1000"])
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
{then}
"""


@pytest.fixture
def watched(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Supervisor, Part]]]:
    """Makes a supervisor with one part that runs a program of ours."""
    monkeypatch.setattr(module, "ticks", [])
    made: list[Supervisor] = []

    def make(*, name: str = "simulator", before: str = "", then: str = "time.sleep(1000)") -> tuple[Supervisor, Part]:
        program = PROGRAM.format(before=before, then=then)
        part = Part(name, [sys.executable, "-c", program, str(tmp_path / "pids")])
        monkeypatch.setattr(module, "parts", lambda names: [part])
        supervisor = Supervisor([name])
        supervisor.start()
        made.append(supervisor)
        return supervisor, supervisor.parts[0]

    yield make
    for supervisor in made:
        supervisor.kill()


@pytest.fixture
def pids(tmp_path: Path) -> Callable[[], list[int]]:
    """Waits for the pids that the part has written, and takes the note away."""

    def read() -> list[int]:
        note = tmp_path / "pids"
        until(note.exists, "the part started")
        found = [int(pid) for pid in note.read_text().split()]
        note.unlink()
        return found

    return read


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_part_that_is_killed_is_started_again_and_its_children_go_with_it(
    watched: Callable[..., tuple[Supervisor, Part]], pids: Callable[[], list[int]]
) -> None:
    supervisor, part = watched()
    leader, child = pids()
    os.kill(leader, signal.SIGKILL)
    until(lambda: not part.running(), "the leader ended")
    supervisor.tick()
    until(lambda: not alive(child), "its child ended")
    until(lambda: supervisor.tick() or part.running(), "started again")  # type: ignore[func-returns-value]
    again, _child = pids()
    assert again != leader
    assert part.restarts == 1


def test_a_part_that_ends_at_once_again_and_again_is_started_ever_less_often(
    watched: Callable[..., tuple[Supervisor, Part]], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, part = watched(then="child.kill(); sys.exit(3)")
    waits = []
    for _time in range(4):
        until(lambda: not part.running(), "it ended")
        supervisor.tick()
        waits.append(round(part.restart_at - time.monotonic()))
        part.restart_at = part.started + 0.000_001  # as if the wait were over
        supervisor.tick()
    assert waits == [round(wait) for wait in BACKOFF_SECONDS[1:5]]


def test_stopping_ends_a_part_and_what_it_started(
    watched: Callable[..., tuple[Supervisor, Part]], pids: Callable[[], list[int]]
) -> None:
    supervisor, part = watched()
    leader, child = pids()
    supervisor.stop()
    assert not part.running()
    assert part.process is not None
    assert part.process.returncode == -signal.SIGTERM
    assert not alive(leader)
    assert not alive(child)
    supervisor.tick()
    assert not part.running()


def test_a_part_that_does_not_heed_sigterm_is_killed(
    watched: Callable[..., tuple[Supervisor, Part]], pids: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_SECONDS", 0.5)
    supervisor, part = watched(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    _leader, child = pids()
    supervisor.stop()
    assert part.process is not None
    assert part.process.returncode == -signal.SIGKILL
    assert not alive(child)


def test_engines_see_that_they_shall_stop_before_they_are_told(
    watched: Callable[..., tuple[Supervisor, Part]], pids: Callable[[], list[int]], tmp_path: Path
) -> None:
    supervisor, part = watched(
        before="import pathlib; told = pathlib.Path(os.environ['POSTHORN_STOP_FILE'])",
        then="\nwhile not told.exists(): time.sleep(0.05)\nchild.kill()\nsys.exit(7)",
    )
    pids()
    supervisor.stop_file.touch()
    until(lambda: not part.running(), "it ended by itself")
    assert part.process is not None
    assert part.process.returncode == 7
    supervisor.stop()
    assert not supervisor.stop_file.exists()


def test_a_part_of_another_package_lives_as_long_as_it_says_so_itself(
    watched: Callable[..., tuple[Supervisor, Part]],
    pids: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    monkeypatch.setitem(module.own_parts, "clock", "tick")
    settings.SILENT_SECONDS = 1.2
    supervisor, part = watched(name="clock")
    pids()
    monkeypatch.setenv("POSTHORN_SUPERVISOR", supervisor.name)

    def look(seconds: float, *, beats: bool) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and part.running():
            if beats:
                heartbeat.beat("clock")
            supervisor.tick()
            time.sleep(0.05)

    look(3 * settings.SILENT_SECONDS, beats=True)
    assert part.running()
    look(60, beats=False)
    assert not part.running()


def test_every_part_that_is_registered_can_be_served() -> None:
    assert module.known_parts() == ["simulator", "jobs", "deliver", "listener", "web"]
    assert [part.name for part in module.parts(["web", "listener"])] == ["listener", "web"]


@pytest.mark.django_db
def test_what_killed_workers_had_in_hand_keeps_nobody_from_being_asked_for_a_sign_of_life() -> None:
    """It is locked for an hour. A cluster that is not asked can't answer, and would be killed minute after minute."""
    locked = timezone.now() + dt.timedelta(minutes=50)
    OrmQ.objects.bulk_create(OrmQ(key="jobs", payload="", lock=locked) for _n in range(60))
    Supervisor(["web"])._ask_for_beat("jobs")
    assert OrmQ.objects.filter(key="jobs", lock__lte=timezone.now()).count() == 1
