"""`manage.py simulator`: the built-in outside world in the foreground."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from delivery.simulator import foreground


class Command(BaseCommand):
    help = "Run the mailbox simulator: an SMTP server and a DNS server on loopback, until SIGTERM or Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        foreground.add_arguments(
            parser,
            directory=settings.SIMULATOR_DIR,
            domain=settings.SIMULATOR_DOMAIN,
            smtp_port=settings.SIMULATOR_SMTP_PORT,
            dns_port=settings.SIMULATOR_DNS_PORT,
            feedback_port=settings.FEEDBACK_PORT,
            readers=True,
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("dir", "domain", "host", "smtp_port", "dns_port", "feedback_port")
        more = ("readers", "keep", "tls", "latency_ms", "limits", "until_eof")
        try:
            foreground.run(**{name: options[name] for name in (*names, *more)})
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
