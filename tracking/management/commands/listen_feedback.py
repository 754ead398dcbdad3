"""`manage.py listen_feedback`: take in mail that comes back, by SMTP. `serve` runs it as its part `listener`."""

from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tracking.feedback import listener


class Command(BaseCommand):
    help = "Take in bounce mails, complaints and unsubscriptions on FEEDBACK_PORT, until SIGTERM or Ctrl-C."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            asyncio.run(listener.serve(self.tell))
        except OSError as error:
            where = f"{settings.FEEDBACK_HOST or 'any address'}, port {settings.FEEDBACK_PORT}"
            raise CommandError(
                f"Cannot listen on {where}: {error.strerror or error}. Free the port or set FEEDBACK_PORT; "
                "below 1024 it needs CAP_NET_BIND_SERVICE."
            ) from error

    def tell(self, running: listener.Listener) -> None:
        self.stdout.write(f"Listening on {running.host or 'every address'}, port {running.port}.")
        self.stdout.flush()
