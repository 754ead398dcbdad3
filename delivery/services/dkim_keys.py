"""DKIM keys at rest: encrypted with DKIM_KEYS (settings), whose newest version encrypts and all versions decrypt.

The passwords of relays and the secrets of callbacks lie in the same box: they too are needed in the clear.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import transaction

from delivery.engine import dkim
from delivery.models import Callback, DkimKey, Relay, SenderDomain


def box() -> MultiFernet:
    newest_first = sorted(settings.DKIM_KEYS.items(), reverse=True)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key[:32])) for _version, key in newest_first])


def private_pem(key: DkimKey) -> bytes:
    """The private key as PEM. Raises cryptography's InvalidToken when DKIM_KEYS lacks the key it was kept with."""
    return box().decrypt(bytes(key.private_key))


def make_key(domain: SenderDomain, *, active: bool) -> DkimKey:
    """A fresh RSA 2048 key under the next free selector (`ph1`, `ph2`, …)."""
    pem, public = dkim.new_key()
    with transaction.atomic():
        SenderDomain.objects.select_for_update().get(pk=domain.pk)
        taken = set(domain.dkim_keys.values_list("selector", flat=True))
        number = next(n for n in range(1, 10_000) if f"ph{n}" not in taken)
        return DkimKey.objects.create(
            domain=domain,
            selector=f"ph{number}",
            public_key=public,
            private_key=box().encrypt(pem),
            active=active,
        )


def reencrypt() -> int:
    """Encrypt everything anew with the newest version of DKIM_KEYS, after a rotation; give the number of secrets."""
    newest = box()
    keys, relays = list(DkimKey.objects.all()), list(Relay.objects.exclude(password=b""))
    callbacks = list(Callback.objects.all())
    for key in keys:
        key.private_key = newest.rotate(bytes(key.private_key))
        key.save(update_fields=["private_key"])
    for relay in relays:
        Relay.objects.filter(pk=relay.pk).update(password=newest.rotate(bytes(relay.password)))
    for callback in callbacks:
        callback.secret = newest.rotate(bytes(callback.secret))
        callback.old_secret = newest.rotate(bytes(callback.old_secret)) if callback.old_secret else b""
        callback.save(update_fields=["secret", "old_secret"])
    return len(keys) + len(relays) + len(callbacks)
