"""`manage.py check_books`: whether messages, what waits of them, counts of tasks and credits agree."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from delivery.services import books


class Command(BaseCommand):
    help = (
        "Hold messages, what waits of them, the counts of tasks and the ledger of credits against each other. May run "
        "while mail flows; goes once through all messages. Ends with 1 when something does not agree."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(books.faults())
        for fault in found:
            self.stdout.write(f"{fault.count:,} {fault.what}:")
            for example in fault.examples:
                self.stdout.write(f"  {example}")
        if found:
            sys.exit(1)
        self.stdout.write("Everything agrees.")
