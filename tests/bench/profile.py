"""Where the time goes: one engine in this process, its stages timed by the processor time of their threads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from django.db import connection
from django.utils import timezone

from delivery.engine import claim, compose, dkim, journal, run, session, settle, settler, store, wire
from delivery.services import going_on, tasks
from tests.bench import world
from tests.bench.bench import Bench

# (what owns the function, its name, what it is called here); an indent says: part of the one above.
STAGES: tuple[tuple[Any, str, str], ...] = (
    (store.Store, "ready", "mail"),
    (compose.Composer, "compose", "  compose"),
    (dkim.Signer, "sign", "  sign"),
    (dkim.Signer, "_rsa", "    RSA"),
    (run.Engine, "_answered", "verdict"),
    (journal.Journal, "append", "  journal"),
    (session.Connection, "_prepare", "MAIL and RCPT"),
    (wire.Wire, "write", "write to the socket"),
    (wire.Wire, "data_received", "read replies"),
    (run.Engine, "_take", "claiming"),
    (claim, "claim", "  claim"),
    (store.Store, "load", "  load"),
    (going_on, "over_quota", "  quota"),
    (settler, "settle", "settle"),
    (settle, "_end_waiting", "  waiting rows"),
    (settle, "_update_messages", "  messages"),
    (settle, "_write_attempts", "  attempts"),
)


def part_profile(bench: Bench) -> None:
    count = min(bench.messages, 10_000)
    task = world.task_without_queueing(
        world.sender(), world.template(), world.filled_group("profile", count, domains=1)
    )
    tasks.expand(task.pk, now=timezone.now())
    connection.close()
    bench.installation.outside()
    with _timed() as spent:
        begun, all_threads, loop = time.perf_counter(), time.process_time(), time.thread_time()
        report = run.deliver(seconds=60, idle_seconds=0.3)
        wall, all_threads, loop = (
            time.perf_counter() - begun,
            time.process_time() - all_threads,
            time.thread_time() - loop,
        )
    if report.settled != count:
        raise RuntimeError(f"{report.settled} of {count} settled")
    bench.say(f"One engine: {count / wall:,.0f}/s, {1000 * all_threads / count:.3f} ms of processor time a message:")
    in_loop = sum(seconds for name, seconds in spent.items() if name in _IN_LOOP)
    in_threads = spent["claiming"] + spent["settle"]
    rows = [(name, spent[name]) for *_owner, name in STAGES]
    rows.append(("loop and SMTP", loop - in_loop))
    rows.append(("other threads", all_threads - loop - in_threads))
    for name, seconds in rows:
        microseconds = 1e6 * seconds / count
        bench.say(f"  {name:<32}{microseconds:>8.1f} µs {100 * seconds / all_threads:>5.1f} %")
        bench.figures[f"profile_{name.strip().replace(' ', '_').lower()}_us"] = round(microseconds, 1)
    bench.figures["profile_engine_cpu_ms"] = round(1000 * all_threads / count, 3)


_IN_LOOP = {name for _owner, _function, name in STAGES[:9] if not name.startswith(" ")}


@contextmanager
def _timed() -> Iterator[Counter[str]]:
    """Counts the seconds of each stage, for as long as it lasts."""
    spent: Counter[str] = Counter()
    with ExitStack() as stack:
        for owner, function, name in STAGES:
            stack.enter_context(patch.object(owner, function, _timing(getattr(owner, function), name, spent)))
        yield spent


def _timing(function: Callable[..., Any], name: str, spent: Counter[str]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] += time.thread_time() - begun

    return timed
