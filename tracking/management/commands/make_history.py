"""`manage.py make_history`: a made-up past of any length, to see how an installation does at that size."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError
from django.core.management.base import BaseCommand
from django.utils import timezone

from tracking import history

TELL_SECONDS = 5


class Command(BaseCommand):
    help = (
        "Make a past: settled messages with their attempts and events, spread over months. For trying how quick pages "
        f"and exports are. What it makes belongs to the API users {' and '.join(history.USERS.values())}."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--messages", type=int, default=10_000_000)
        parser.add_argument("--months", type=int, default=12)
        parser.add_argument("--force", action="store_true", help="even where there is mail that was really sent")

    def handle(self, *args: Any, messages: int, months: int, force: bool, **options: Any) -> None:
        if messages < 1 or not 1 <= months <= 60:
            raise CommandError("--messages is at least 1, --months 1 to 60.")
        begun = told = time.monotonic()

        def tell(made: history.Made) -> None:
            nonlocal told
            if time.monotonic() - told > TELL_SECONDS or made.messages == messages:
                told = time.monotonic()
                rows = made.messages + made.attempts + made.events
                self.stdout.write(
                    f"{made.messages:,} messages, {made.attempts:,} attempts, {made.events:,} events: "
                    f"{rows / (told - begun):,.0f} rows/s"
                )
                self.stdout.flush()

        try:
            history.make(messages, months=months, now=timezone.now(), force=force, tell=tell)
        except history.RealMail:
            raise CommandError("There is mail here that was really sent. --force makes a past beside it.") from None
        self.stdout.write(f"Done in {time.monotonic() - begun:,.0f} s. Statistics: recount_statistics --mend.")
