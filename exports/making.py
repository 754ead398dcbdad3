"""Making an export: claimed by a lease, written aside, moved into place when it is whole.

Killed half way it is begun anew by another worker, three times at most; what is half done is never seen.
"""

from __future__ import annotations

import csv
import datetime as dt
import errno
import io
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from console.exporting import Content, content
from console.forgetting import Forgotten
from console.lists import Listing, lists
from console.models import Account
from exports import storage, writers
from exports.models import KEPT_DAYS, UNDER_WAY, Export, Format, State

log = structlog.get_logger()

LEASE = dt.timedelta(seconds=60)
TELL_SECONDS = 1.0
MOST_TRIES = 3
# Rows are deleted so long after their files, so that a link says that it has expired.
FORGET_AFTER = dt.timedelta(days=30)
DATABASE_BACK_SECONDS = 60.0


class Stopped(Exception):
    """Somebody cancelled it, or took it over."""


class Unable(Exception):
    """It can't be made; the text says why."""


def ask(listing: Listing, format: Format, *, by: int | None) -> Export:
    """Write down what is wanted, as the list stands now. The caller has checked the permission."""
    params = listing.resolved()
    if listing.sort:
        params["sort"] = [listing.sort]
    return Export.objects.create(
        page=listing.page.name,
        params=params,
        zone=Account.current().time_zone,
        filters="; ".join(f"{chip.label}: {chip.text}" for chip in listing.chips())[:1000],
        format=format,
        expected=listing.total.count,
        requested_by_id=by,
        requested_at=timezone.now(),
    )


def again(export: Export, *, by: int | None) -> Export:
    """The same once more, over what there is now."""
    return Export.objects.create(
        page=export.page,
        params=export.params,
        zone=export.zone,
        filters=export.filters,
        format=export.format,
        expected=export.expected,
        requested_by_id=by,
        requested_at=timezone.now(),
    )


def cancel(export: Export) -> bool:
    """Who makes it notices within a second or so."""
    changed = Export.objects.filter(pk=export.pk, state__in=UNDER_WAY)
    return bool(changed.update(state=State.CANCELLED, ended_at=timezone.now(), claim=None))


def claimable(now: dt.datetime) -> Q:
    return Q(state=State.WAITING) | Q(state=State.RUNNING, claimed_until__lt=now)


def make_next() -> bool:
    """Make the export that waits longest. False when there is none to be made."""
    now = timezone.now()
    with transaction.atomic():
        export = (
            Export.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(claimable(now))
            .order_by("id")
            .first()
        )
        if export is None:
            return False
        if export.tries >= MOST_TRIES:
            export.state, export.ended_at, export.claim = State.FAILED, now, None
            export.problem = _("It was begun %s times, and each time its worker ended half way.") % export.tries
            export.save()
            return True
        claim(export)
    make(export)
    return True


def claim(export: Export) -> Export:
    """Ours for as long as the lease says."""
    now = timezone.now()
    export.state, export.claim = State.RUNNING, secrets.randbits(62) + 1
    export.claimed_until, export.started_at = now + LEASE, export.started_at or now
    export.tries += 1
    export.rows = 0
    export.save()
    return export


def make(export: Export) -> None:
    """Make a claimed export, to whatever end."""
    folder = Path(settings.EXPORTS_WORK_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{export.pk}-", dir=folder) as aside:
        path = Path(aside) / f"export.{export.format}"
        try:
            # Until it lies in its place: a bucket may be slower than the database.
            with Progress(export, path) as progress:
                _deliver(export, path, _write(export, path, progress.tell))
        except Stopped:
            log.info("export_stopped", export=export.pk)
        except Unable as error:
            _fail(export, str(error))
        except DatabaseError as error:
            log.warning("export_interrupted", export=export.pk, error=str(error).strip())
            _put_back(export)
        except OSError as error:
            log.warning("export_failed", export=export.pk, error=str(error))
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            _fail(
                export,
                _("There is no room left on the disk. Make room, then run it again.")
                if full
                else _("The file could not be written: %s.") % error,
            )
        except Exception:
            log.exception("export_failed", export=export.pk)
            _fail(export, _("Something went wrong that nobody foresaw; the log says what (export %s).") % export.pk)


def _write(export: Export, path: Path, tell: writers.Tell) -> int:
    made = content(listing_of(export))
    # One statement, one snapshot: what changes meanwhile is not in it half.
    if export.format == Format.CSV:
        return writers.write_csv(path, made.heads, _lines(made), tell)
    return writers.write_xlsx(path, made.heads, made.kinds, _rows(made), tell)


def listing_of(export: Export) -> Listing:
    """The list with the parameters as they were. Raises Unable."""
    page = lists().get(export.page)
    if page is None:
        raise Unable(_("This list is no longer there."))
    user = export.requested_by
    if user is not None and not (user.is_active and user.has_perm(page.permission)):
        raise Unable(_("Whoever asked for it may not see this list any more."))
    params = QueryDict(mutable=True)
    for name, values in export.params.items():
        params.setlist(name, values)
    listing = page.resolve(params, ZoneInfo(export.zone), timezone.now())
    if not listing.valid:
        raise Unable(_("Its filters are not understood any more: ask for it anew from the list."))
    return listing


def _lines(made: Content) -> Iterator[bytes | memoryview]:
    if made.query is None:
        yield from map(writers.csv_line, made.rows())
        return
    sql, params = made.sql()
    # Django does not translate what COPY raises. A message of COPY is a row.
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv)", params) as copy,
    ):
        yield from copy


