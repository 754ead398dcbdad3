"""`manage.py prune`: take away months that are older than they are kept."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from console import retention


class Command(BaseCommand):
    help = "Take away whole months of messages and events that are older than KEEP_…_MONTHS. Statistics are kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        now = timezone.now()
        found = retention.old(now=now) if dry_run else retention.prune(now=now)
        if not found:
            self.stdout.write(f"Nothing {'would go' if dry_run else 'went'}: {self._kept()}.")
        for one in found:
            said = f"kept: {one.why_not}" if one.why_not else "would go" if dry_run else "gone"
            self.stdout.write(f"{one.table}  about {one.rows:,} rows, {filesizeformat(one.bytes)}  {said}")

    def _kept(self) -> str:
        names = ("KEEP_MESSAGES_MONTHS", "KEEP_EVENTS_MONTHS")
        return ", ".join(f"{name} is {getattr(settings, name) or '0 (for ever)'}" for name in names)
