"""Which address a request came from."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest


def ip_of(request: HttpRequest) -> str | None:
    """The address that a request came from; behind a proxy, the one that the proxy saw. None: not known."""
    seen = request.META.get("REMOTE_ADDR", "")
    if settings.SECURE_PROXY_SSL_HEADER:
        # The last address is our proxy's own word, those before it are whatever it was told.
        seen = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or seen
    return _address(seen)


@lru_cache(maxsize=4096)
def _address(text: str) -> str | None:
    """As PostgreSQL writes it; None for what is no address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
