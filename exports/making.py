"""Making an export: claimed by a lease, written aside, moved into place when it is whole.

Killed half way it is begun anew by another worker, three times at most; what is half done is never seen.
"""

from __future__ import annotations

import csv
import datetime as dt
import errno
import secrets
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.exceptions import TimeoutException

from console.exporting import Content, content
from console.lists import Listing, lists
from console.models import Account
from exports import storage
from exports.models import KEPT_DAYS, UNDER_WAY, Export, Format, State
from exports.progress import LEASE, Progress, Stopped, mine

log = structlog.get_logger()

MOST_TRIES = 3
DATABASE_BACK_SECONDS = 60.0
# What the server says when it goes away, has no room for us, or has us begin anew (PostgreSQL, appendix A).
_TEMPORARY = ("08", "40", "53300", "57P01", "57P02", "57P03", "57P05")
_DISK_FULL = "53100"
# So many of one person wait or are made at a time: the disk is everybody's.
MOST_AT_ONCE = 20


class Unable(Exception):
    """It can't be made; the text says why."""


def has_enough(by: int | None) -> bool:
    """Whether this person has as many under way as one may."""
    return Export.objects.filter(requested_by=by, state__in=UNDER_WAY).count() >= MOST_AT_ONCE


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
            export.problem = _begun_in_vain(export)
            export.save()
            return True
        claim(export)
    make(export)
    return True


def _begun_in_vain(export: Export) -> str:
    if export.problem:
        return _("It was begun %(times)s times. The last time: %(why)s") % {
            "times": export.tries,
            "why": export.problem,
        }
    return _("It was begun %s times, and each time its worker ended half way.") % export.tries


def claim(export: Export) -> Export:
    """Ours for as long as the lease says."""
    now = timezone.now()
    export.state, export.claim = State.RUNNING, secrets.randbits(62) + 1
    export.claimed_until, export.started_at = now + LEASE, export.started_at or now
    export.tries += 1
    export.rows, export.problem = 0, ""
    export.save()
    return export


def make(export: Export) -> None:
    """Make a claimed export, to whatever end."""
    try:
        folder = Path(settings.EXPORTS_WORK_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{export.pk}-", dir=folder, ignore_cleanup_errors=True) as aside:
            path = Path(aside) / f"export.{export.format}"
            # Until it lies in its place: a bucket may be slower than the database.
            with Progress(export, path) as progress:
                _deliver(export, path, _write(export, path, progress))
    except Stopped:
        log.info("export_stopped", export=export.pk)
    except Unable as error:
        _fail(export, str(error))
    except TimeoutException:
        # It would take as long the next time.
        _fail(export, _("It took longer than an export may. Ask for fewer rows, or for CSV, which is made faster."))
        raise
    except DatabaseError as error:
        log.warning("export_interrupted", export=export.pk, error=str(error).strip())
        if _is_temporary(error):
            _put_back(export, _("The connection to the database was lost (%s).") % _said(error))
        else:
            _fail(export, _words(error))
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


def _is_temporary(error: DatabaseError) -> bool:
    """Whether the same statement may well succeed on another connection."""
    state = _sqlstate(error)
    lost = isinstance(error, OperationalError | InterfaceError) and not state
    return lost or state.startswith(_TEMPORARY)


def _sqlstate(error: DatabaseError) -> str:
    """ "" where the server said nothing, as when it is gone."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def _words(error: DatabaseError) -> str:
    if _sqlstate(error) == _DISK_FULL:
        return _("There is no room left on the disk of the database. Make room, then run it again.")
    return _("The database refused: %s. Ask for it with other filters.") % _said(error)


def _said(error: DatabaseError) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def _write(export: Export, path: Path, progress: Progress) -> int:
    # Not above: openpyxl would take a seventh of the start of every process, and one of them makes files.
    from exports import writers

    made = content(listing_of(export))
    # Closed before anything else is asked of the connection: a COPY that was begun holds it. One statement, one
    # snapshot: what changes meanwhile is not in it half.
    if export.format == Format.CSV:
        with closing(_lines(made, progress)) as lines:
            return writers.write_csv(path, made.heads, lines, progress.tell)
    with closing(_rows(made, progress)) as rows:
        return writers.write_xlsx(path, made.heads, made.kinds, rows, progress.tell)


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


def _lines(made: Content, progress: Progress) -> Generator[bytes | memoryview]:
    from exports import writers

    if made.query is None:
        yield from map(writers.csv_line, _rows(made, progress))
        return
    sql, params = made.sql()
    # Django does not translate what COPY raises. A message of COPY is a row.
    with (
        progress.reading(),
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv)", params) as copy,
    ):
        yield from copy


def _rows(made: Content, progress: Progress) -> Generator[list[str]]:
    if made.query is None:
        with progress.reading():
            yield from made.rows()
        return
    # COPY's quoting is that of the csv module; a cell may hold line breaks, and be longer than that one likes.
    csv.field_size_limit(sys.maxsize)
    with closing(_lines(made, progress)) as lines:
        yield from csv.reader(str(line, "utf-8") for line in lines)


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


def _put_back(export: Export, why: str) -> None:
    """The database went away: as soon as it is back, whoever comes first begins anew."""
    give_up = time.monotonic() + DATABASE_BACK_SECONDS
    while True:
        connection.close()
        try:
            mine(export).update(state=State.WAITING, claim=None, rows=0, problem=why[:400])
        except DatabaseError:
            if time.monotonic() > give_up:
                # The lease runs out, and then it is begun anew all the same.
                return
            time.sleep(1)
        else:
            return
