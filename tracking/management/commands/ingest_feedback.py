"""`manage.py ingest_feedback`: take in mail that came back by another way than the listener: behind any MTA."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.utils import timezone

from tracking.feedback import store
from tracking.feedback.envelope import envelope_of
from tracking.feedback.store import KEPT_BYTES, Mail

AT_ONCE = 100
# <sysexits.h>: an MTA that pipes a mail to us keeps it and tries again.
EX_NOINPUT, EX_TEMPFAIL = 66, 75
CHUNK = 2**20


class Command(BaseCommand):
    help = (
        "Store mails that came back, to be processed by the jobs: one from standard input, each of the files, or a "
        "Maildir's new ones. Ends with 0 only when all are stored; 75: the database is away, try again; 66: a file "
        "could not be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="*", metavar="FILE", help="one mail each; none, or -: standard input")
        parser.add_argument("--maildir", type=Path, metavar="DIR", help="take DIR/new, and move it to DIR/cur")
        parser.add_argument("--to", default="", help="the address that it was sent to; else the mail's head tells")
        parser.add_argument("--from", dest="sender", default=None, help="the envelope sender, if known; '' of bounces")

    def handle(
        self, *args: Any, files: list[str], maildir: Path | None, to: str, sender: str | None, **options: Any
    ) -> None:
        if maildir is not None and not (maildir / "new").is_dir():
            raise CommandError(f"{maildir} is no Maildir: it has no directory “new”.", returncode=EX_NOINPUT)
        self.unread = self.stored = self.known = 0
        # Where MTAs put the address that a mail was delivered to, for the programs that they pipe it to.
        given = [to, os.environ.get("ORIGINAL_RECIPIENT", ""), os.environ.get("RECIPIENT", "")]
        try:
            if maildir is not None:
                self.take_maildir(maildir, given, sender)
            elif files:
                self.take(((self.open(name), None) for name in files), given, sender)
            else:
                self.take([(sys.stdin.buffer, None)], given, sender)
        except DatabaseError as error:
            raise CommandError(f"Not stored, try again later: {error}", returncode=EX_TEMPFAIL) from error
        self.stdout.write(f"{self.stored} stored, {self.known} known before.")
        if self.unread:
            raise CommandError(f"{self.unread} not read.", returncode=EX_NOINPUT)

    def take_maildir(self, maildir: Path, given: list[str], sender: str | None) -> None:
        """In the order in which they came; what comes meanwhile is left for the next time."""
        (maildir / "cur").mkdir(exist_ok=True)
        names = sorted(path for path in (maildir / "new").iterdir() if not path.name.startswith("."))
        self.take(((self.open(str(path)), path) for path in names), given, sender)

    def take(self, sources: Any, given: list[str], sender: str | None) -> None:
        """Store in batches; what lies in a Maildir is moved once it is stored, and not before."""
        mails = self.read(sources, given, sender)
        while batch := list(islice(mails, AT_ONCE)):
            new = store.keep([mail for mail, _path in batch], now=timezone.now())
            self.stored += new
            self.known += len(batch) - new
            for _mail, path in batch:
                if path is not None:
                    # “S”: seen. Taken twice, it would be known.
                    path.rename(path.parent.parent / "cur" / f"{path.name.partition(':')[0]}:2,S")

    def read(self, sources: Any, given: list[str], sender: str | None) -> Iterator[tuple[Mail, Path | None]]:
        for source, path in sources:
            if source is None:
                continue
            try:
                with source:
                    raw, size = _read(source)
            except OSError as error:
                self.failed(str(path or source), error)
                continue
            yield Mail(raw, size, envelope_of(raw, given), sender), path

    def open(self, name: str) -> IO[bytes] | None:
        try:
            return sys.stdin.buffer if name == "-" else open(name, "rb")
        except OSError as error:
            self.failed(name, error)
            return None

    def failed(self, name: str, error: OSError) -> None:
        self.unread += 1
        self.stderr.write(f"{name}: {error.strerror or error}")


def _read(source: IO[bytes]) -> tuple[bytes, int]:
    """The beginning of a mail, and its whole size, however long it is."""
    raw = source.read(KEPT_BYTES)
    size = len(raw)
    while chunk := source.read(CHUNK):
        size += len(chunk)
    return raw, size
