"""Mail that comes back, in a whole installation: how much is taken while sending goes on, whether all that returns ends
where it should, and what a killing hand leaves behind."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from tests.bench import world
from tests.bench.bench import Bench
from tests.bench.installation import peak

BOUNCES = 3_000
KILLED_BOUNCES = 2_000
KILLS = 12
RETURNS = 5_000


@contextmanager
def running(*names: str) -> Iterator[Any]:
    """Parts of the installation, supervised."""
    from console.supervisor import Supervisor

    call_command("collectstatic", verbosity=0, interactive=False)
    supervisor = Supervisor(list(names))
    supervisor.start()
    watcher = threading.Thread(target=supervisor.run, daemon=True)
    watcher.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        watcher.join(5)


def until(true: Callable[[], bool], what: str, seconds: float = 600) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        if time.monotonic() > give_up:
            raise RuntimeError(f"waited in vain: {what}")
        time.sleep(0.1)


def delivered_task(name: str, count: int) -> Any:
    """A task of so many mails that have gone out."""
    from delivery.services import tasks
    from tests.feedback import traffic

    task = world.task_without_queueing(world.sender(), world.template(), world.filled_group(name, count, domains=20))
    tasks.expand(task.pk, now=timezone.now())
    traffic.settled(count, tasks_id=task.pk)
    return task


def listens() -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", settings.FEEDBACK_PORT), timeout=5):
            return True
    except OSError:
        return False


def waiting() -> int:
    from tracking.models import FeedbackMail

    return FeedbackMail.objects.filter(state=FeedbackMail.State.WAITING).count()


def part_feedback(bench: Bench) -> None:
    """Bounce mails a second that the listener takes, and that are acted on, while a batch is sent."""
    from delivery.models import Message
    from tests.feedback import traffic

    task = delivered_task("feedback", BOUNCES)
    # Not such as put addresses on the bounce list: the batch beside goes to the same.
    mails = traffic.bounces(task.pk, "5.7.1", "550 5.7.1 Message refused by policy")
    figures, sender, template = bench.figures, world.sender(), world.template()
    # So that all processes are up.
    bench.installation.send(world.filled_group("before", 500, domains=1), sender=sender, template=template)
    group = world.filled_group("beside", max(bench.messages, 3 * BOUNCES), domains=5)
    sent: list[float] = []

    def send() -> None:
        sent.append(bench.installation.send(group, sender=sender, template=template).per_second)
        connections.close_all()

    with running("listener") as supervisor:
        until(listens, "the listener")
        sending = threading.Thread(target=send)
        sending.start()
        # Under way, and not only begun.
        until(lambda: Message.objects.filter(task__group=group, status="delivered").exists(), "mail goes out")
        begun = time.perf_counter()
        figures["feedback_taken_per_s"] = round(BOUNCES / traffic.bring_all(settings.FEEDBACK_PORT, mails))
        figures["feedback_beside_sending"] = sending.is_alive()
        until(lambda: not waiting(), "all is acted on")
        figures["feedback_acted_on_per_s"] = round(BOUNCES / (time.perf_counter() - begun))
        sending.join()
        figures["feedback_send_per_s"] = round(sent[0]) if sent else 0
        figures["feedback_peak_mb"] = peak(supervisor.parts[0].process.pid)


def part_returns(bench: Bench) -> None:
    """A batch over all of the simulator's addresses, and everything that comes back from them."""
    from delivery.services import tasks
    from tests.feedback import comparison

    figures = bench.figures
    bench.installation.stop()
    with running("simulator", "jobs", "deliver", "listener", "web"):
        until(listens, "the listener")
        address = _address("returns.posthorn.test")
        people = comparison.addresses(RETURNS, "returns")
        group = _group(people)
        begun = time.perf_counter()
        task = tasks.create_task(world.new_task(address, world.template(), group))
        until(lambda: _ended(task), "the batch is over", 1200)
        directory = settings.SIMULATOR_DIR
        until(
            lambda: len((seen := comparison.outside(directory, "returns")).given) + len(seen.failed) >= seen.promised,
            "all has come back",
        )
        until(lambda: not waiting(), "all is acted on")
        figures["returns_recipients"] = len(people)
        figures["returns_seconds"] = round(time.perf_counter() - begun, 1)
        seen = comparison.outside(directory, "returns")
        figures["returns_came_back"] = len(seen.given)
        found = comparison.differences(task, people, seen)
        again = tasks.create_task(world.new_task(address, world.template(), group))
        until(lambda: _expanded(again), "the second batch's rows")
        found += comparison.stopped_wrongly(again, people, seen)
        figures["returns_stopped_again"] = sum(bool(comparison.stops(seen, one)) for one in people)
        figures["returns_differences"] = len(found)
        for text in found[:20]:
            bench.say(f"  {text}")


