"""An installation at work: all its processes under a supervisor, and an outside world that can be made slow."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import psutil
from django.conf import settings
from django.core.management import call_command

from console import database
from console.supervisor import Supervisor
from delivery.models import LimitGroup, RecipientGroup, SenderAddress, Template
from delivery.services import tasks
from delivery.simulator.server import SimulatorProcess
from tests.bench import world

# Of the settings when embedded; the rest are the workers.
PARTS = ("jobs", "deliver", "web")
SEND_SECONDS = 240.0


@dataclass
class Sent:
    """What sending one task took."""

    messages: int
    seconds: float
    # Processor time by part, in milliseconds a message.
    cpu_ms: dict[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds


class Installation:
    """Started with the first task that is sent, until `stop`."""

    def __init__(self) -> None:
        self.supervisor: Supervisor | None = None
        self._watcher: threading.Thread | None = None
        self._outside: SimulatorProcess | None = None
        # Peak memory in MB of the largest process of each part (PostgreSQL's holds the shared buffers that it touched).
        self.peaks: dict[str, float] = {}

    def send(self, group: RecipientGroup, *, sender: SenderAddress, template: Template) -> Sent:
        """Start a task, and wait for its last row. RuntimeError when it takes too long, or mail is missing."""
        self._start()
        before = self._cpu()
        seconds = _send_and_wait(sender, template, group)
        spent = {part: now - before.get(part, 0.0) for part, now in self._cpu().items()}
        return Sent(group.size, seconds, {part: 1000 * cpu / group.size for part, cpu in spent.items()})

    def outside(self, *, latency_ms: int = 0) -> None:
        """The simulator anew, answering after so long."""
        if self._outside is not None:
            self._outside.close()
        self._outside = SimulatorProcess(
            settings.SIMULATOR_DIR,
            *("--smtp-port", str(settings.MX_PORT)),
            *("--dns-port", settings.DNS_SERVERS[0].rpartition(":")[2]),
            *("--latency-ms", str(latency_ms)),
        )

    def connections(self, most: int | None) -> None:
        """How many may be open to the sink; None: as the rules say."""
        LimitGroup.objects.filter(name__startswith="mx:").update(connections=most)
        time.sleep(2)  # running engines look once a second

    def stop(self) -> None:
        if self.supervisor is not None and self._watcher is not None:
            for name, pid in self._roots().items():
                self.peaks[name] = max(self.peaks.get(name, 0), *(peak(process.pid) for process in _family(pid)))
            self.supervisor.stop()
            self._watcher.join(5)
            self.supervisor = None
        if self._outside is not None:
            self._outside.close()
            self._outside = None

    def _start(self) -> None:
        if self.supervisor is not None:
            return
        if self._outside is None:
            self.outside()
        call_command("collectstatic", verbosity=0, interactive=False)
        self.supervisor = Supervisor(list(PARTS))
        self.supervisor.start()
        self._watcher = threading.Thread(target=self.supervisor.run, daemon=True)
        self._watcher.start()
        # The first mails find processes that are up, and a sink that is known.
        _send_and_wait(world.sender(), world.template(), world.filled_group("warm", 500, domains=1))

    def _cpu(self) -> dict[str, float]:
        return {name: sum(_cpu(process) for process in _family(pid)) for name, pid in self._roots().items()}

    def _roots(self) -> dict[str, int]:
        """The first process of each part, of PostgreSQL, and of the sink."""
        roots = {"postgres": int((database.PGDATA / "postmaster.pid").read_text().split()[0])}
        if self._outside is not None:
            roots["simulator"] = self._outside.pid
        if self.supervisor is not None:
            roots |= {part.name: part.process.pid for part in self.supervisor.parts if part.process is not None}
        return roots


def _send_and_wait(sender: SenderAddress, template: Template, group: RecipientGroup) -> float:
    begun = time.perf_counter()
    task = tasks.create_task(world.new_task(sender, template, group))
    while time.perf_counter() - begun < SEND_SECONDS:
        task.refresh_from_db()
        if task.ended_at is not None:
            seconds = time.perf_counter() - begun
            counts = tasks.counts_of([task.pk])[task.pk]
            if counts != {"delivered": group.size}:
                raise RuntimeError(f"The sink takes everything, yet: {counts}")
            return seconds
        time.sleep(0.05)
    raise RuntimeError(f"Not done after {SEND_SECONDS:.0f} s: {tasks.counts_of([task.pk])}")


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu(process: psutil.Process) -> float:
    """With that of its children that have ended: PostgreSQL's servers come and go."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def peak(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    except (OSError, StopIteration):
        return 0.0
