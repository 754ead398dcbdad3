"""How often one client may ask. Pure; kept in memory, so each web process counts for itself."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict

# Clients remembered; whoever was seen longest ago goes first. About 2 MB when full.
MOST_CLIENTS = 10_000


class Limiter:
    """So many a minute for each client, of which all may come at once (the generic cell rate algorithm)."""

    def __init__(self, a_minute: int, *, most_clients: int = MOST_CLIENTS) -> None:
        self._apart = 60 / a_minute
        self._most = most_clients
        self._lock = threading.Lock()
        # Client → when, at the even pace, all that it asked for would have been answered.
        self._paid: OrderedDict[str, float] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """0 when this request may be answered, else in how many seconds one may. `now`: seconds of a clock that only
        goes forward. What is refused costs the client nothing."""
        with self._lock:
            paid = max(self._paid.get(client, now), now) + self._apart
            if paid - now > 60 + 1e-6:  # sums of floating point
                return paid - now - 60
            self._paid[client] = paid
            self._paid.move_to_end(client)
            if len(self._paid) > self._most:
                self._paid.popitem(last=False)
            return 0.0

    def forget(self) -> None:
        """Everybody begins anew."""
        with self._lock:
            self._paid.clear()


def client_of(ip: str | None) -> str:
    """Who shares one allowance: an IPv4 address, or an IPv6 network of /64, which is one household or machine."""
    if ip is None:
        return ""
    address = ipaddress.ip_address(ip)
    if address.version == 4:
        return ip
    return str(ipaddress.ip_network((address, 64), strict=False))
