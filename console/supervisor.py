"""Running everything: web, two django-q2 clusters, and what else is registered, watched and stopped in order.

Each part is a process group of its own. One that ends is started again; one that falls silent is killed as a group
first: a cluster whose idle worker was killed hangs for ever on a lock that the dead process held, and does not end on
SIGTERM either. Only work that gets done counts as a sign of life.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from console import heartbeat
from console.stopping import GONE_SECONDS, PART_SECONDS

log = structlog.get_logger()

TICK_SECONDS = 0.5
# Signs of life are asked for so many times within settings.SILENT_SECONDS.
CHECKS = 12
ASK_SECONDS = 3.0
BACKOFF_SECONDS = (0.5, 1, 2, 5, 10, 30)
CLUSTERS = ("jobs", "deliver")

# What other packages want done every half second, such as keeping the clusters supplied with work.
ticks: list[Callable[[], None]] = []
# Parts of other packages: name → the command of manage.py that runs it. It says itself, by console.heartbeat.beat(name)
# every settings.SILENT_SECONDS / CHECKS or so, that its work gets done.
own_parts: dict[str, str] = {}


@dataclass
class Part:
    """A process group that shall run."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    restarts: int = 0
    # Where its standard output goes; None: where ours does.
    output: int | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        self.started = time.monotonic()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        """To the leader, who ends its children in order; SIGKILL to the whole group."""
        if self.process is None:
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            elif self.running():
                os.kill(self.process.pid, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """End the whole group at once, and wait until it has gone: what still holds the database keeps it running."""
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        give_up = time.monotonic() + GONE_SECONDS
        while time.monotonic() < give_up:
            self.process.poll()
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.02)


def die_with_parent() -> None:
    """Linux: when the supervisor is killed, its parts are told to end, so that the next start finds free ports."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def known_parts() -> list[str]:
    """The names of all parts, in the order in which they are started."""
    return list(_known())


def parts(names: list[str]) -> list[Part]:
    """The parts by name, in the order in which they are started."""
    return [part for name, part in _known().items() if name in names]


def _known() -> dict[str, Part]:
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    return {
        "simulator": Part("simulator", [*manage, "simulator"]),
        # By environment: --name comes too late, after django-q2 has read its settings.
        **{name: Part(name, [*manage, "qcluster"], {"Q_CLUSTER_NAME": name}) for name in CLUSTERS},
        **{name: Part(name, [*manage, command]) for name, command in own_parts.items()},
        "web": Part(
            "web",
            [
                *[sys.executable, "-m", "gunicorn", "console.wsgi", "--bind", settings.WEB_BIND],
                *["--workers", str(settings.WEB_WORKERS), "--threads", "4", "--no-control-socket"],
                *["--graceful-timeout", "5", "--log-level", "warning", "--worker-tmp-dir", str(_worker_tmp())],
            ],
        ),
    }


def _worker_tmp() -> Path:
    """gunicorn's workers touch a file as a sign of life: in memory where there is such a place."""
    return Path("/dev/shm") if Path("/dev/shm").is_dir() else settings.VAR  # noqa: S108  (gunicorn names files safely)


