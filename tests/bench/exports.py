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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZipFile

if TYPE_CHECKING:
    from exports.models import Export
    from tests.bench.bench import Bench

ROUNDS, TURNS = 3, 2
# More than a sheet holds.
WORKBOOK_ROWS = 2_000_000


def part_exports(bench: Bench) -> None:
    """`--exported` messages of the last 30 days to CSV, and a tenth of them to CSV and .xlsx."""
    from exports.models import Format

    figures, made = bench.figures, 0
    for name, rows in (("few", max(1, bench.exported // 10)), ("many", bench.exported)):
        _messages(rows - made)
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
        figures[f"export_{name}_pressure"] = round(statistics.median(one["pressure"] for one in workers), 2)
        figures[f"export_{name}_worker_cpu_s"] = round(statistics.median(one["cpu"] for one in workers), 2)
        bench.say(f"  {figures}")
        if name == "few":
            _workbook(bench, "export_xlsx")
    _beside_sending(bench)


def part_workbook(bench: Bench) -> None:
    """A list that is longer than a sheet, as .xlsx."""
    _messages(WORKBOOK_ROWS)
    sheets = _workbook(bench, "workbook")
    bench.figures["workbook_sheets"] = ", ".join(f"{rows:,}" for rows in sheets)


def _messages(count: int) -> None:
    """So many more of the last 30 days, and some before."""
    from django.db import connection
    from django.utils import timezone

    from console import partitions
    from tracking import history

    now = timezone.now()
    # Of a month that has only begun there are 30 days in two.
    months = 1 if (now - partitions.month_start(now)).days >= 7 else 2
    history.make(count, months=months, now=now, force=True, tell=lambda _made: None)
    with connection.cursor() as cursor:
        # Or they run beside what is measured.
        cursor.execute("VACUUM (ANALYZE) delivery_message, delivery_attempt, tracking_event")
        cursor.execute("CHECKPOINT")


def _workbook(bench: Bench, name: str) -> list[int]:
    """Make one, and count the rows of its sheets."""
    from exports.models import Format

    sheets: list[int] = []
    worker = _made_by_worker(Format.XLSX, look=lambda file: sheets.extend(_rows_of_sheets(file)))
    if sum(sheets) != worker["rows"] + len(sheets):  # each has a head
        raise RuntimeError(f"{worker['rows']} rows, and in the file {sheets}")
    bench.figures[f"{name}_rows"] = worker["rows"]
    bench.figures[f"{name}_per_s"] = round(worker["rows"] / worker["seconds"])
    bench.figures[f"{name}_peak_mb"] = worker["peak_mb"]
    return sheets


def _rows_of_sheets(file: IO[bytes]) -> Iterator[int]:
    """Counted without a reader: one that holds two million rows takes more than this machine may have."""
    with ZipFile(file) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/"):
                count, rest = 0, b""
                with archive.open(name) as sheet:
                    while part := sheet.read(1 << 20):
                        count += (rest + part).count(b"<row ")
                        rest = part[-4:]
                yield count


def _asked(format: str, *, claimed: bool = True) -> Export:
    """An export that this process holds, so that no job takes it, unless told otherwise."""
    from django.http import QueryDict
    from django.utils import timezone

    from console.lists import lists
    from console.models import Account
    from console.window import Window
    from exports import making

    zone, now = Account.current().zone, timezone.now()
    params = QueryDict(mutable=True)
    params.update(Window.days(30, zone, now).params())
    export = making.ask(lists()["messages"].resolve(params, zone, now), format, by=None)  # type: ignore[arg-type]
    return making.claim(export) if claimed else export


def _worker(export: Export) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.exports", str(export.pk)], stdout=subprocess.PIPE, text=True
    )


def _made_by_worker(format: str, look: Callable[[IO[bytes]], None] | None = None) -> dict[str, Any]:
    from exports import storage
    from exports.models import State

    export = _asked(format)
    said, _nothing = _worker(export).communicate(timeout=3600)
    export.refresh_from_db()
    if export.state != State.DONE:
        raise RuntimeError(f"{export.state}: {export.problem}")
    if look is not None:
        with storage.store().open(export.file) as file:
            look(file)
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
    """Mails a second without, and with an export that the installation's own worker makes all the time; by turns."""
    from tests.bench import world

    installation, sender, template = bench.installation, world.sender(), world.template()
    installation.send(world.filled_group("warm", 500, domains=1), sender=sender, template=template)
    speeds: dict[str, list[float]] = {"alone": [], "beside": []}
    moved = []
    for turn in range(TURNS):
        for how, found in speeds.items():
            group = world.filled_group(f"{how}-{turn}", bench.messages, domains=1)
            with _exporting() if how == "beside" else nullcontext([]) as rows:
                sent = installation.send(group, sender=sender, template=template)
            found.append(sent.per_second)
            moved += [count / sent.seconds for count in rows]
    for how, found in speeds.items():
        bench.figures[f"export_send_{how}_per_s"] = round(statistics.mean(found))
    ratios = [beside / alone for alone, beside in zip(speeds["alone"], speeds["beside"], strict=True)]
    bench.figures["export_send_ratio"] = round(statistics.mean(ratios), 2)
    bench.figures["export_send_ratios"] = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    bench.figures["export_beside_rows_per_s"] = round(statistics.mean(moved))


@contextmanager
def _exporting() -> Iterator[list[int]]:
    """One export after the other is made; at the end the rows that were written stand in what this gives."""
    from django.db import connection

    from exports import jobs, making, storage
    from exports.models import UNDER_WAY, Export, Format

    rows: list[int] = []
    end, first = threading.Event(), Export.objects.count() and Export.objects.latest("id").pk

    def keep_asking() -> None:
        while not end.wait(0.2):
            if not Export.objects.filter(state__in=UNDER_WAY).exists():
                _asked(Format.CSV, claimed=False)
                jobs.ask()
        connection.close()

    asking = threading.Thread(target=keep_asking)
    asking.start()
    while not Export.objects.filter(pk__gt=first, rows__gt=0).exists():
        end.wait(0.1)
    try:
        yield rows
    finally:
        end.set()
        asking.join()
        made = Export.objects.filter(pk__gt=first)
        rows.append(sum(made.values_list("rows", flat=True)))
        for export in made:
            making.cancel(export)
            storage.remove(export.file)


def _make(number: int) -> None:
    import time

    import django

    django.setup()
    from console.lists import lists
    from exports import making, pace
    from exports.models import Export
    from tests.bench.installation import peak

    # A worker that has made one before: all pages are loaded.
    lists()
    export = Export.objects.get(pk=number)
    begun, cpu, waited = time.perf_counter(), time.process_time(), pace.waited() or 0
    making.make(export)
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - begun,
                "cpu": time.process_time() - cpu,
                # Exports rest where others are at work: then the ratios say nothing.
                "pressure": ((pace.waited() or 0) - waited) / (time.perf_counter() - begun),
                "peak_mb": peak(os.getpid()),
            }
        )
    )


if __name__ == "__main__":
    _make(int(sys.argv[1]))
