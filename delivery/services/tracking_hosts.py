"""The names under which recipients reach us: the installation's, and those that sender domains lead to it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error

from delivery.dns import Answer
from delivery.models import DnsRecord, SenderDomain

# How long a process may not know of a new host, in seconds.
LOOK_SECONDS = 5.0
PROBE_SECONDS = 5.0

State = DnsRecord.State


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


def found(now: str, host: str, state: str, ask: Callable[[str, str], Answer]) -> str:
    """The tracking host that a domain has from now on; `now`: the one that it has, `state`: what DNS said of `host`.

    A name whose certificate is missing would show recipients a warning instead of a page: such a one is not used. What
    can't be asked changes nothing. Waits for the network.
    """
    if state == State.NO_ANSWER:
        return now
    if state != State.MATCHES:
        return ""
    good = _answers(host, ask)
    return now if good is None else host if good else ""


def _answers(host: str, ask: Callable[[str, str], Answer]) -> bool | None:
    """Whether our web server has a good certificate for this name; None: it can't be reached from here."""
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme != "https":
        return True
    context = ssl.create_default_context()
    if settings.TLS_CA_FILE:
        context.load_verify_locations(settings.TLS_CA_FILE)
    for kind in ("A", "AAAA"):
        for address in ask(expected(), kind).values:
            try:
                with (
                    socket.create_connection((address, public.port or 443), PROBE_SECONDS) as plain,
                    context.wrap_socket(plain, server_hostname=host),
                ):
                    return True
            except ssl.SSLError:
                return False
            except OSError:
                continue
    return None


class Names:
    """The hosts of all sender domains, looked up at most every few seconds by a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._looked_at = -LOOK_SECONDS

    def __contains__(self, name: object) -> bool:
        with self._lock:
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                try:
                    self._names = frozenset(_all())
                except Error:
                    pass  # those known before still lead to us
                self._looked_at = time.monotonic()
        return name in self._names

    def forget(self) -> None:
        """Look again."""
        self._looked_at = -LOOK_SECONDS


def _all() -> Iterable[str]:
    return SenderDomain.objects.exclude(tracking_host="").values_list("tracking_host", flat=True)


names = Names()
