"""A whole installation in a directory of its own, run by `manage.py` in processes of its own, as operators have it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
# What the surroundings may say about another installation.
OTHERS = ("DATABASE_URL", "POSTHORN_EMBEDDED", "DNS_SERVERS", "MX_PORT", "PUBLIC_URL", "WEB_BIND", "SIMULATOR",
          "SECRET_KEY", "TOKEN_KEYS", "DKIM_KEYS", "JOURNAL_DIR", "STATIC_ROOT", "DJANGO_SETTINGS_MODULE")  # fmt: skip


def until(true: Callable[[], Any], what: str, seconds: float = 90, pause: float = 0.1) -> None:
    """Wait until it is so. Generous: only a test that fails waits for so long."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        time.sleep(pause)


def free_port() -> int:
    """A port that is free together with the listener's and those of the simulator, which are counted from it."""
    for port in range(20_000 + os.getpid() % 20_000, 60_000, 101):
        try:
            for offset, kind in ((0, socket.SOCK_STREAM), (25, socket.SOCK_STREAM), (26, socket.SOCK_STREAM),
                                 (53, socket.SOCK_STREAM), (53, socket.SOCK_DGRAM)):  # fmt: skip
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise AssertionError("no port is free")


class Installation:
    """`with Installation() as here:` — whatever is still running at the end is killed."""

    def __init__(self, **environment: str) -> None:
        # Not below pytest's directory: where root runs the tests, each run of pytest would lock PostgreSQL's user out.
        self.directory = Path(tempfile.mkdtemp(prefix="posthorn-test-"))
        self.var = self.directory / "var"
        self.port = free_port()
        self.environment = {name: value for name, value in os.environ.items() if name not in OTHERS}
        self.environment |= {
            "POSTHORN_VAR": str(self.var),
            "POSTHORN_PORT": str(self.port),
            "LOG_LEVEL": "WARNING",
            "WEB_WORKERS": "1",
            "DELIVER_WORKERS": "1",
            "JOB_WORKERS": "1",
            **environment,
        }
        self.started: list[subprocess.Popen[bytes]] = []
        self.logs = self.directory / "log"

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        for started in self.started:
            started.wait()
            for stream in (started.stdin, started.stdout):
                if stream is not None:
                    stream.close()
        until(lambda: not self.processes(), "all processes gone", 20)
        # Where the server's socket lies when the path is long (console/database.py).
        digest = hashlib.sha256(str(self.var / "postgres").encode()).hexdigest()[:12]
        shutil.rmtree(Path(tempfile.gettempdir()) / f"posthorn-{digest}", ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a process of this installation; its standard error goes to the log."""
        with self.logs.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True, **options},
            )
        self.started.append(process)
        return process

    def manage(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return self.run("manage.py", *arguments, **options)

    def processes(self) -> list[psutil.Process]:
        """All living processes of this installation, PostgreSQL's too: they carry its directory in their environment,
        or its database in their command line."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and (
                    process.environ().get("POSTHORN_VAR") == str(self.var) or str(self.var) in process.cmdline()
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def postgres_runs(self) -> bool:
        return bool(self.postgres())

    def postgres(self) -> list[psutil.Process]:
        found = []
        for process in self.processes():
            try:
                if "postgres" in process.name():
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def part(self, supervisor: subprocess.Popen[bytes], name: str) -> psutil.Process | None:
        """The leader of a part's process group; `name`: a cluster's, "gunicorn" or "simulator"."""
        for process in psutil.Process(supervisor.pid).children():
            try:
                words = " ".join(process.cmdline()[1:])
                if name == process.environ().get("Q_CLUSTER_NAME", "") or (name in words and "qcluster" not in words):
                    return process
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return None

    def log(self) -> str:
        return self.logs.read_text(errors="replace") if self.logs.exists() else ""


def end_group(process: psutil.Process, number: int = signal.SIGKILL) -> None:
    os.killpg(process.pid, number)
