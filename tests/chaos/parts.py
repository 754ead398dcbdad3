"""One kind of harm at a time, each with its own figures, and whether they are as they should be."""

from __future__ import annotations

import shutil
import time
from typing import Any

import psutil
from django.conf import settings

from delivery.engine import shape
from delivery.models import QueuePause
from delivery.simulator.record import REFUSED
from delivery.simulator.tally import PEAKS
from tests.chaos.counting import by_client, figures, open_connections, peaks, say, sound
from tests.chaos.machines import CONNECTIONS, IPS, LIMITED, LIMITED_GROUP, RATE, Ground, Machine, ground, sinks, until

# Claims that run out within seconds, where a part waits for that.
SHORT_CLAIM = 12.0
LISTED, LISTED_IP = "listed.moods.test", IPS[0]
# As much of a rate as engines surely make use of.
USED = 0.75

Line = tuple[dict[str, Any], bool]


def worker_killed(messages: int) -> Line:
    """A worker is killed while it sends, and another started in its place: the journal says what it had been told."""
    with ground("worker") as here:
        east = here.machine("east")
        task = here.send("worker", sinks(messages))
        here.reach(task, 0.3)
        victim, in_flight = _caught(here, east)
        victim.kill()
        here.reach(task)
    line = {"part": "worker", **figures(task, messages, here.accepted), "open_connections": in_flight}
    return line, sound(line) and line["doubled"] <= in_flight


def machine_gone(messages: int) -> Line:
    """A machine is gone for good, and its journal with it: another takes over when its claims have run out."""
    with ground("gone", CLAIM_SECONDS=str(SHORT_CLAIM)) as here:
        east, west = here.machine("east"), here.machine("west")
        task = here.send("gone", sinks(messages))
        # Not before both have their parts of the limits: what a silent machine held stays reserved for minutes.
        until(lambda: all(any(_calls(here, one) for one in each.engines()) for each in (east, west)), "both send")
        east.power_off()
        time.sleep(1)  # what PostgreSQL was asked before is done
        unsettled = east.unsettled()
        shutil.rmtree(east.var)
        here.reach(task)
    line = {"part": "gone", **figures(task, messages, here.accepted), "unsettled_rows": unsettled}
    return line, sound(line) and line["doubled"] <= unsettled


def worker_frozen(messages: int) -> Line:
    """A worker stands still for twice its claims' time, while others take its mail over, and goes on as if nothing had
    been."""
    with ground("frozen", CLAIM_SECONDS=str(SHORT_CLAIM), LEASE_SECONDS=str(SHORT_CLAIM / 3)) as here:
        east = here.machine("east")
        task = here.send("frozen", sinks(messages))
        here.reach(task, 0.3)
        victim, in_flight = _caught(here, east)
        time.sleep(2 * SHORT_CLAIM)
        here.reach(task)
        victim.resume()
        until(lambda: not _calls(here, victim), "what it had on the wire has ended", 60)
    line = {"part": "frozen", **figures(task, messages, here.accepted), "open_connections": in_flight}
    return line, sound(line) and line["doubled"] <= in_flight


def machines(messages: int) -> Line:
    """Two machines share mail without a double, and together keep within a receiver's limits; then a worker that has a
    share of them is killed, and another frozen until its lease is over."""
    with ground("machines") as here:
        east, west = here.machine("east"), here.machine("west", jobs=False)
        limited, listed = messages // 5, messages // 20
        calm = here.send("calm", {**sinks(messages - limited - listed), LIMITED: limited, LISTED: listed})
        here.reach(calm)
        lease = settings.LEASE_SECONDS
        many = int(RATE * len(IPS) * USED * (lease + 4))
        rough = here.send("rough", {**sinks(many // 3), LIMITED: many})
        here.reach(rough, 0.3)
        victim, in_flight = _caught(here, east, with_share_of=LIMITED_GROUP)
        victim.kill()
        here.reach(rough, 0.5)
        victim, frozen = _caught(here, west, with_share_of=LIMITED_GROUP)
        time.sleep(lease + 1.5)
        victim.resume()
        here.reach(rough)
        until(lambda: not _calls(here, victim), "what it had on the wire has ended", 60)
    simulator = here.accepted.parent
    seen, sink = peaks(simulator / PEAKS, LIMITED), peaks(simulator / PEAKS, "sink.test")
    line = {
        "part": "machines",
        **figures(calm, messages, here.accepted),
        "attempts": here.attempts(),
        "limit_connections": CONNECTIONS,
        "peak_connections": {ip: connections for ip, (connections, _rate) in seen.items()},
        "peak_connections_elsewhere": {ip: connections for ip, (connections, _rate) in sink.items()},
        "limit_rate": RATE,
        "peak_rate": {ip: rate for ip, (_connections, rate) in seen.items()},
        "listed_refused": by_client(simulator / REFUSED, LISTED),
        "listed_taken": by_client(here.accepted, LISTED),
        "paused": [f"{one.limit_group} {one.sending_ip}" for one in QueuePause.objects.select_related("limit_group")],
        "killed_and_frozen": {
            **figures(rough, many // 3 + many, here.accepted),
            "open_connections": in_flight + frozen,
        },
    }
    harmed = line["killed_and_frozen"]
    holds = {
        "everybody was served": sound(line) and sound(harmed),
        "no double but of what was on the wire": line["doubled"] == 0 and harmed["doubled"] <= in_flight + frozen,
        "both machines sent": all(line["attempts"].get(machine.name) for machine in (east, west)),
        "both IPs sent": set(seen) == set(sink) == set(IPS),
        "never above the limits": (
            all(connections <= CONNECTIONS and rate <= RATE for connections, rate in seen.values())
            and all(connections <= shape.Limits().connections for connections, _rate in sink.values())
        ),
        "a listing stops that IP for that group": (
            line["listed_refused"].keys() == {LISTED_IP}
            and line["listed_taken"].keys() == set(IPS) - {LISTED_IP}
            and line["paused"] == [f"mx:mx.{LISTED} {LISTED_IP}"]
        ),
    }
    for what, held in holds.items():
        if not held:
            say(f"machines: it does not hold that {what}")
    return line, all(holds.values())


PARTS = {
    # name: (what it does, messages)
    "worker": (worker_killed, 4_000),
    "gone": (machine_gone, 16_000),
    "frozen": (worker_frozen, 4_000),
    "machines": (machines, 10_000),
}


def _caught(here: Ground, machine: Machine, *, with_share_of: str = "") -> tuple[psutil.Process, int]:
    """One of the machine's workers, frozen while it sends, and how many connections it has open."""

    def found() -> tuple[psutil.Process, int] | None:
        for engine in machine.engines(with_share_of=with_share_of):
            try:
                engine.suspend()
                if count := _calls(here, engine):
                    return engine, count
                engine.resume()
            except psutil.NoSuchProcess:
                continue
        return None

    return until(found, f"{machine.name} sends")


def _calls(here: Ground, engine: psutil.Process) -> int:
    return open_connections([engine], here.simulator.smtp_port)
