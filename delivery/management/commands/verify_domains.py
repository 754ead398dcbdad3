"""`manage.py verify_domains`: ask DNS for the records of sender domains now."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from delivery.models import SenderDomain
from delivery.services import domains


class Command(BaseCommand):
    help = "Ask DNS for the records of sender domains: those named, all of them, or those whose time has come."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("domain", nargs="*", help="default: all")
        parser.add_argument("--due", action="store_true", help="only those whose next check has come, as the job does")

    def handle(self, *args: Any, domain: list[str], due: bool, **options: Any) -> None:
        now = timezone.now()
        if due:
            self.stdout.write(f"{domains.check_due(now, done=self._say)} checked")
            return
        chosen = SenderDomain.objects.order_by("name")
        if domain:
            chosen = chosen.filter(name__in=[name.lower().rstrip(".") for name in domain])
            missing = {name.lower().rstrip(".") for name in domain} - {each.name for each in chosen}
            if missing:
                raise CommandError(f"No sender domain is called {', '.join(sorted(missing))}.")
        for each in chosen:
            self._say(each, domains.verify(each, now))

    def _say(self, domain: SenderDomain, checked: domains.Checked) -> None:
        state = "verified" if checked.verified else "pending"
        changed = " (changed)" if checked.became else ""
        self.stdout.write(f"{domain.name}: {state}{changed}")
        for record in checked.not_matching:
            self.stdout.write(f"  {record.state:10} {record.type:5} {record.host}")
