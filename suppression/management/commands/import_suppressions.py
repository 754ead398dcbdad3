"""`manage.py import_suppressions FILE`: a suppression list of any size, also as another service exports it."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from console.files.encodings import ENCODING_NAMES, UnreadableFile
from console.models import Account, ApiUser
from suppression import columns, uploads
from suppression.columns import Guess
from suppression.models import Entry, Upload

SHOWN = 20  # malformed rows that are printed


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("a day as YYYY-MM-DD") from None


class Command(BaseCommand):
    help = (
        "Put the addresses of a file (plain lines, CSV, .xlsx) on a suppression list, without a limit on rows. Which "
        "list, and what the columns are, is guessed from the file, and printed first."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--list", choices=Entry.List.values, help="for all rows; default: as the file seems to say")
        parser.add_argument("--api-user", help="name: for whose mail blocks and unsubscriptions hold; default: all")
        parser.add_argument("--expires", type=_day, help="the last day, YYYY-MM-DD; default: the list's own rule")
        parser.add_argument("--encoding", default="", help=f"one of {', '.join(ENCODING_NAMES)}; default: detected")
        parser.add_argument("--look", action="store_true", help="only print what the file seems to be")

    def handle(self, *args: Any, file: Path, look: bool, **options: Any) -> None:
        try:
            with file.open("rb") as stream:
                self._import(stream, file.name, look, options)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror or error}") from None
        except UnreadableFile as error:
            raise CommandError(error.message) from None

    def _import(self, stream: BinaryIO, filename: str, look: bool, options: dict[str, Any]) -> None:
        sheet = uploads.open_sheet(stream, filename, encoding=options["encoding"])
        guess, first, rows = uploads.look(sheet)
        kind = options["list"] or guess.kind
        self._say(guess, kind, [cells for _line, cells in first if isinstance(cells, list)])
        if look:
            return
        if not kind and guess.layout.kind is None:
            raise CommandError(f"Nothing says which list it is for. Add --list: {', '.join(Entry.List.values)}.")
        upload = Upload(
            list=kind,
            filename=filename[:255],
            encoding=sheet.encoding_name,
            made_by="import_suppressions",
            made_at=timezone.now(),
        )
        where = uploads.Where(
            kind=kind,
            kinds=None if kind else columns.list_named,
            api_user_id=_user(options["api_user"]),
            expires_at=_end_of(options["expires"]),
        )
        uploads.take(rows, guess.layout, where, upload, now=timezone.now(), by=None, limit=None)
        self.stdout.write(
            f"{upload.total:,} rows: {upload.added:,} added, {upload.repeated:,} there already, "
            f"{upload.left_out:,} left out, {upload.malformed:,} malformed."
        )
        for line, value, reason in upload.errors[:SHOWN]:
            self.stdout.write(f"  line {line}: {value!r}: {reason}")
        if upload.malformed > SHOWN:
            self.stdout.write(f"  … and {upload.malformed - SHOWN:,} more; Blocklist, Changes lists them.")

    def _say(self, guess: Guess, kind: str, first: list[list[str]]) -> None:
        layout = guess.layout

        def name(place: int | None) -> str:
            if place is None:
                return "none"
            named = layout.header and place < len(first[0])
            return f"{place + 1} ({first[0][place].strip()})" if named else str(place + 1)

        self.stdout.write(
            f"{guess.service or 'A table'}, list: {kind or 'as column ' + name(layout.kind) + ' says'}; "
            f"columns: address {name(layout.address)}, reason {name(layout.reason)}, since {name(layout.since)}."
        )


def _user(name: str | None) -> int | None:
    if not name:
        return None
    found = ApiUser.objects.filter(name=name).first()
    if found is None:
        raise CommandError(f"There is no API user “{name}”.")
    return found.pk


def _end_of(day: dt.date | None) -> dt.datetime | None:
    if day is None:
        return None
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=Account.current().zone)
