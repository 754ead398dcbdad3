"""`manage.py preflight`: look at the sending IPs as receivers see them, and say what to mend before the first mail."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from django.utils.translation import gettext as _

from delivery.services import preflight
from delivery.services.preflight_words import ABOUT, words


class Command(BaseCommand):
    help = "Check each sending IP: EHLO name, reverse DNS and its forward match, and whether port 25 gets out."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        checks = preflight.run(now=now)
        refused = preflight.refusals([check.ip for check in checks], now=now)
        bad = False
        for check in checks:
            self.stdout.write(check.ip or _("The system's own address"))
            for finding in preflight.findings_of(check):
                said = words(finding)
                bad = bad or finding.state == "bad"
                self.stdout.write(f"  {finding.state:4} {ABOUT[finding.about]}: {said.seen}")
                if said.todo:
                    self.stdout.write(f"       {said.todo}")
            for refusal in refused[check.ip]:
                bad = True
                self.stdout.write(f"  bad  {_('Refused by')} {refusal.group}: {refusal.said}")
        if bad:
            sys.exit(1)
