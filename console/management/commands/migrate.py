"""Django's migrate, that may run while mail flows: it waits for no lock for long, for all would wait behind it."""

from __future__ import annotations

import time
from typing import Any

from django.core.management import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError

from console import locks

MOST_TRIES = 20
PAUSE_SECONDS = 2.0


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        for _number in range(MOST_TRIES):
            try:
                with locks.brief():
                    super().handle(*args, **options)
                return
            except OperationalError as error:
                if not locks.given_up(error):
                    raise
            # What was done stays done; the migration that waited is begun anew.
            self.stderr.write("A table is in use. Giving way, and trying again.")
            time.sleep(PAUSE_SECONDS)
        raise CommandError(
            "A table stayed in use. Nothing is lost: what was migrated stays so. Look at pg_stat_activity for what has "
            "been running for long, and migrate again."
        )
