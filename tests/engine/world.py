"""Tasks to be delivered, and what the outside world says of them."""

from __future__ import annotations

import csv
import io
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dkim
import dns.resolver
from django.db import connection
from django.utils import timezone

from delivery.engine import claim, run
from delivery.engine.claim import Claimed
from delivery.engine.settle import Settled
from delivery.engine.types import Exchange, Phase, Reply, Verdict
from delivery.models import Message, RecipientGroup, SenderAddress, Status, Task, Waiting
from delivery.services import tasks
from delivery.services.recipient_files import read_recipients
from delivery.services.recipients import import_recipients
from delivery.simulator.server import Simulator
from tests.factories.delivery import GroupFactory
from tests.factories.sending import new_task


def group_of(people: Iterable[str | Mapping[str, str]]) -> RecipientGroup:
    """A group, through the importer: addresses, or rows with `email` and variables."""
    rows: list[Mapping[str, str]] = [
        {"email": one, "name": f"Person {n}"} if isinstance(one, str) else one for n, one in enumerate(people)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    group: RecipientGroup = GroupFactory()
    import_recipients(group, read_recipients(text.getvalue().encode(), "people.csv", limit=None))
    group.refresh_from_db()
    return group


def started(people: Iterable[str | Mapping[str, str]], sender: SenderAddress, **changed: Any) -> Task:
    """A task whose rows are made and wait."""
    task = tasks.create_task(new_task(group=group_of(people), sender_address=sender, **changed))
    tasks.expand(task.pk, now=timezone.now())
    task.refresh_from_db()
    return task


def deliver(seconds: float = 60, idle: float = 0.3) -> run.Report:
    """Engines one after the other until nothing waits that could go: put-off mail may be due after one has gone."""
    report = run.deliver(seconds=seconds, idle_seconds=idle)
    for _round in range(100):
        if not Waiting.objects.filter(state__in=[0, 1, 3]).exists():
            break
        more = run.deliver(seconds=seconds, idle_seconds=idle)
        report.settled += more.settled
        report.lost += more.lost
    return report


@contextmanager
def engine_at_work(directory: Path) -> Iterator[None]:
    """An engine that delivers meanwhile, whatever there is or comes; it ends in order."""
    stop = directory / "stop"

    def work() -> None:
        try:
            run.deliver(seconds=60, stop_file=stop, idle_seconds=60)
        finally:
            connection.close()

    engine = threading.Thread(target=work)
    engine.start()
    try:
        yield
    finally:
        stop.touch()
        engine.join()


def fates(task: Task) -> dict[str, tuple[str, str]]:
    """Recipient → (status, reason)."""
    return {
        recipient: (status, reason)
        for recipient, status, reason in Message.objects.filter(task=task).values_list("recipient", "status", "reason")
    }


def taken(simulator: Simulator) -> Counter[str]:
    """Recipients by the simulator's own record, with how many mails each has."""
    return Counter(one.recipient for one in simulator.accepted())


def verifies(simulator: Simulator, mail: bytes) -> bool:
    """Whether dkimpy, asking the simulator's DNS over the wire, finds the signature good."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], simulator.dns_port, 10

    def txt(name: bytes | str, timeout: float = 5) -> bytes:
        name = name.decode() if isinstance(name, bytes) else name
        return b"".join(resolver.resolve(name, "TXT")[0].strings)

    return bool(dkim.verify(mail, dnsfunc=txt))


def exchange(code: int = 250, text: str = "250 2.0.0 Ok", phase: Phase = Phase.DOT, enhanced: str = "") -> Exchange:
    """An attempt that ended with this reply."""
    return Exchange(
        reply=Reply(code, enhanced, text, phase),
        conversation=[("greeting", "220 mx.example.org"), (phase.value, text)],
        mx_host="mx.example.org",
        remote_ip="192.0.2.7",
        local_ip="198.51.100.24",
        tls="",
        started=time.time() - 0.5,
        seconds=0.5,
    )


def delivered(one: Claimed) -> Settled:
    """As the engine has it after a 250."""
    return Settled(one, Status.DELIVERED, exchange=exchange(), verdict=Verdict("delivered", "", "message", "accepted"))


def claim_all(limit: int = 1000) -> list[Claimed]:
    return claim.claim(dict.fromkeys(claim.groups_with_mail(), limit), limit=limit)
