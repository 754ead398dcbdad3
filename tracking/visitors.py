"""Who came, as far as a request tells."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

from console.clients import ip_of

MAX_USER_AGENT = 500


@dataclass(frozen=True, slots=True)
class Visitor:
    """`ip` is None where it is not known."""

    ip: str | None = None
    user_agent: str = ""


def visitor(request: HttpRequest) -> Visitor:
    """What is kept of whoever sent the request. With ANONYMISE_IP without what tells one household from the next: the
    last octet of IPv4, the last 80 bits of IPv6."""
    ip = ip_of(request)
    agent = request.META.get("HTTP_USER_AGENT", "")
    if not agent.isprintable():
        agent = "".join(character for character in agent if character.isprintable())
    return Visitor(_without_last_part(ip) if ip and settings.ANONYMISE_IP else ip, agent[:MAX_USER_AGENT])


@lru_cache(maxsize=4096)
def _without_last_part(ip: str) -> str:
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False).network_address)
