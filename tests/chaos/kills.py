"""Workers, whole clusters and PostgreSQL are killed at random moments while a batch is sent."""

from __future__ import annotations

import argparse
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psutil
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections

from console import database
from console.supervisor import Supervisor
from delivery.models import Task
from delivery.models.status import FINAL
from delivery.services import tasks
from delivery.simulator import record
from tests.bench import world
from tests.chaos.counting import figures, open_connections, say, sound

T = TypeVar("T")

GIVE_UP_SECONDS = 900


class Kills:
    """One run: `options` are those of the command line."""

    def __init__(self, options: argparse.Namespace, messages: int) -> None:
        self.options = options
        self.messages = messages
        self.random = random.Random(options.seed)
        self.kills = 0
        self.in_flight = 0

    def run(self) -> tuple[dict[str, Any], bool]:
        self.supervisor = Supervisor(["simulator", "jobs", "deliver"])
        self.supervisor.start()
        watcher = threading.Thread(target=self.supervisor.run, daemon=True)
        watcher.start()
        begun = time.monotonic()
        try:
            group = world.filled_group("chaos", self.messages, domains=5)
            sender, template = world.sender(), world.template()
            task = self.steady(lambda: tasks.create_task(world.new_task(sender, template, group)))
            self.kill_until_done(task)
        finally:
            self.supervisor.stop()
            watcher.join(5)
        line = {
            **self.steady(lambda: figures(task, self.messages, settings.SIMULATOR_DIR / record.ACCEPTED)),
            "kills": self.kills,
            "in_flight_at_kills": self.in_flight,
            "seconds": round(time.monotonic() - begun, 1),
        }
        return line, sound(line) and line["doubled"] <= self.in_flight

    def kill_until_done(self, task: Task) -> None:
        """One kill after another, spread over the batch; then wait for the end."""
        steps = [(n + 1) / (self.options.kills + 2) for n in range(self.options.kills)]
        restart_at = self.random.choice(steps) if not self.options.no_database else 2.0
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < give_up:
            done, ended = self.steady(lambda: self.progress(task))
            if ended:
                return
            if steps and done >= steps[0] * self.messages:
                if steps.pop(0) == restart_at:
                    self.restart_database()
                self.kill_one()
            time.sleep(0.05)
        say("gave up waiting")

    def progress(self, task: Task) -> tuple[int, bool]:
        task.refresh_from_db()
        counts = tasks.counts_of([task.pk])[task.pk]
        return sum(count for status, count in counts.items() if status in FINAL), task.ended_at is not None

    def kill_one(self) -> None:
        """A worker, more often than not; now and then a whole cluster."""
        name = self.random.choice(["deliver", "deliver", "deliver", "jobs"])
        part = next(part for part in self.supervisor.parts if part.name == name)
        if part.process is None or part.process.poll() is not None:
            return
        try:
            children = psutil.Process(part.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return
        self.in_flight += open_connections(children, settings.MX_PORT) if name == "deliver" else 0
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
        say("PostgreSQL is killed and started")
        connections.close_all()
        database.stop()
        database.start()

    def steady(self, call: Callable[[], T]) -> T:
        """A look at the database, again until it is there."""
        while True:
            try:
                return call()
            except DatabaseError:
                connections.close_all()
                time.sleep(0.5)
