"""Taking away what nobody needs any more: files whose time is over, files of no export, and what names a person."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from console.forgetting import Forgotten
from exports import storage
from exports.models import UNDER_WAY, Export, State

log = structlog.get_logger()

# Rows are deleted so long after their files, so that a link says that it has expired.
FORGET_AFTER = dt.timedelta(days=30)


def tidy(*, now: dt.datetime) -> int:
    """Delete files whose time is over, files of no export, and rows that are long past; give the number of files."""
    gone = 0
    for export in Export.objects.filter(state=State.DONE, expires_at__lte=now)[:1000]:
        try:
            storage.remove(export.file)
        except OSError as error:
            # The next run tries again; nobody gets it meanwhile, and the others go.
            log.warning("export_not_removed", export=export.pk, error=str(error))
            continue
        Export.objects.filter(pk=export.pk).update(state=State.EXPIRED, file="")
        gone += 1
    Export.objects.filter(requested_at__lt=now - FORGET_AFTER).exclude(state__in=[*UNDER_WAY, State.DONE]).delete()
    known = set(Export.objects.exclude(file="").values_list("file", flat=True))
    try:
        for name in storage.strays(known, now=now):
            storage.remove(name)
            gone += 1
    except OSError as error:
        log.warning("strays_not_removed", error=str(error))
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


def forget(address: str) -> Iterator[Forgotten]:
    """Nobody looks into finished files for a person: all of them go, and what is being made is begun anew. So does what
    was asked for about this person, whose address stands in its filters; who makes it just now stops."""
    # First: from here on none becomes a finished one.
    under_way = Export.objects.filter(state__in=UNDER_WAY).update(state=State.WAITING, claim=None, rows=0)
    yield Forgotten("Exports under way", under_way, "(begun anew)")
    files = Export.objects.filter(state=State.DONE)
    for export in files:
        # On commit: a dry run deletes nothing. One that can't be reached is a stray then, and goes as those do.
        transaction.on_commit(partial(storage.remove, export.file), robust=True)
    yield Forgotten("Offline data", files.update(state=State.EXPIRED, file=""), "(files deleted)")
    named = Q(filters__icontains=address.strip()) | Q(params__icontains=address.strip())
    yield Forgotten("Exports of this address", Export.objects.filter(named).delete()[0], "(deleted)")
