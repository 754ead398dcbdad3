"""A form that sends mail acts once, however often its button is pressed."""

from __future__ import annotations

import secrets
from importlib import import_module

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

_KEPT = 20
_KEY = "acted"


def new_nonce() -> str:
    return secrets.token_urlsafe(12)


def first_time(request: HttpRequest, nonce: str) -> bool:
    """Whether this nonce has not acted yet. Call it in the transaction that acts, last before acting: a second press
    waits here for the first, and what is rolled back may be tried again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"once:{nonce}"])
    # Read anew: this request's session was loaded before the first press was through.
    stored = import_module(settings.SESSION_ENGINE).SessionStore(request.session.session_key)
    acted = list(stored.get(_KEY, []))
    if nonce in acted:
        return False
    request.session[_KEY] = [*acted, nonce][-_KEPT:]
    request.session.save()
    return True
