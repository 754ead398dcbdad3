from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.resolver
import pytest

from delivery.simulator.server import Simulator, running_simulator


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with running_simulator(tmp_path / "simulator", keep=True) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", simulator.smtp_port, timeout=20) as connection:
        connection.ehlo("sender.test")
        yield connection


@pytest.fixture
def resolver(simulator: Simulator) -> dns.resolver.Resolver:
    return resolver_for(simulator.dns_port)


def resolver_for(port: int) -> dns.resolver.Resolver:
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = ["127.0.0.1"]
    made.port = port
    made.lifetime = 10
    return made


Send = Callable[[str], tuple[int, str]]


@pytest.fixture
def send(client: smtplib.SMTP) -> Send:
    """Sends a small mail to one recipient; the reply that decided."""

    def sending(recipient: str) -> tuple[int, str]:
        client.rset()
        client.mail("b+token@bounce.sender.test")
        code, text = client.rcpt(recipient)
        if code == 250:
            code, text = client.data(b"Message-ID: <1@sender.test>\r\nSubject: x\r\n\r\nHello\r\n")
        return code, text.decode()

    return sending
