"""The simulator in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from delivery.simulator.moods import parse_limits
from delivery.simulator.server import Simulator


def add_arguments(
    parser: argparse.ArgumentParser,
    *,
    directory: Path | None = None,
    domain: str = "simulator.test",
    smtp_port: int = 0,
    dns_port: int = 0,
    feedback_port: int = 0,
    readers: bool = False,
) -> None:
    """The options of both commands, with their defaults."""
    parser.add_argument("--dir", type=Path, default=directory, required=directory is None, help="where its files are")
    parser.add_argument("--domain", default=domain, help="the simulator's domain")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--smtp-port", type=int, default=smtp_port, help="0: any free port")
    parser.add_argument("--dns-port", type=int, default=dns_port, help="UDP and TCP; 0: any free port")
    parser.add_argument(
        "--feedback-port", type=int, default=feedback_port, help="where bounce mails are brought; 0: nowhere"
    )
    parser.add_argument(
        "--readers",
        action=argparse.BooleanOptionalAction,
        default=readers,
        help="people and machines who open and click, as their addresses' labels decide",
    )
    parser.add_argument("--keep", action="store_true", help="keep each mail whole under DIR/mail")
    parser.add_argument("--tls", action="store_true", help="offer STARTTLS with a certificate of its own")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="milliseconds before each answer: a round trip")
    parser.add_argument("--limits", default="", help="of limited.moods.test: CONNECTIONS/MESSAGES A SECOND, as 3/10")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends, too")


def run(
    *,
    dir: Path,
    domain: str,
    host: str,
    smtp_port: int,
    dns_port: int,
    keep: bool,
    tls: bool,
    latency_ms: float = 0.0,
    limits: str = "",
    feedback_port: int = 0,
    readers: bool = False,
    until_eof: bool = False,
    out: TextIO = sys.stdout,
) -> None:
    """Serve until a signal comes. Raises ValueError for an address not on loopback, OSError where a port is taken."""
    simulator = Simulator(
        dir,
        domain=domain,
        host=host,
        smtp_port=smtp_port,
        dns_port=dns_port,
        keep=keep,
        tls=tls,
        latency=latency_ms / 1000,
        limits=parse_limits(limits) if limits else None,
        feedback_port=feedback_port,
        readers=readers,
    )
    asyncio.run(_live(simulator, until_eof, out))


async def _live(simulator: Simulator, until_eof: bool, out: TextIO) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    # Before listening: who sees the ports may send the signal at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await simulator.start()
    smtp, dns = (f"{simulator.host}:{port}" for port in (simulator.smtp_port, simulator.dns_port))
    print(f"Simulator: SMTP {smtp}, DNS {dns}, record {simulator.accepted_log}", file=out, flush=True)
    if until_eof:

        def look() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                ended.set()

        loop.add_reader(sys.stdin.fileno(), look)
    await ended.wait()
    await simulator.stop()
