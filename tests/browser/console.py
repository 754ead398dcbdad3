"""A whole Posthorn of the test's own, on a machine that has nothing: `manage.py serve` and the simulator as processes.

No fixture of Django's takes part: what the test sees is what an operator sees.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from delivery.simulator.server import simulator_process
from tests.installation import Installation, until

USER, PASSWORD = "mio", "a lantern over the harbour"


@dataclass(frozen=True)
class Console:
    url: str
    kept: Path  # directory of the mails that the simulator accepted, each whole

    def mail_to(self, recipient: str) -> str:
        """The mail that the simulator took for this recipient, as it came over the wire."""
        for path in self.kept.glob("*.eml"):
            text = path.read_bytes().decode()
            if f"To: {recipient}\r\n" in text:
                return text
        raise LookupError(f"The simulator took no mail for {recipient}.")


@contextmanager
def console() -> Iterator[Console]:
    """Runs until the context ends: web, both clusters, an embedded PostgreSQL, and a simulator that keeps each mail."""
    with Installation(DJANGO_SUPERUSER_PASSWORD=PASSWORD) as here:
        directory = here.var / "simulator"
        with simulator_process(directory, "--keep") as simulator:
            here.environment |= {
                "SIMULATOR_DNS_PORT": str(simulator.dns_port),
                "SIMULATOR_SMTP_PORT": str(simulator.smtp_port),
            }
            serve = here.manage("serve", "--parts", "web,deliver,jobs")
            until(lambda: here.healthy() or serve.poll() is not None, "the console answers")
            assert serve.poll() is None, here.log()
            made = here.manage("createsuperuser", "--noinput", "--username", USER, "--email", "mio@harbour.test")
            assert made.wait(timeout=90) == 0, here.log()
            yield Console(f"http://127.0.0.1:{here.port}", directory / "mail")
            serve.send_signal(signal.SIGTERM)
            serve.wait(timeout=30)
