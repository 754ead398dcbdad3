"""Exports in a worker process of their own, beside `psql \\copy` of the same statement in the same run; and sending
beside an export.

As a module it is that process: it makes the export whose number it is given.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exports.models import Export
    from tests.bench.bench import Bench

ROUNDS = 3


def part_exports(bench: Bench) -> None:
    """`--exported` messages of the last 30 days to CSV, a tenth of them as well, and some to .xlsx."""
    from django.utils import timezone

    from console import partitions
    from delivery.models import Message
    from exports.models import Format
    from tracking import history

    now, figures = timezone.now(), bench.figures
    # Of a month that has only begun there are 30 days in two.
    months = 1 if (now - partitions.month_start(now)).days >= 7 else 2
    few = max(1, bench.exported // 10)
    made = 0
    for name, rows in (("few", few), ("many", bench.exported)):
        history.make(rows - made, months=months, now=now, force=True, tell=lambda _made: None)
        made = rows
        found = [(_made_by_worker(Format.CSV), _copied()) for _round in range(ROUNDS)]
        workers, plain = [worker for worker, _seconds in found], [seconds for _worker, seconds in found]
        figures[f"export_{name}_rows"] = workers[0]["rows"]
        figures[f"export_{name}_csv_s"] = round(statistics.median(one["seconds"] for one in workers), 2)
        figures[f"export_{name}_psql_copy_s"] = round(statistics.median(plain), 2)
        figures[f"export_{name}_ratio"] = round(
            statistics.median(one["seconds"] / seconds for one, seconds in zip(workers, plain, strict=True)), 2
        )
        figures[f"export_{name}_peak_mb"] = max(one["peak_mb"] for one in workers)
        figures[f"export_{name}_worker_cpu_s"] = round(statistics.median(one["cpu"] for one in workers), 2)
        bench.say(f"  {figures}")
    worker = _made_by_worker(Format.XLSX)
    figures["export_xlsx_per_s"] = round(worker["rows"] / worker["seconds"])
    figures["export_xlsx_peak_mb"] = worker["peak_mb"]
    figures["export_messages"] = Message.objects.count()
    _beside_sending(bench)


def _asked(format: str) -> Export:
    """An export that this process holds, so that no job takes it."""
    from django.http import QueryDict
    from django.utils import timezone

    from console.lists import lists
    from console.models import Account
    from console.window import Window
    from exports import making

    zone, now = Account.current().zone, timezone.now()
    params = QueryDict(mutable=True)
    params.update(Window.days(30, zone, now).params())
    return making.claim(making.ask(lists()["messages"].resolve(params, zone, now), format, by=None))  # type: ignore[arg-type]


def _worker(export: Export) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.exports", str(export.pk)], stdout=subprocess.PIPE, text=True
    )


def _made_by_worker(format: str) -> dict[str, Any]:
    from exports import storage
    from exports.models import State

    export = _asked(format)
    said, _nothing = _worker(export).communicate(timeout=3600)
    export.refresh_from_db()
    if export.state != State.DONE:
        raise RuntimeError(f"{export.state}: {export.problem}")
    storage.remove(export.file)
    return {**json.loads(said), "rows": export.rows}


def _copied() -> float:
    """Seconds of psql for the same rows."""
    import time

    import psycopg
    from django.db import connection

    from console import database
    from console.exporting import content
    from exports import making
    from exports.models import Format

    export = _asked(Format.CSV)
    sql, values = content(making.listing_of(export)).sql()
    making.cancel(export)
    text = " ".join(psycopg.ClientCursor(connection.connection).mogrify(sql, values).split())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.csv"
        begun = time.perf_counter()
        copy = f"\\copy ({text}) TO '{path}' WITH (FORMAT csv, HEADER)"
        server = ["-h", database.socket_directory(), "-U", "postgres", "-d", database.DATABASE]
        subprocess.run([database.binaries() / "psql", "-X", "-q", *server, "-c", copy], check=True)
        return time.perf_counter() - begun


def _beside_sending(bench: Bench) -> None:
    """Mails a second without, and with an export that runs all the time."""
    from django.db import connection

    from exports.models import Format
    from tests.bench import world

    installation, end = bench.installation, threading.Event()
    sender, template = world.sender(), world.template()
    installation.send(world.filled_group("warm", 500, domains=1), sender=sender, template=template)
    alone = installation.send(world.filled_group("alone", bench.messages, domains=1), sender=sender, template=template)
    group = world.filled_group("beside", bench.messages, domains=1)

    def export() -> None:
        try:
            while not end.is_set():
                _made_by_worker(Format.CSV)
        finally:
            connection.close()

    exporting = threading.Thread(target=export)
    exporting.start()
    try:
        beside = installation.send(group, sender=sender, template=template)
    finally:
        end.set()
        exporting.join()
    bench.figures["export_send_alone_per_s"] = round(alone.per_second)
    bench.figures["export_send_beside_per_s"] = round(beside.per_second)
    bench.figures["export_send_ratio"] = round(beside.per_second / alone.per_second, 2)


def _make(number: int) -> None:
    import time

    import django

    django.setup()
    from console.lists import lists
    from exports import making
    from exports.models import Export
    from tests.bench.installation import peak

    # A worker that has made one before: all pages are loaded.
    lists()
    export = Export.objects.get(pk=number)
    begun, cpu = time.perf_counter(), time.process_time()
    making.make(export)
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - begun,
                "cpu": time.process_time() - cpu,
                "peak_mb": peak(os.getpid()),
            }
        )
    )


if __name__ == "__main__":
    _make(int(sys.argv[1]))