def _rows(made: Content) -> Iterator[list[str]]:
    if made.query is None:
        yield from made.rows()
        return
    for line in _lines(made):
        # COPY's quoting is that of the csv module; a cell may hold line breaks.
        yield next(csv.reader(io.StringIO(bytes(line).decode(), newline="")))


class Progress:
    """Tells how far an export is, and whether it is still wanted, in a thread with a connection of its own: the
    export's is busy with COPY."""

    def __init__(self, export: Export, path: Path) -> None:
        self._export, self._path = export, path
        self._rows, self._size, self._stopped = 0, 0, False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def tell(self, rows: int) -> None:
        """Raises Stopped when it was cancelled or taken over."""
        self._rows = rows
        if self._stopped:
            raise Stopped

    def _run(self) -> None:
        try:
            while not self._end.wait(TELL_SECONDS):
                try:
                    with suppress(FileNotFoundError):  # not begun yet, or moved to its place
                        self._size = self._path.stat().st_size
                    until = timezone.now() + LEASE
                    held = mine(self._export).update(rows=self._rows, size=self._size, claimed_until=until)
                    self._stopped = not held
                except DatabaseError:
                    # Its own statement will say the same.
                    connection.close()
        finally:
            connection.close()


def mine(export: Export) -> QuerySet[Export]:
    """The export's row as long as it is this worker's."""
    return Export.objects.filter(pk=export.pk, state=State.RUNNING, claim=export.claim)


def _deliver(export: Export, path: Path, rows: int) -> None:
    size = path.stat().st_size
    name = storage.put(path, export.format)
    now = timezone.now()
    done = mine(export).update(
        state=State.DONE,
        rows=rows,
        size=size,
        file=name,
        problem="",
        ended_at=now,
        expires_at=now + dt.timedelta(days=KEPT_DAYS),
        claim=None,
    )
    if not done:
        storage.remove(name)
        raise Stopped
    log.info("export_done", export=export.pk, page=export.page, rows=rows, bytes=size)


def _fail(export: Export, why: str) -> None:
    mine(export).update(state=State.FAILED, problem=why[:500], ended_at=timezone.now(), claim=None)


def _put_back(export: Export) -> None:
    """The database went away: as soon as it is back, whoever comes first begins anew."""
    give_up = time.monotonic() + DATABASE_BACK_SECONDS
    while True:
        connection.close()
        try:
            mine(export).update(state=State.WAITING, claim=None, rows=0)
        except DatabaseError:
            if time.monotonic() > give_up:
                # The lease runs out, and then it is begun anew all the same.
                return
            time.sleep(1)
        else:
            return


def forget(address: str) -> Iterator[Forgotten]:
    """Nobody looks into finished files for a person: all of them go. So does what was asked for about this person,
    whose address stands in its filters; who makes it just now stops."""
    files = Export.objects.filter(state=State.DONE)
    for export in files:
        # On commit: a dry run deletes nothing.
        transaction.on_commit(partial(storage.remove, export.file))
    yield Forgotten("Offline data", files.update(state=State.EXPIRED, file=""), "(files deleted)")
    named = Q(filters__icontains=address.strip()) | Q(params__icontains=address.strip())
    yield Forgotten("Exports of this address", Export.objects.filter(named).delete()[0], "(deleted)")


def tidy(*, now: dt.datetime) -> int:
    """Delete files whose time is over, files of no export, and rows that are long past; give the number of files."""
    gone = 0
    for export in Export.objects.filter(state=State.DONE, expires_at__lte=now)[:1000]:
        storage.remove(export.file)
        Export.objects.filter(pk=export.pk).update(state=State.EXPIRED, file="")
        gone += 1
    Export.objects.filter(requested_at__lt=now - FORGET_AFTER).exclude(state__in=[*UNDER_WAY, State.DONE]).delete()
    known = set(Export.objects.exclude(file="").values_list("file", flat=True))
    for name in storage.strays(known, now=now):
        storage.remove(name)
        gone += 1
    _sweep(now)
    return gone


def _sweep(now: dt.datetime) -> None:
    """What killed workers left half done."""
    folder = Path(settings.EXPORTS_WORK_DIR)
    for path in folder.iterdir() if folder.is_dir() else ():
        # By its files: a folder does not change when they grow. Whoever has just ended takes them away meanwhile.
        with suppress(FileNotFoundError):
            touched = max(one.stat().st_mtime for one in (path, *path.glob("*")))
            if now.timestamp() - touched > storage.STRAY_AFTER.total_seconds():
                shutil.rmtree(path, ignore_errors=True)
