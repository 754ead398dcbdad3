"""A whole Posthorn of the test's own: `manage.py serve` and the simulator as processes, on a machine that has nothing.

No fixture of Django's takes part: what the test sees is what an operator sees.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from delivery.simulator.server import simulator_process

ROOT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "mio", "a lantern over the harbour"
# What a developer may have set for a console of their own.
NOT_INHERITED = {
    *("DATABASE_URL", "PUBLIC_URL", "ALLOWED_HOSTS", "HTTPS", "DNS_SERVERS", "MX_PORT", "WEB_BIND", "SIMULATOR"),
    *("SIMULATOR_DOMAIN", "STATIC_ROOT", "SECRET_KEY", "TOKEN_KEYS", "DKIM_KEYS", "Q_CLUSTER_NAME", "POSTHORN_ROLE"),
}
START_SECONDS = 120.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Console:
    url: str
    kept: Path  # directory of the mails that the simulator accepted, each whole

    def mail_to(self, recipient: str) -> str:
        """The mail that the simulator took for this recipient, as it came over the wire."""
        for path in list(self.kept.glob("*.eml")):
            text = path.read_bytes().decode()
            if f"To: {recipient}\r\n" in text:
                return text
        raise LookupError(f"The simulator took no mail for {recipient}.")


@contextmanager
def console(var: Path) -> Iterator[Console]:
    """Runs until the context ends: web, both clusters, an embedded PostgreSQL under `var`, and the simulator."""
    port = _free_port()
    with simulator_process(var / "simulator", "--keep") as simulator:
        environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED} | {
            "POSTHORN_VAR": str(var),
            "POSTHORN_PORT": str(port),
            "SIMULATOR_DNS_PORT": str(simulator.dns_port),
            "SIMULATOR_SMTP_PORT": str(simulator.smtp_port),
            "DELIVER_WORKERS": "1",
            "JOB_WORKERS": "1",
            "LOG_LEVEL": "WARNING",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }
        manage = [sys.executable, "manage.py"]
        log = var / "serve.log"
        with log.open("wb") as output:
            serve = subprocess.Popen(
                [*manage, "serve", "--parts", "web,deliver,jobs"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/healthz", serve, log)
            subprocess.run(
                [
                    sys.executable,
                    "manage.py",
                    "createsuperuser",
                    "--noinput",
                    "--username",
                    USER,
                    "--email",
                    "m@x.test",
                ],
                cwd=ROOT,
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield Console(url, var / "simulator" / "mail")
        finally:
            serve.terminate()
            try:
                serve.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                serve.kill()
                serve.wait()
                raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, serve: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if serve.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"The console did not start:\n{log.read_text(errors='replace')[-3000:]}") from None
            time.sleep(0.1)
