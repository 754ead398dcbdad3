from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.simulator.server import Simulator, running_simulator, simulator_process
from tests.simulator.conftest import resolver_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "localhost", "192.0.2.1", "127.0.0.1.evil.test"])
def test_it_listens_on_loopback_addresses_only(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValueError, match="loopback addresses only"):
        Simulator(tmp_path, host=host)


def test_two_simulators_run_side_by_side(tmp_path: Path) -> None:
    with running_simulator(tmp_path / "a") as first, running_simulator(tmp_path / "b", domain="Other.test") as second:
        assert {first.smtp_port, first.dns_port}.isdisjoint({second.smtp_port, second.dns_port})
        with smtplib.SMTP("127.0.0.1", second.smtp_port, timeout=20) as client:
            client.sendmail("a@b.test", ["success@other.test"], b"x\r\n")
        assert (len(first.accepted()), len(second.accepted())) == (0, 1)


def test_a_taken_port_is_told_and_nothing_is_left_open(tmp_path: Path) -> None:
    with running_simulator(tmp_path / "a") as first:
        with pytest.raises(OSError), running_simulator(tmp_path / "b", smtp_port=first.smtp_port):
            pass
        with pytest.raises(OSError), running_simulator(tmp_path / "b", dns_port=first.dns_port):
            pass


def test_stopping_breaks_open_connections(tmp_path: Path) -> None:
    with running_simulator(tmp_path) as simulator:
        open_ = [socket.create_connection(("127.0.0.1", simulator.smtp_port), timeout=20) for _number in range(5)]
        for connection in open_:
            assert connection.recv(100).startswith(b"220")
    for connection in open_:
        try:
            while connection.recv(100):
                pass
        except ConnectionResetError:
            pass
        connection.close()


def test_a_process_serves_mail_and_dns_and_keeps_mail(tmp_path: Path) -> None:
    with simulator_process(tmp_path, "--keep", "--tls") as process:
        with smtplib.SMTP("127.0.0.1", process.smtp_port, timeout=20) as client:
            client.starttls()
            client.sendmail("a@b.test", ["success@simulator.test"], b"Subject: x\r\n\r\nkept\r\n")
        assert str(resolver_for(process.dns_port).resolve("simulator.test", "MX")[0]) == "10 mx.simulator.test."
    (kept,) = (tmp_path / "mail").glob("*.eml")
    assert kept.read_bytes() == b"Subject: x\r\n\r\nkept\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_its_ports_and_ends_in_order_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "manage.py", "simulator", "--smtp-port", "0", "--dns-port", "0"]
    environment = {**os.environ, "POSTHORN_VAR": str(tmp_path)}
    environment.pop("DATABASE_URL", None)
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(re.search(r"SMTP 127\.0\.0\.1:(\d+), DNS 127\.0\.0\.1:\d+", line)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            assert connection.recv(100).startswith(b"220 mx.simulator.test")
            process.send_signal(number)
            assert process.wait(timeout=20) == 0
    assert (tmp_path / "simulator" / "accepted.log").exists()


def test_the_command_names_a_host_that_it_refuses(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "delivery.simulator", "--dir", str(tmp_path), "--host", "0.0.0.0"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "loopback addresses only" in result.stderr