class Supervisor:
    def __init__(self, names: list[str], *, output: int | None = None) -> None:
        self.name = heartbeat.own_name()
        self.stop_file = settings.VAR / "run" / f"stop-{os.getpid()}"
        self.parts = parts(names)
        self.stopping = False
        self._silent_since: dict[str, float] = {}
        self._check_at = 0.0
        self._check_seconds = settings.SILENT_SECONDS / CHECKS
        for part in self.parts:
            part.output = output
            part.environment |= {"POSTHORN_SUPERVISOR": self.name, "POSTHORN_STOP_FILE": str(self.stop_file)}

    def start(self) -> None:
        self.stop_file.parent.mkdir(parents=True, exist_ok=True)
        self.stop_file.unlink(missing_ok=True)
        for part in self.parts:
            part.start()
            self._silent_since[part.name] = time.monotonic()

    def run(self) -> None:
        """Watch until somebody calls stop()."""
        while not self.stopping:
            self.tick()
            time.sleep(TICK_SECONDS)

    def tick(self) -> None:
        for part in self.parts:
            self._keep_running(part)
        try:
            for call in ticks:
                call()
            if time.monotonic() >= self._check_at:
                self._check_at = time.monotonic() + self._check_seconds
                for part in self.parts:
                    self._check(part)
        except DatabaseError as error:
            # Nothing can beat while the database is away; that is no part's fault.
            log.warning("database_away", error=str(error).strip())
            connection.close()
            for name in self._silent_since:
                self._silent_since[name] = time.monotonic()

    def stop(self) -> None:
        """End all parts in order within settings.STOP_SECONDS: first no new work, then those at work, last the outside
        world."""
        self.stopping = True
        self.stop_file.parent.mkdir(parents=True, exist_ok=True)
        self.stop_file.touch()
        deadline = time.monotonic() + PART_SECONDS
        outside = [part for part in self.parts if part.name == "simulator"]
        ours = [part for part in self.parts if part not in outside]
        for group in (ours, outside):
            ask_at = 0.0
            while any(part.running() for part in group) and time.monotonic() < deadline:
                if time.monotonic() >= ask_at:
                    # More than once: django-q2 forgets a SIGTERM that comes while it starts.
                    ask_at = time.monotonic() + ASK_SECONDS
                    for part in reversed(group):
                        part.signal(signal.SIGTERM)
                time.sleep(0.05)
            for part in group:
                if part.running():
                    log.warning("part_killed", part=part.name, why="it did not end in time")
                part.kill()
        self.stop_file.unlink(missing_ok=True)
        try:
            heartbeat.forget(self.name)
        except DatabaseError:
            pass

    def kill(self) -> None:
        """End everything at once: the second Ctrl-C."""
        self.stopping = True
        for part in self.parts:
            part.signal(signal.SIGKILL)
        for part in self.parts:
            part.kill()
        self.stop_file.unlink(missing_ok=True)

    def _keep_running(self, part: Part) -> None:
        if part.running() or self.stopping:
            return
        now = time.monotonic()
        if part.restart_at <= part.started:
            # Just found dead. Its children may live on: the group goes, too.
            part.signal(signal.SIGKILL)
            lived = now - part.started
            part.failures = 0 if lived > settings.SILENT_SECONDS else part.failures + 1
            wait = BACKOFF_SECONDS[min(part.failures, len(BACKOFF_SECONDS) - 1)]
            part.restart_at = now + wait
            code = part.process.returncode if part.process else None
            log.warning("part_ended", part=part.name, code=code, again_in=wait)
        if now >= part.restart_at:
            part.start()
            part.restarts += 1
            self._silent_since[part.name] = time.monotonic()

    def _check(self, part: Part) -> None:
        if not part.running() or part.name == "simulator":
            return
        if part.name in CLUSTERS or part.name in own_parts:
            if part.name in CLUSTERS:
                self._ask_for_beat(part.name)
            beat = heartbeat.last_beat(part.name, self.name)
            seconds = (timezone.now() - beat).total_seconds() if beat else settings.SILENT_SECONDS * 2
            alive = seconds < self._check_seconds * 3
        else:
            alive = _web_answers()
            if alive:
                heartbeat.beat("web")
        now = time.monotonic()
        if alive:
            self._silent_since[part.name] = now
        elif now - self._silent_since[part.name] > settings.SILENT_SECONDS:
            log.error("part_silent", part=part.name, seconds=round(now - self._silent_since[part.name]))
            part.signal(signal.SIGKILL)
            self._silent_since[part.name] = now

    def _ask_for_beat(self, cluster: str) -> None:
        # Not more than a few: a cluster that hangs must not find thousands when it is back. What killed workers had in
        # hand does not count: it stays locked for an hour, and nobody who was not asked could show that he lives.
        if OrmQ.objects.filter(key=cluster, lock__lte=timezone.now()).count() < 50:
            async_task("console.heartbeat.beat", cluster, cluster=cluster)


def _web_answers() -> bool:
    host, _colon, port = settings.WEB_BIND.rpartition(":")
    url = f"http://{host if host not in ('0.0.0.0', '[::]', '') else '127.0.0.1'}:{port}/healthz"  # noqa: S104
    request = urllib.request.Request(url, headers={"Host": (settings.ALLOWED_HOSTS or ["localhost"])[0].lstrip(".")})
    try:
        with urllib.request.urlopen(request, timeout=4) as response:  # noqa: S310  (our own address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
