"""`manage.py export LIST`: any list as a file, without a browser."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.http import QueryDict
from django.utils import timezone

from console.lists import lists
from console.models import Account
from exports import making, storage
from exports.models import Export, Format, State


class Command(BaseCommand):
    help = "Write a list with its filters into a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("list", help="a list's name, such as messages; an unknown one names them all")
        parser.add_argument(
            "--filter", action="append", default=[], metavar="NAME=VALUE", help="as in the page's address; repeatable"
        )
        parser.add_argument("--format", choices=Format.values, default=Format.CSV.value)
        parser.add_argument("--output", type=Path, help="the file to write; by default LIST-DATE-ID.FORMAT here")

    def handle(self, *args: Any, **options: Any) -> None:
        pages = {name: page for name, page in lists().items() if page.exported}
        page = pages.get(options["list"])
        if page is None:
            raise CommandError(f"There is no list {options['list']!r}. There are: {', '.join(sorted(pages))}.")
        params = QueryDict(mutable=True)
        for pair in options["filter"]:
            name, equals, value = pair.partition("=")
            if not equals:
                raise CommandError(f"A filter is NAME=VALUE, not {pair!r}.")
            if name not in {"from", "to", "sort", *page.filters.base_filters}:
                known = ", ".join(sorted({"from", "to", "sort", *page.filters.base_filters}))
                raise CommandError(f"{page.name} has no filter {name!r}. It has: {known}.")
            params.appendlist(name, value)
        listing = page.resolve(params, Account.current().zone, timezone.now())
        if not listing.valid:
            problems = {**listing.window_errors, **{n: " ".join(e) for n, e in listing.filterset.form.errors.items()}}
            raise CommandError(" ".join(f"{name}: {problem}" for name, problem in problems.items()))
        export = making.ask(listing, Format(options["format"]), by=None)
        # Interrupted or not, nobody shall find it among the console's.
        try:
            making.make(making.claim(export))
            export.refresh_from_db()
            if export.state != State.DONE:
                raise CommandError(f"Not done: {export.problem or export.state}")
            target = options["output"] or Path(export.file_name)
            self._put(export, target)
        finally:
            Export.objects.filter(pk=export.pk).delete()
            storage.remove(export.file)
        self.stdout.write(f"{export.rows} rows, {export.size} bytes: {target}")

    def _put(self, export: Export, target: Path) -> None:
        """Beside its place, then renamed: whatever happens, a file of this name is whole, and an older one stays."""
        whole = not target.exists() or target.is_file()  # and no device
        aside = target.with_name(f".{target.name}.{export.pk}") if whole else target
        try:
            with closing(storage.reader(export.file)) as source, aside.open("wb") as file:
                shutil.copyfileobj(source, file)
            if whole:
                aside.replace(target)
        except OSError as error:
            if whole:
                with suppress(OSError):
                    aside.unlink()
            raise CommandError(f"{target} could not be written: {error.strerror}.") from error
