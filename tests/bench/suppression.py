"""How fast a task is expanded beside lists of five million entries, and what asking them costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.utils import timezone

from tests.bench import world
from tests.bench.bench import Bench

ENTRIES = 5_000_000
RECIPIENTS = 100_000
ASKED = 5_000  # as many as a task's chunk


def part_suppression(bench: Bench) -> None:
    from console.models import ApiUser
    from delivery.models import Message, Task, Waiting
    from delivery.services import tasks
    from suppression.services import stopped

    fill()
    figures = bench.figures
    sender, template = world.sender(), world.template()
    group = world.filled_group("listed", RECIPIENTS, domains=50)
    user = ApiUser.console("batch").pk
    taken = []
    for round_ in range(10):
        keys = [f"reader{n}@d{n % 50}.sink.test" for n in range(round_ * ASKED, (round_ + 1) * ASKED)]
        begun = time.perf_counter()
        stopped(keys, api_user_id=user, now=timezone.now())
        taken.append((time.perf_counter() - begun) * 1000)
    figures["lists_entries"] = ENTRIES
    figures["lists_ask_5000_ms"] = round(statistics.median(taken), 1)
    task = world.task_without_queueing(sender, template, group)
    with asking_timed() as asking:
        begun = time.perf_counter()
        made = tasks.expand(task.pk, now=timezone.now())
        spent = time.perf_counter() - begun
    figures["lists_expand_per_s"] = round(made / spent)
    # Says more than the rate on a machine that others use as well.
    figures["lists_share_of_expand"] = round(sum(asking) / spent, 3)
    figures["lists_stopped"] = Message.objects.filter(task=task, status="invalid").count()
    time_pages(figures)
    Waiting.objects.all().delete()
    # The readers of other parts have the same addresses.
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE suppression_entry")
    Task.objects.filter(pk=task.pk).update(status="stopped", ended_at=timezone.now())


@contextmanager
def asking_timed() -> Iterator[list[float]]:
    """How long each asking of the lists takes, in seconds."""
    from suppression import services

    taken: list[float] = []
    ask = services.stopped

    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return ask(*args, **kwargs)
        finally:
            taken.append(time.perf_counter() - begun)

    services.stopped = timed  # type: ignore[assignment]
    try:
        yield taken
    finally:
        services.stopped = ask


PAGES = {
    "list": "bounced",
    "expired": "bounced?state=expired",
    "domain": "bounced?domain=d17.example",
    "address": "bounced?address=reader40@d40.sink.test",
    "prefix": "unsubscriptions?address=reader12",
    "all": "blocklist",
    "all_address": "blocklist?address=reader40@d40.sink.test",
    "all_nobody": "blocklist?address=nobody",
    "all_domain": "blocklist?domain=d17.example",
    "all_period": "blocklist?since=2026-01-01&until=2026-01-02",
}


def time_pages(figures: dict[str, Any]) -> None:
    """Milliseconds of each page at this size, the median of a few."""
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse

    from console.models import User

    call_command("collectstatic", verbosity=0, interactive=False)
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(User.objects.create_superuser("lists", password="bench-password"))
    for name, address in PAGES.items():
        page, _mark, query = address.partition("?")
        taken = []
        for _n in range(4):
            begun = time.perf_counter()
            answer = client.get(f"{reverse(page)}?{query}")
            taken.append((time.perf_counter() - begun) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(f"{address}: {answer.status_code}")
        figures[f"lists_page_{name}_ms"] = round(statistics.median(taken), 1)


def fill() -> None:
    """Entries on all four lists; one of 20 readers of the group is among them, half of those by an expired entry."""
    with connection.cursor() as cursor:
        # Indexes are sooner made of all rows at once.
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes "
            "WHERE tablename = 'suppression_entry' AND indexdef NOT LIKE 'CREATE UNIQUE%%'"
        )
        indexes = dict(cursor.fetchall())
        for name in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute(
            """
            INSERT INTO suppression_entry (list, key, api_user_id, created_at, latest_at, expires_at, reason, hits)
            SELECT (ARRAY['spam_report', 'block', 'bounce', 'unsubscription'])[1 + n %% 4],
                   CASE WHEN n <= %(readers)s / 20 THEN 'reader' || (n * 20) || '@d' || (n * 20 %% 50) || '.sink.test'
                        ELSE md5(n::text) || '@d' || (n %% 5000) || '.example' END,
                   NULL, now(), now(), now() + CASE n %% 8 WHEN 0 THEN NULL WHEN 1 THEN -1 ELSE n %% 8 - 4 END
                       * interval '1 day', '550 5.1.1 no such user', 1
            FROM generate_series(1, %(entries)s) n
            """,
            {"entries": ENTRIES, "readers": RECIPIENTS},
        )
        for definition in indexes.values():
            cursor.execute(definition)
        # What PostgreSQL would do beside the measuring otherwise.
        cursor.execute("VACUUM (ANALYZE) suppression_entry")
        cursor.execute("CHECKPOINT")
