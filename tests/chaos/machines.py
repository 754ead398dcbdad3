"""Worker machines side by side on one database, and one outside world that they share.

A machine is a `manage.py serve` with a `var/` and a name of its own: what stands in its journal no other machine sees.
It delivers, and does jobs unless it is told to leave them to the others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil
from django.conf import settings
from django.db import connection
from django_q.models import OrmQ
from django_q.tasks import async_task

from console import heartbeat
from console.supervisor import die_with_parent
from delivery.models import Flow, LimitGroup, RecipientGroup, Share, Task, Waiting, Worker
from delivery.models.status import FINAL
from delivery.services import tasks
from delivery.simulator.record import ACCEPTED
from delivery.simulator.server import SimulatorProcess, simulator_process
from tests.bench import world
from tests.chaos.counting import say

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
IPS = ("127.0.0.2", "127.0.0.3")
# A domain whose server takes so many connections and messages a second from one IP, and no more.
LIMITED, CONNECTIONS, RATE = "limited.moods.test", 6, 40
LIMITED_GROUP = f"mx:mx.{LIMITED}"
GIVE_UP_SECONDS = 600
STOP_SECONDS = 40


def until(true: Callable[[], T], what: str, seconds: float = GIVE_UP_SECONDS) -> T:
    """Wait until it is so, and give what it was."""
    give_up = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited in vain: {what}")
        time.sleep(0.05)
    return found


class Machine:
    """One that is running."""

    def __init__(self, name: str, var: Path, environment: dict[str, str], *, jobs: bool = True) -> None:
        self.name = name
        self.parts = ("deliver", "jobs") if jobs else ("deliver",)
        self.var = var
        var.mkdir(parents=True)
        with (var / "log").open("ab") as log:
            self.serve = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--parts", ",".join(self.parts)],
                cwd=ROOT,
                env={**os.environ, **environment, "POSTHORN_VAR": str(var), "MACHINE_NAME": name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )

    def ready(self) -> bool:
        """Each cluster has done something."""
        if self.serve.poll() is not None:
            raise RuntimeError((self.var / "log").read_text(errors="replace"))
        supervisor = f"{self.name}:{self.serve.pid}"
        silent = [part for part in self.parts if not heartbeat.last_beat(part, supervisor)]
        for part in silent:
            # Machines share what they are asked for, so a supervisor's question may be answered by another's cluster.
            if not OrmQ.objects.filter(key=part).exists():
                async_task("console.heartbeat.beat", part, cluster=part)
        return not silent

    def engines(self, *, with_share_of: str = "") -> list[psutil.Process]:
        """Its workers that deliver; with a limit group, those that hold a share of it."""
        found = Worker.objects.filter(name__startswith=f"{self.name}:")
        if with_share_of:
            shares = Share.objects.filter(limit_group__name=with_share_of)
            found = found.filter(token__in=shares.values("worker_token"))
        pids = [int(name.rpartition("/")[2]) for name in found.values_list("name", flat=True)]
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def unsettled(self) -> int:
        """Rows that it has claimed and not settled, by the lists of claims beside its journal."""
        lists = (self.var / "journal").glob("*.claims")
        tokens = [int(line) for path in lists for line in path.read_text().split() if line.isdigit()]
        return Waiting.objects.filter(state=Waiting.State.CLAIMED, claim_token__in=tokens).count()

    def power_off(self) -> None:
        """All of its processes at one instant."""
        family = self._family()
        for process in family:
            _signal(process, signal.SIGSTOP)
        for process in family:
            _signal(process, signal.SIGKILL)
        self.serve.wait()
        psutil.wait_procs(family, timeout=5)

    def stop(self) -> None:
        """In order; by force when that takes too long."""
        family = self._family()
        self.serve.terminate()
        try:
            self.serve.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end in time")
        for process in family:
            _signal(process, signal.SIGKILL)
        self.serve.wait()

    def _family(self) -> list[psutil.Process]:
        if self.serve.poll() is not None:
            return []
        first = psutil.Process(self.serve.pid)
        return [first, *first.children(recursive=True)]


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass


class Ground:
    """The outside world, and the machines that were started on it."""

    def __init__(self, directory: Path, simulator: SimulatorProcess, environment: dict[str, str]) -> None:
        self.directory = directory
        self.simulator = simulator
        self.environment = environment
        self.machines: list[Machine] = []
        # Names of machines by their workers' tokens.
        self.workers: dict[int, str] = {}
        self.accepted = directory / "simulator" / ACCEPTED

    def machine(self, name: str, *, jobs: bool = True) -> Machine:
        machine = Machine(name, self.directory / name, self.environment, jobs=jobs)
        self.machines.append(machine)
        return machine

    def send(self, name: str, domains: dict[str, int]) -> Task:
        """A task to so many people at each of these domains, begun when all machines are there."""
        for machine in self.machines:
            until(machine.ready, f"{machine.name} is ready", 120)
        sender, template = world.sender(), world.template()
        return tasks.create_task(world.new_task(sender, template, _group(name, domains)))

    def _settled(self, task: Task, share: float) -> bool:
        # Which machine a worker is of: its row goes when it ends.
        names = Worker.objects.values_list("token", "name")
        self.workers |= {token: name.partition(":")[0] for token, name in names}
        counts = tasks.counts_of([task.pk])[task.pk]
        final = sum(count for status, count in counts.items() if status in FINAL)
        return final >= share * (task.group.size if task.group else 0)

    def reach(self, task: Task, share: float = 1.0) -> None:
        """Wait until this part of the task's mail is final."""
        until(lambda: self._settled(task, share), f"{share:.0%} settled")

    def attempts(self) -> dict[str, int]:
        """By machine; what a killed worker had not written yet is not counted."""
        found: Counter[str] = Counter()
        for token, tried in Flow.objects.filter(worker__in=self.workers).values_list("worker", "tried"):
            found[self.workers[token]] += tried
        return dict(found)

    def stop(self) -> None:
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(Machine.stop, self.machines))


