"""The parts of the bench: each takes the world and adds figures by name."""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from tests.bench import feedback, world
from tests.bench.bench import Bench
from tests.bench.exports import part_exports, part_workbook
from tests.bench.lists import part_lists
from tests.bench.profile import part_profile
from tests.bench.sending import part_big, part_domains, part_latency, part_older, part_send
from tests.bench.suppression import part_suppression
from tests.bench.tracking import part_tracking

Figures = dict[str, Any]


def run(wanted: list[str], *, messages: int, older: int, history: int, exported: int) -> Figures:
    bench = Bench(messages, older, history, exported, {"cores": os.cpu_count() or 1})
    call_command("migrate", verbosity=0)
    call_command("schedules", verbosity=0)
    try:
        for name in wanted:
            begun = time.perf_counter()
            if PARTS[name] not in SENDING:
                bench.installation.stop()
            PARTS[name](bench)
            bench.say(f"— {name}: {time.perf_counter() - begun:.0f} s")
    finally:
        bench.installation.stop()
    peaks = bench.installation.peaks
    bench.figures |= {f"{NAMES.get(part, part)}_peak_mb": megabytes for part, megabytes in peaks.items()}
    return bench.figures


def part_rsa(bench: Bench) -> None:
    bench.figures["rsa_per_s"] = round(bench.rsa().per_second)


def part_import(bench: Bench) -> None:
    from delivery.services.recipient_files import read_recipients
    from delivery.services.recipients import import_recipients

    data = world.csv_file(10_000, "import.sink.test")
    group = world.new_group("import")
    begun = time.perf_counter()
    import_recipients(group, read_recipients(io.BytesIO(data), "bench.csv"))
    bench.figures["import_10000_s"] = round(time.perf_counter() - begun, 3)


def part_expand(bench: Bench) -> None:
    from delivery.models import Task, Waiting
    from delivery.services import tasks

    sender, template = world.sender(), world.template()
    group = world.filled_group("expand", 100_000, domains=50)
    task = world.task_without_queueing(sender, template, group)
    begun = time.perf_counter()
    made = tasks.expand(task.pk, now=timezone.now())
    bench.figures["expand_per_s"] = round(made / (time.perf_counter() - begun))
    Waiting.objects.all().delete()
    Task.objects.filter(pk=task.pk).update(status="stopped", ended_at=timezone.now())


def part_pages(bench: Bench) -> None:
    from django.test import Client

    from console import registry, roles
    from console.models import User

    call_command("collectstatic", verbosity=0, interactive=False)
    world.older_mail(100_000, days=6)
    user = User.objects.create_user("bench", password="bench-password", is_staff=True, is_superuser=True)
    roles.give(user, roles.ADMINISTRATOR)
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(user)
    worst = 0.0
    for name, url in page_urls(registry.pages()):
        if client.get(url).status_code == 200:
            worst = max(worst, measure(bench.figures, f"page_{name}_ms", lambda url=url: client.get(url)))
    bench.figures["page_ms"] = round(worst, 1)


def part_statistics(bench: Bench) -> None:
    from tests.bench import statistics as sums

    sums.run(bench.figures, measure)


def page_urls(pages: dict[str, Any]) -> list[tuple[str, str]]:
    """Every page that is only looked at, and the list of messages with its usual filters, by name."""
    from django.urls import NoReverseMatch, reverse

    from delivery.models import Message, RecipientGroup, SenderDomain, Task, Template

    shown = {"message": Message, "task": Task, "group": RecipientGroup, "template": Template, "domain": SenderDomain}
    found: list[tuple[str, str]] = []
    for name, page in pages.items():
        if page.public or "GET" not in page.methods:
            continue
        newest = shown[name].objects.order_by("-pk").values_list("pk", flat=True).first() if name in shown else None
        try:
            found.append((name, reverse(name, kwargs={"pk": newest} if newest else {})))
        except NoReverseMatch:
            continue  # a step of something that this world has none of
    for filters in (
        "status=invalid",
        "recipient=reader99999@d49.sink.test",
        "recipient=nobody",
        "label=bench",
        "page=500",
    ):
        found.append((f"messages?{filters}", f"{reverse('messages')}?{filters}"))
    return found


def measure(figures: Figures, name: str, call: Callable[[], Any], times: int = 11) -> float:
    call()
    taken = []
    for _n in range(times):
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1000)
    figures[name] = round(statistics.median(taken), 1)
    return float(figures[name])


# They share processes that run on from one to the next.
SENDING = (part_send, part_big, part_latency, part_domains, part_older)
NAMES = {"deliver": "worker"}
PARTS: dict[str, Callable[[Bench], None]] = {
    "rsa": part_rsa,
    "import": part_import,
    "expand": part_expand,
    "suppression": part_suppression,
    "send": part_send,
    "big": part_big,
    "latency": part_latency,
    "domains": part_domains,
    "older": part_older,
    "tracking": part_tracking,
    "pages": part_pages,
    "feedback": feedback.part_feedback,
    "profile": part_profile,
    "statistics": part_statistics,
    "returns": feedback.part_returns,
    "kills": feedback.part_kills,
    "lists": part_lists,
    "exports": part_exports,
    "workbook": part_workbook,
}
