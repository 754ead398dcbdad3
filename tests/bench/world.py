"""What the bench works on: a domain, a 5 KB template with links, groups of any size, a history."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
import time
from typing import Any

import psutil
from django.conf import settings
from django.db import connection
from django.utils import timezone

from console import database, ids
from console.models import ApiUser
from console.supervisor import Supervisor
from delivery.models import RecipientGroup, SenderAddress, SenderDomain, Task, Template, TemplateVersion
from delivery.services import dkim_keys, requests, tasks, warmup

LINKS = 10
PARAGRAPH = "Dear {{first_name}}, the linen that you asked for is here again, in {{colour}}, and one is put aside. "
BODY = (
    "<!doctype html><html><body style='font:16px Arial'><h1>{{first_name}}, good news</h1>"
    + "".join(
        f"<p>{PARAGRAPH * 3}<a href='https://shop.posthorn.test/item/{n}?for={{{{customer}}}}'>Item {n}</a></p>"
        for n in range(LINKS)
    )
    + "<p><a href='{{unsubscribe_url}}'>Unsubscribe</a></p></body></html>"
)
TEXT = (
    "Dear {{first_name}}, the linen is here again. https://shop.posthorn.test/ \r\nUnsubscribe: {{unsubscribe_url}}\r\n"
)


def sender(*, publish: bool) -> SenderAddress:
    """A verified domain's address; with its records in the simulator's zone when asked."""
    domain, made = SenderDomain.objects.get_or_create(
        name="bench.posthorn.test", defaults={"verified_at": timezone.now(), "level": warmup.LEVELS}
    )
    if made:
        dkim_keys.make_key(domain, active=True)
    return SenderAddress.objects.get_or_create(domain=domain, prefix="news", defaults={"sender_name": "Bench"})[0]


def template(html: str) -> Template:
    found, made = Template.objects.get_or_create(name="Bench")
    if made:
        version = TemplateVersion.objects.create(
            template=found,
            number=1,
            type="html",
            source=html,
            html=html,
            text=TEXT,
            variables=["first_name", "colour", "customer"],
        )
        found.current = version
        found.save()
    return found


def new_group(name: str) -> RecipientGroup:
    return RecipientGroup.objects.create(name=f"{name}-{ids.new_id()}")


def csv_file(count: int, domain: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["email", "first_name", "colour", "customer"])
    for n in range(count):
        writer.writerow([f"reader{n}@{domain}", "Zoë", "sea & sand", f"c{n}"])
    return text.getvalue().encode()


def filled_group(name: str, count: int, *, domains: int) -> RecipientGroup:
    """A group of `count` readers spread over sink domains, made in the database."""
    group = new_group(name)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_recipient (group_id, address, key, domain, variables)
            SELECT %s, 'reader' || n || '@' || d, 'reader' || n || '@' || d, d,
                   jsonb_build_object('first_name', 'Zoë ' || n, 'colour', 'sea & sand', 'customer', 'c' || n)
            FROM (SELECT n, 'd' || (n %% %s) || '.sink.test' AS d FROM generate_series(1, %s) n) numbered
            """,
            [group.pk, domains, count],
        )
        cursor.execute("ANALYZE delivery_recipient")
    group.size, group.variables = count, ["first_name", "colour", "customer"]
    group.save()
    return group


def new_task(sender_address: SenderAddress, body: Template, group: RecipientGroup) -> tasks.NewTask:
    return tasks.NewTask("{{first_name}}, good news", group, body, sender_address)


def task_without_queueing(sender_address: SenderAddress, body: Template, group: RecipientGroup) -> Task:
    """A task that nobody expands but the caller."""
    return Task.objects.create(
        api_user=ApiUser.console("batch"),
        subject="{{first_name}}, good news",
        group=group,
        group_name=group.name,
        template=body,
        template_name=body.name,
        sender_address=sender_address,
        sender=sender_address.address,
    )


def send_and_wait(sender_address: SenderAddress, body: Template, group: RecipientGroup, limit: float = 300) -> float:
    """Seconds from the task's start to its last row final."""
    begun = time.perf_counter()
    task = tasks.create_task(new_task(sender_address, body, group))
    while time.perf_counter() - begun < limit:
        task.refresh_from_db()
        if task.ended_at is not None:
            seconds = time.perf_counter() - begun
            counts = tasks.counts_of([task.pk])[task.pk]
            if counts != {"delivered": group.size}:
                raise RuntimeError(f"The sink takes everything, yet: {counts}")
            return seconds
        time.sleep(0.05)
    raise RuntimeError(f"Not done after {limit} s: {tasks.counts_of([task.pk])}")


def _roots(supervisor: Supervisor) -> dict[str, int]:
    """The first process of each part, and of PostgreSQL."""
    roots = {part.name: part.process.pid for part in supervisor.parts if part.process is not None}
    return {**roots, "postgres": int((database.PGDATA / "postmaster.pid").read_text().split()[0])}


def peaks(supervisor: Supervisor) -> dict[str, float]:
    """Peak memory in MB of the largest process of each part (PostgreSQL's holds the shared buffers that it touched)."""
    found: dict[str, float] = {}
    for name, pid in _roots(supervisor).items():
        root = psutil.Process(pid)
        found[name] = max(_peak(process.pid) for process in [root, *root.children(recursive=True)])
    return found


def cpu_seconds(supervisor: Supervisor) -> dict[str, float]:
    """Processor time that each part, and PostgreSQL, has used so far."""
    found: dict[str, float] = {}
    for name, pid in _roots(supervisor).items():
        root = psutil.Process(pid)
        found[name] = sum(_cpu(process) for process in [root, *root.children(recursive=True)])
    return found


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _peak(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    except (OSError, StopIteration):
        return 0.0


def history(count: int, *, days: float = 6) -> None:
    """`count` settled messages of the last days, with a task of their own."""
    sender_address, body = sender(publish=False), template(BODY)
    task = task_without_queueing(sender_address, body, filled_group("history", 1, domains=1))
    domains = requests.receiving_domains([f"d{n}.sink.test" for n in range(50)])
    chooser = random.Random(1)
    choices = [("delivered", "")] * 18 + [("invalid", "not_exist"), ("soft_bounce", "other")]
    domain_ids = [known.id for known in domains.values()]
    assert body.current_id
    now = timezone.now()
    rows: list[tuple[Any, ...]] = []
    for n in range(count):
        status, reason = chooser.choice(choices)
        moment = now - (count - n) * (dt.timedelta(days=days) / count)
        rows.append(
            (
                ids.id_at(moment) + n % 4096,
                task.api_user_id,
                task.pk,
                body.current_id,
                sender_address.domain_id,
                chooser.choice(domain_ids),
                f"reader{n}@d{n % 50}.sink.test",
                sender_address.address,
                "Bench",
                f"Zoë {n}, good news",
                "bench",
                "",
                json.dumps({"first_name": "Zoë"}),
                status,
                reason,
                "",
                1,
                "250 2.0.0 OK",
                None,
            )
        )
    with connection.cursor() as cursor:
        requests._copy(cursor, requests._MESSAGE_COLUMNS, rows)
        cursor.execute("ANALYZE delivery_message")
    requests.move_counts([(task.pk, "delivered", count)])
    Task.objects.filter(pk=task.pk).update(status="done", ended_at=now, requested=count, expanded=True)
    assert settings.EMBEDDED
