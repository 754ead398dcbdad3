"""`manage.py reencrypt_secrets`: after a rotation of DKIM_KEYS, so that the old version can be taken away."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import InvalidToken
from django.core.management.base import BaseCommand, CommandError

from delivery.services import dkim_keys


class Command(BaseCommand):
    help = "Encrypt DKIM keys, relays' passwords and callbacks' secrets anew with the newest version of DKIM_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = dkim_keys.reencrypt()
        except InvalidToken:
            raise CommandError(
                "A secret was encrypted with a version that DKIM_KEYS no longer has: put it back."
            ) from None
        self.stdout.write(f"{count} secrets are encrypted with the newest version: older ones may go.")
