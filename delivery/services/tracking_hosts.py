"""The names under which recipients reach us: the installation's, and those that sender domains lead to it."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings

from delivery.models import SenderDomain


def expected() -> str:
    """Where a domain's tracking host must lead; "" where we are reached by an IP address only."""
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    return host if any(letter.isalpha() for letter in host) and ":" not in host else ""


def public_url(domain: SenderDomain) -> str:
    """What the links in the domain's mail begin with: its own tracking host once that leads to us, with the scheme and
    port of the installation's."""
    if not domain.tracking_host:
        return settings.PUBLIC_URL
    public = urlsplit(settings.PUBLIC_URL)
    port = f":{public.port}" if public.port else ""
    return f"{public.scheme}://{domain.tracking_host}{port}{public.path}"
