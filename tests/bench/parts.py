"""The parts of the bench: each takes the world and adds figures by name."""

from __future__ import annotations

import io
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from tests.bench import world
from tests.bench.suppression import part_suppression
from tests.bench.tracking import part_tracking

Figures = dict[str, Any]


def run(wanted: list[str], *, messages: int) -> Figures:
    figures: Figures = {"cores": os.cpu_count() or 1}
    call_command("migrate", verbosity=0)
    call_command("schedules", verbosity=0)
    for name in wanted:
        say(f"— {name}")
        PARTS[name](figures, messages)
    return figures


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def rsa_rate(seconds: float = 3.0) -> float:
    """RSA 2048 signatures a second with all cores busy at once: the bound of everything that signs."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    stop = time.perf_counter() + seconds

    def work() -> int:
        done = 0
        while time.perf_counter() < stop:
            key.sign(b"x" * 64, padding.PKCS1v15(), hashes.SHA256())
            done += 1
        return done

    cores = os.cpu_count() or 1
    begun = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        done = sum(pool.map(lambda _n: work(), range(cores)))
    return done / (time.perf_counter() - begun)


def part_rsa(figures: Figures, messages: int) -> None:
    figures["rsa_per_s"] = round(rsa_rate())


def part_import(figures: Figures, messages: int) -> None:
    from delivery.services.recipient_files import read_recipients
    from delivery.services.recipients import import_recipients

    data = world.csv_file(10_000, "import.sink.test")
    group = world.new_group("import")
    begun = time.perf_counter()
    import_recipients(group, read_recipients(io.BytesIO(data), "bench.csv"))
    figures["import_10000_s"] = round(time.perf_counter() - begun, 3)


def part_expand(figures: Figures, messages: int) -> None:
    from delivery.models import Task, Waiting
    from delivery.services import tasks

    sender, template = world.sender(publish=False), world.template(world.BODY)
    group = world.filled_group("expand", 100_000, domains=50)
    task = world.task_without_queueing(sender, template, group)
    begun = time.perf_counter()
    made = tasks.expand(task.pk, now=timezone.now())
    figures["expand_per_s"] = round(made / (time.perf_counter() - begun))
    Waiting.objects.all().delete()
    Task.objects.filter(pk=task.pk).update(status="stopped", ended_at=timezone.now())


def part_send(figures: Figures, messages: int) -> None:
    from console.supervisor import Supervisor

    before = rsa_rate()
    supervisor = Supervisor(["simulator", "jobs", "deliver", "web"])
    call_command("collectstatic", verbosity=0, interactive=False)
    supervisor.start()
    watcher = threading.Thread(target=supervisor.run, daemon=True)
    watcher.start()
    try:
        sender, template = world.sender(publish=True), world.template(world.BODY)
        world.send_and_wait(sender, template, world.filled_group("warm", 500, domains=1))
        for name, domains in (("send", 1), ("send_50_domains", 50)):
            group = world.filled_group(name, messages, domains=domains)
            before_cpu = world.cpu_seconds(supervisor)
            seconds = world.send_and_wait(sender, template, group)
            figures[f"{name}_per_s"] = round(messages / seconds)
            for part, spent in world.cpu_seconds(supervisor).items():
                figures[f"{name}_{part}_cpu_ms"] = round(1000 * (spent - before_cpu.get(part, 0)) / messages, 3)
        peaks = world.peaks(supervisor)
    finally:
        supervisor.stop()
        watcher.join(5)
    after = rsa_rate()
    figures["rsa_per_s"] = round((before + after) / 2)
    for name in ("send", "send_50_domains"):
        figures[f"{name.replace('send', 'send_ratio')}"] = round(figures[f"{name}_per_s"] / figures["rsa_per_s"], 3)
    figures["worker_peak_mb"] = peaks.pop("deliver", 0)
    for name, megabytes in peaks.items():
        figures[f"{name}_peak_mb"] = megabytes


def part_pages(figures: Figures, messages: int) -> None:
    from django.test import Client

    from console import registry, roles
    from console.models import User

    call_command("collectstatic", verbosity=0, interactive=False)
    world.history(100_000)
    user = User.objects.create_user("bench", password="bench-password", is_staff=True, is_superuser=True)
    roles.give(user, roles.ADMINISTRATOR)
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(user)
    worst = 0.0
    for name, url in page_urls(registry.pages()):
        if client.get(url).status_code == 200:
            worst = max(worst, measure(figures, f"page_{name}_ms", lambda url=url: client.get(url)))
    figures["page_ms"] = round(worst, 1)


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


PARTS: dict[str, Callable[[Figures, int], None]] = {
    "rsa": part_rsa,
    "import": part_import,
    "expand": part_expand,
    "suppression": part_suppression,
    "send": part_send,
    "tracking": part_tracking,
    "pages": part_pages,
}
