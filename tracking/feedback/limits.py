"""How much the listener takes of whom. Of very many clients, those that were silent longest are forgotten. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable
from time import monotonic

REMEMBERED = 10_000
# Of a client's mails a minute, so many may come at once.
BURST_SECONDS = 10.0
# Mails to one address of ours within an hour or so: a message has no more to tell, and a loop would never end.
PER_ADDRESS = 60
ADDRESS_SECONDS = 3600.0


class Bucket:
    """So many a second for each key, and so many at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """One for this key, if there is one."""
        now = self.clock()
        left, seen = self._left.pop(key, (self.burst, now))
        left = min(self.burst, left + (now - seen) * self.rate)
        taken = left >= 1
        self._left[key] = (left - taken, now)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        return taken


class Limits:
    """Connections at once (`connections` in all, `each` of a client) and mails a minute of a client; 0: no limit."""

    def __init__(self, *, connections: int, each: int, rate_each: int, clock: Callable[[], float] = monotonic) -> None:
        self.connections, self.each, self.rate_each = connections, each, rate_each
        self._open: Counter[str] = Counter()
        self._mails = Bucket(rate_each / 60, max(1.0, rate_each * BURST_SECONDS / 60), clock)
        self._addresses = Bucket(PER_ADDRESS / ADDRESS_SECONDS, PER_ADDRESS, clock)

    def enter(self, ip: str) -> bool:
        """Whether this client may have one more connection; if so, it has."""
        client = _client(ip)
        if self._open.total() >= self.connections or (self.each and self._open[client] >= self.each):
            return False
        self._open[client] += 1
        return True

    def leave(self, ip: str) -> None:
        client = _client(ip)
        self._open[client] -= 1
        if self._open[client] <= 0:
            del self._open[client]

    def mail(self, ip: str) -> bool:
        """Whether this client may begin one more mail."""
        return not self.rate_each or self._mails.take(_client(ip))

    def address(self, address: str) -> bool:
        """Whether this address of ours takes one more mail."""
        return self._addresses.take(address.lower())


def _client(ip: str) -> str:
    """Who a client is: its IPv4 address, or the /64 that one site has."""
    try:
        found = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)
