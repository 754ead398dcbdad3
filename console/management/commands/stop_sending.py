"""`manage.py stop_sending`: the account's emergency brake, where the web does not run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from console.models import Account


class Command(BaseCommand):
    help = "Stop all sending of the account, as its page in the console does. Resume there."

    def handle(self, *args: Any, **options: Any) -> None:
        if Account.current().stop_sending(by="manage.py", now=timezone.now()):
            self.stdout.write("All sending is stopped. Resume on the Account page.")
        else:
            self.stdout.write("It was stopped already.")