def part_kills(bench: Bench) -> None:
    """SIGKILL of the listener and of the jobs cluster while bounce mails come in."""
    from delivery.models import Message
    from tests.feedback import traffic
    from tracking.models import Event, FeedbackMail

    figures = bench.figures
    bench.installation.stop()
    task = delivered_task("kills", KILLED_BOUNCES)
    mails = traffic.bounces(task.pk)
    mine = FeedbackMail.objects.filter(message_id__in=Message.objects.filter(task=task).values("pk"))
    chooser = random.Random(4)
    with running("jobs", "listener") as supervisor:
        until(listens, "the listener")
        bringing = threading.Thread(
            target=lambda: traffic.bring_all(settings.FEEDBACK_PORT, mails, connections=8, seconds=600)
        )
        bringing.start()
        begun = time.perf_counter()
        before = FeedbackMail.objects.count()
        for number in range(KILLS):
            step = KILLED_BOUNCES * (number + 1) // (KILLS + 2)
            until(lambda step=step: FeedbackMail.objects.count() - before >= step or not bringing.is_alive(), "traffic")
            name = chooser.choice(["listener", "jobs"])
            next(part for part in supervisor.parts if part.name == name).signal(signal.SIGKILL)
            bench.say(f"kill {number + 1}: {name}")
        bringing.join(600)
        until(lambda: not waiting(), "all is acted on")
        figures["kills"] = KILLS
        figures["kills_bounces"] = KILLED_BOUNCES
        figures["kills_seconds"] = round(time.perf_counter() - begun, 1)
    statuses = Counter(Message.objects.filter(task=task).values_list("status", flat=True))
    events = Counter(
        Event.objects.filter(message_id__in=Message.objects.filter(task=task).values("pk")).values_list(
            "message_id", flat=True
        )
    )
    figures["kills_acted_on_once"] = sum(count == 1 for count in events.values())
    figures["kills_missing"] = KILLED_BOUNCES - statuses["soft_bounce"]
    figures["kills_doubled"] = sum(count - 1 for count in events.values())
    figures["kills_failed"] = mine.filter(state=FeedbackMail.State.FAILED).count()


def _group(people: list[str]) -> Any:
    """With the variables that the bench's template wants."""
    import csv
    import io

    from delivery.services.recipient_files import read_recipients
    from delivery.services.recipients import import_recipients

    group = world.new_group("returns")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["email", "first_name", "colour", "customer"])
    writer.writerows([one, "Zoë", "sea & sand", "c1"] for one in people)
    import_recipients(group, read_recipients(io.BytesIO(text.getvalue().encode()), "people.csv"))
    group.refresh_from_db()
    return group


def _address(name: str) -> Any:
    """A sender address of a domain whose bounce host the simulator's DNS knows."""
    from delivery.models import SenderAddress, SenderDomain
    from delivery.services import domains, warmup

    domain = domains.add_domain(name)
    domains.publish_in_simulator(domain)
    domains.verify(domain, now=timezone.now())
    SenderDomain.objects.filter(pk=domain.pk).update(level=warmup.LEVELS)
    domain.refresh_from_db()
    if not domain.verified:
        raise RuntimeError(f"{name} is not verified")
    return SenderAddress.objects.create(domain=domain, prefix="news", sender_name="Bench")


def _ended(task: Any) -> bool:
    task.refresh_from_db()
    return task.ended_at is not None


def _expanded(task: Any) -> bool:
    task.refresh_from_db()
    return bool(task.expanded)
