"""An installation of its own, a batch to the simulator, and a hand that kills.

Workers, clusters and PostgreSQL are killed at random moments while mail flows; a worker is frozen past its claims. What
became of each recipient is then held against the simulator's own record. Each part prints a line of JSON; the last is
the one of the kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

GIVE_UP_SECONDS = 900


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--no-database", action="store_true", help="leave PostgreSQL alone")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    var = Path(tempfile.mkdtemp(prefix="posthorn-chaos-"))
    os.environ |= {"POSTHORN_VAR": str(var), "POSTHORN_PORT": free_port(), "DJANGO_SETTINGS_MODULE": "console.settings"}
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    for name in ("DATABASE_URL", "DNS_SERVERS", "MX_PORT"):
        os.environ.pop(name, None)
    from console import database

    database.ensure_running()
    import django

    django.setup()
    try:
        figures = Chaos(options).run()
    finally:
        database.stop()
        shutil.rmtree(var, ignore_errors=True)
    print(json.dumps(figures))
    sys.exit(0 if figures["missing"] == 0 and figures["final"] == figures["requested"] else 1)


def free_port() -> str:
    """Of a run of ports that nobody else uses just now: the simulator's are counted from it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1] % 20_000 + 20_000)


class Chaos:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.kills = 0
        self.in_flight = 0

    def run(self) -> dict[str, Any]:
        from django.core.management import call_command

        from console.supervisor import Supervisor
        from delivery.services import tasks
        from tests.bench import world

        call_command("migrate", verbosity=0)
        call_command("schedules", verbosity=0)
        self.supervisor = Supervisor(["simulator", "jobs", "deliver"])
        self.supervisor.start()
        watcher = threading.Thread(target=self.supervisor.run, daemon=True)
        watcher.start()
        begun = time.monotonic()
        try:
            group = world.filled_group("chaos", self.options.messages, domains=5)
            sender, template = world.sender(publish=True), world.template(world.BODY)
            task = self.steady(lambda: tasks.create_task(world.new_task(sender, template, group)))
            self.kill_until_done(task)
        finally:
            self.supervisor.stop()
            watcher.join(5)
        return self.figures(task, time.monotonic() - begun)

    def kill_until_done(self, task: Any) -> None:
        """One kill after another, spread over the batch; then wait for the end."""
        steps = [(n + 1) / (self.options.kills + 2) for n in range(self.options.kills)]
        restart_at = self.random.choice(steps) if not self.options.no_database else 2.0
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up:
            done, ended = self.steady(lambda: self.progress(task))
            if ended:
                return
            if steps and done >= steps[0] * self.options.messages:
                if steps.pop(0) == restart_at:
                    self.restart_database()
                self.kill_one()
            time.sleep(0.05)
        say("gave up waiting")

    def progress(self, task: Any) -> tuple[int, bool]:
        from delivery.models.status import FINAL
        from delivery.services import tasks

        task.refresh_from_db()
        counts = tasks.counts_of([task.pk])[task.pk]
        return sum(count for status, count in counts.items() if status in FINAL), task.ended_at is not None

    def kill_one(self) -> None:
        """A worker, more often than not; now and then a whole cluster."""
        import psutil

        name = self.random.choice(["deliver", "deliver", "deliver", "jobs"])
        part = next(part for part in self.supervisor.parts if part.name == name)
        if part.process is None or part.process.poll() is not None:
            return
        try:
            children = psutil.Process(part.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        self.in_flight += open_connections(children) if name == "deliver" else 0
        if self.random.random() < 0.3 or not children:
            part.signal(signal.SIGKILL)
            what = f"the {name} cluster"
        else:
            victim = self.random.choice(children)
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            what = f"a process of {name}"
        self.kills += 1
        say(f"kill {self.kills}: {what}")

    def restart_database(self) -> None:
        from django.db import connections

        from console import database

        say("PostgreSQL is killed and started")
        connections.close_all()
        database.stop()
        database.start()

    def steady(self, call: Any) -> Any:
        """A look at the database, again until it is there."""
        from django.db import Error, connections

        while True:
            try:
                return call()
            except Error:
                connections.close_all()
                time.sleep(0.5)

    def figures(self, task: Any, seconds: float) -> dict[str, Any]:
        from django.conf import settings

        from delivery.models import Message
        from delivery.models.status import FINAL
        from delivery.simulator import record

        rows = dict(self.steady(lambda: list(Message.objects.filter(task=task).values_list("recipient", "status"))))
        mails = Counter(one.recipient for one in record.read(settings.SIMULATOR_DIR / record.ACCEPTED))
        final = sum(status in FINAL for status in rows.values())
        delivered = {recipient for recipient, status in rows.items() if status == "delivered"}
        return {
            "requested": len(rows),
            "final": final,
            "missing": len(delivered - mails.keys()) + self.options.messages - len(delivered),
            "doubled": sum(count - 1 for count in mails.values()),
            "kills": self.kills,
            "in_flight_at_kills": self.in_flight,
            "seconds": round(seconds, 1),
        }


def open_connections(processes: list[Any]) -> int:
    """SMTP connections that these processes have open just now."""
    import psutil
    from django.conf import settings

    count = 0
    for process in processes:
        try:
            count += sum(
                bool(each.raddr) and each.raddr.port == settings.MX_PORT for each in process.net_connections("tcp4")
            )
        except psutil.Error:
            continue
    return count


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
