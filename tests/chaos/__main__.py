"""An installation of its own, mail to the simulator, and a hand that does harm to what sends it.

What became of each recipient is held against the simulator's own record. Each part prints a line of JSON: a worker
killed and started again; a machine gone for good; a worker frozen; two machines under one receiver's limits; and last,
kills without end. Ends with 1 when anybody was missed, or more came twice than was on the wire.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTS = ("worker", "gone", "frozen", "machines", "kills")
KILLED = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts with commas: {', '.join(PARTS)}")
    parser.add_argument("--messages", type=int, default=0, help="of each part; 0: as many as it takes to tell")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--no-database", action="store_true", help="leave PostgreSQL alone")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    options.only = [part for part in PARTS if part in options.only.split(",")]
    if not options.only:
        parser.error(f"--only takes: {', '.join(PARTS)}")
    # A short path: PostgreSQL's socket lies in it.
    var = Path(tempfile.mkdtemp(prefix="posthorn-chaos-"))
    os.environ |= {"POSTHORN_VAR": str(var), "POSTHORN_PORT": free_port(), "DJANGO_SETTINGS_MODULE": "console.settings"}
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    for name in ("DATABASE_URL", "DNS_SERVERS", "MX_PORT", "SENDING_IPS", "JOURNAL_DIR", "MACHINE_NAME"):
        os.environ.pop(name, None)
    from console import database

    database.ensure_running()
    import django

    django.setup()
    good = True
    # Whoever is told to end leaves nothing running.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    try:
        for line, fine in run(options):
            print(json.dumps(line), flush=True)
            good = good and fine
    finally:
        database.stop()
        shutil.rmtree(var, ignore_errors=True)
    sys.exit(0 if good else 1)


def run(options: argparse.Namespace) -> Iterator[tuple[dict[str, Any], bool]]:
    """Figures of each part, and whether they are as they should be."""
    from django.core.management import call_command

    from tests.chaos.kills import Kills
    from tests.chaos.parts import PARTS as APART

    call_command("migrate", verbosity=0)
    call_command("schedules", verbosity=0)
    for name in options.only:
        if name in APART:
            part, messages = APART[name]
            yield part(options.messages or messages)
        else:
            yield Kills(options, options.messages or KILLED).run()


def free_port() -> str:
    """Of a run of ports that nobody else uses just now: the simulator's are counted from it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1] % 20_000 + 20_000)


if __name__ == "__main__":
    main()