def _group(name: str, domains: dict[str, int]) -> RecipientGroup:
    group = world.new_group(name)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_recipient (group_id, address, key, domain, variables)
            SELECT %s, name, name, d, jsonb_build_object('first_name', 'Zoë ' || n, 'colour', 'sea & sand',
                                                         'customer', 'c' || n)
            FROM unnest(%s::text[], %s::int[]) AS wanted(d, count),
                LATERAL (SELECT n, %s || n || '@' || d AS name FROM generate_series(1, count) n) AS people
            """,
            [group.pk, list(domains), list(domains.values()), name],
        )
    group.size, group.variables = sum(domains.values()), ["first_name", "colour", "customer"]
    group.save()
    return group


def sinks(count: int, domains: int = 5) -> dict[str, int]:
    """So many people, spread over domains that take all mail."""
    return {f"d{n}.sink.test": count // domains + (n < count % domains) for n in range(domains)}


@contextmanager
def ground(name: str, **environment: str) -> Iterator[Ground]:
    """An outside world for machines with these settings; all is ended on exit."""
    directory = settings.VAR / name
    LimitGroup.objects.update_or_create(name=LIMITED_GROUP, defaults={"connections": CONNECTIONS, "rate": RATE})
    with simulator_process(directory / "simulator", "--limits", f"{CONNECTIONS}/{RATE}") as simulator:
        settled = Ground(directory, simulator, {**_shared(simulator), **environment})
        try:
            yield settled
        finally:
            settled.stop()


def _shared(simulator: SimulatorProcess) -> dict[str, str]:
    """What machines on one database have in common."""

    def keys(versions: dict[int, bytes]) -> str:
        return ",".join(f"{version}:{key.hex()}" for version, key in versions.items())

    return {
        "DATABASE_URL": "postgres://{USER}@/{HOST}/{NAME}".format(**connection.settings_dict),
        "POSTHORN_EMBEDDED": "true",
        "SECRET_KEY": settings.SECRET_KEY,
        "TOKEN_KEYS": keys(settings.TOKEN_KEYS),
        "DKIM_KEYS": keys(settings.DKIM_KEYS),
        "DNS_SERVERS": f"127.0.0.1:{simulator.dns_port}",
        "MX_PORT": str(simulator.smtp_port),
        "SENDING_IPS": ",".join(IPS),
        "DELIVER_WORKERS": "2",
        "JOB_WORKERS": "1",
        "LEASE_SECONDS": str(settings.LEASE_SECONDS),
        "LOG_LEVEL": "WARNING",
    }
