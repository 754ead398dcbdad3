"""`manage.py import_recipients GROUP FILE`: a file of any size into a group, with progress."""

from __future__ import annotations

import shutil
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.utils.translation import gettext as _

from delivery.management.shared import bar, named
from delivery.models import GroupImport, RecipientGroup
from delivery.services.recipient_files import ENCODING_NAMES, RecipientFileError, read_recipients
from delivery.services.recipients import import_recipients

SHOWN = 20  # malformed rows that are printed


class Command(BaseCommand):
    help = (
        "Import a CSV file or an Excel workbook (.xlsx) of recipients into a group, without a limit on rows. "
        "The first row names the columns, the first column is the address."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("group", help="name or id of the recipient group")
        parser.add_argument("file", help="the file, or - for standard input")
        parser.add_argument("--encoding", help=f"one of {', '.join(ENCODING_NAMES)}; default: detected")
        parser.add_argument("--create", action="store_true", help="make the group when there is none of that name")

    def handle(self, *args: Any, group: str, file: str, encoding: str | None, create: bool, **options: Any) -> None:
        try:
            with _opened(file) as stream:
                self._import(group, stream, "stdin" if file == "-" else Path(file).name, encoding, create)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror or error}") from None

    def _import(self, name: str, stream: BinaryIO, filename: str, encoding: str | None, create: bool) -> None:
        shown = _Progress(self.stderr)
        try:
            # The header first: a bad file leaves no empty group behind.
            source = read_recipients(stream, filename, encoding=encoding, limit=None)
            group = _group(name, create)
            record = import_recipients(group, source, made_by="import_recipients", commit_chunks=True, progress=shown)
        except RecipientFileError as error:
            raise CommandError(shown.interrupted(error.message)) from None
        except RecipientGroup.DoesNotExist:
            raise CommandError(shown.interrupted(_("The group was deleted meanwhile."))) from None
        except KeyboardInterrupt:
            raise CommandError(shown.interrupted(_("Interrupted. Run it again to go on.")), returncode=130) from None
        shown.end()
        self._report(group, record, shown)

    def _report(self, group: RecipientGroup, record: GroupImport, shown: _Progress) -> None:
        self.stdout.write(
            f"{group.name}: {record.total:,} rows in {shown.seconds:.1f} s ({shown.rate:,.0f} rows/s); "
            f"valid {record.valid:,}, repeated {record.repeated:,}, malformed {record.malformed:,}. "
            f"The group has {group.size:,} recipients."
        )
        for line, value, reason in record.errors[:SHOWN]:
            self.stdout.write(f"  line {line}: {value!r}: {reason}")
        if record.malformed > SHOWN:
            self.stdout.write(f"  … and {record.malformed - SHOWN:,} more; the group's page lists them.")


def _group(name: str, create: bool) -> RecipientGroup:
    found = named(RecipientGroup.objects.all(), name)
    if found is None and create:
        found = RecipientGroup.objects.create(name=name)
    if found is None:
        raise CommandError(f"There is no recipient group “{name}”. Add --create to make it.")
    return found


def _opened(file: str) -> BinaryIO:
    if file != "-":
        return Path(file).open("rb")
    # The file is read twice, first to find its encoding.
    spooled = tempfile.TemporaryFile()
    shutil.copyfileobj(sys.stdin.buffer, spooled)
    return spooled


class _Progress:
    """A bar that moves on a terminal, a line now and then elsewhere."""

    def __init__(self, out: OutputWrapper) -> None:
        self.out = out
        self.started = self.written = monotonic()
        self.rows = 0
        self.live = out.isatty()

    def __call__(self, rows: int, read: int, size: int) -> None:  # written with str as style: stderr is red
        self.rows = rows
        now = monotonic()
        if now - self.written < (0.1 if self.live else 10):
            return
        self.written = now
        text = f"{bar(min(1.0, read / size))}  {rows:,} rows  {self.rate:,.0f} rows/s"
        self.out.write(f"\r{text}" if self.live else text, str, "" if self.live else "\n")
        self.out.flush()

    @property
    def seconds(self) -> float:
        return monotonic() - self.started

    @property
    def rate(self) -> float:
        return self.rows / max(self.seconds, 1e-3)

    def end(self) -> None:
        if self.live:
            self.out.write("\r\x1b[K", str, "")

    def interrupted(self, why: str) -> str:
        self.end()
        return f"{why} {self.rows:,} rows were stored before." if self.rows else why
