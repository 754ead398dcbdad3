"""`manage.py forget_recipient ADDRESS`: take a person out of everything that is kept."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from console.forgetting import CantForget, forgetters


class Command(BaseCommand):
    help = (
        "Remove or hash an address everywhere, and say where. Messages stay as numbers: their counts do not change. "
        "Entries of the suppression lists stay, so that the person is not mailed again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, address: str, dry_run: bool, **options: Any) -> None:
        count = 0
        with transaction.atomic():
            try:
                for one in (done for forget in forgetters for done in forget(address)):
                    if one.count:
                        count += one.count
                        self.stdout.write(f"{one.where}: {one.count:,} {one.how}")
            except CantForget as error:
                raise CommandError(str(error)) from None
            if dry_run:
                transaction.set_rollback(True)
        if not count:
            self.stdout.write("Nothing is kept of this address.")
        elif dry_run:
            self.stdout.write("Nothing was changed: this was a dry run.")
        else:
            self.stdout.write("Not reached from here: copies of the database, logs, and files that were downloaded.")
