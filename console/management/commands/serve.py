"""`manage.py serve`: the whole console in the foreground, or some of its parts."""

from __future__ import annotations

import signal
import time
from argparse import ArgumentParser
from typing import Any

import structlog
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from console.models import User
from console.supervisor import Supervisor, known_parts
from console.views import FIRST_ADMINISTRATOR

log = structlog.get_logger()

WAIT_SECONDS = 3.0


class Command(BaseCommand):
    help = "Run web, workers and (embedded) the simulator; restart what dies or hangs; stop in order on SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--parts", default="", help=f"which to run, with commas: {', '.join(known_parts())}; all by default"
        )

    def handle(self, *args: Any, parts: str, **options: Any) -> None:
        names = [name.strip() for name in parts.split(",") if name.strip()] or default_parts()
        unknown = set(names) - set(known_parts())
        if unknown:
            raise CommandError(f"Unknown part: {', '.join(sorted(unknown))}. There are: {', '.join(known_parts())}.")
        prepare(web="web" in names)
        supervisor = Supervisor(names)
        ask_to_stop(supervisor)
        supervisor.start()
        self.stdout.write(f"Posthorn serves {', '.join(names)} at {settings.WEB_BIND}. Ctrl-C ends it.")
        if "web" in names:
            self.stdout.write(f"The console: {settings.PUBLIC_URL}/")
            if not User.objects.exists():
                self.stdout.write(f"Nobody can sign in yet. {FIRST_ADMINISTRATOR} makes the first administrator.")
        try:
            supervisor.run()
        finally:
            supervisor.stop()


def default_parts() -> list[str]:
    return [name for name in known_parts() if name != "simulator" or settings.SIMULATOR]


def prepare(*, web: bool) -> None:
    """What must be in place before the parts start: tables (embedded only), static files, schedules."""
    wait_for_database()
    if settings.EMBEDDED:
        call_command("migrate", verbosity=0, interactive=False)
    if web:
        call_command("collectstatic", verbosity=0, interactive=False)
    call_command("schedules", verbosity=0)


def wait_for_database() -> None:
    """Until it can be reached; why it can't is said again and again."""
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError as error:
            log.warning("database_away", error=str(error).strip())
            time.sleep(WAIT_SECONDS)


def ask_to_stop(supervisor: Supervisor) -> None:
    """SIGTERM and the first Ctrl-C stop in order; the second kills."""
    asked = False

    def handler(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            supervisor.kill()
            raise SystemExit(1)
        asked = True
        supervisor.stopping = True

    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
