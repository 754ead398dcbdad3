"""`manage.py recount_statistics`: count everything again from messages and events, and say where it differs."""

from __future__ import annotations

import datetime as dt
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand
from django.utils import timezone

from console.models import Account
from delivery.services import rollup
from delivery.services.columns import COLUMNS
from tracking.statistics import recount

SHOWN = 20


class Command(BaseCommand):
    help = (
        "Count the statistics again from the rows that are kept, say where they differ, and with --mend put them right."
        " May run while mail flows. Ends with 1 when something differs and is not mended."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=_day, help="first day, YYYY-MM-DD (all that is kept)")
        parser.add_argument("--to", dest="last", type=_day, help="last day, YYYY-MM-DD (today)")
        parser.add_argument("--mend", action="store_true", help="put right what differs")

    def handle(self, *args: Any, first: dt.date | None, last: dt.date | None, mend: bool, **options: Any) -> None:
        zone = Account.current().zone
        earliest = recount.earliest()
        if earliest is None:
            self.stdout.write("No messages are kept: there is nothing to count.")
            return
        start = dt.datetime.combine(first, dt.time(), zone) if first else earliest
        if start < earliest:
            self.stderr.write(f"No rows are kept from before {earliest:%Y-%m-%d}: counted from there on.")
        end = dt.datetime.combine(last + dt.timedelta(days=1), dt.time(), zone) if last else timezone.now()
        if end <= start:
            raise CommandError("--to is before --from.")
        total = dict.fromkeys(COLUMNS, 0)
        differences = 0
        try:
            for hour in recount.recount(start, end, mend=mend):
                for name, number in hour.total.items():
                    total[name] += number
                for one in hour.differences[: max(0, SHOWN - differences)]:
                    table, key = one.key
                    where = ", ".join(map(_text, key))
                    self.stdout.write(f"{table._meta.verbose_name} ({where}): {one.what}")
                differences += len(hour.differences)
        except recount.AnotherRuns as running:
            raise CommandError(str(running)) from None
        if mend and differences:
            rollup.fold(now=timezone.now())
        self.stdout.write(", ".join(f"{name} {number:,}" for name, number in total.items()))
        if not differences:
            self.stdout.write("The statistics agree with the rows.")
        elif mend:
            self.stdout.write(f"{differences:,} sums differed and are put right.")
        else:
            self.stdout.write(f"{differences:,} sums differ. --mend puts them right.")
            sys.exit(1)


def _text(part: object) -> str:
    return f"{part:%Y-%m-%d %H:%M}" if isinstance(part, dt.datetime) else repr(part)


def _day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)
