"""Permits: how much of a receiver's patience may be used, and by whom.

A limit group's limits (rules/providers.toml, or the console's own values) hold for one sending IP over all workers and
machines. Each worker leases a share of the group (shares.py) and may use that part; the pace, halved by every "too
much" and creeping back by itself, scales it further. Pure, but for the line that mail waits in.
"""

from __future__ import annotations

import asyncio
import fnmatch
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

PROVIDERS = Path(__file__).parent.parent / "rules" / "providers.toml"
# After "too much" the pace halves, never below this; then it grows by a tenth a minute.
SLOWEST = 1 / 64
CREEP_PER_MINUTE = 1.1
# Mails in hand for each connection: what is composed, on the wire and being written down, or the wire would wait.
IN_HAND_PER_CONNECTION = 60
# And no more than may begin within so many seconds.
IN_HAND_SECONDS = 4
# A second's mails are spread over so many seconds.
LATE = 1.2
# A mail that began so much later than it might, in seconds, does not make the next one wait for longer.
CAUGHT_UP = 0.02
# Mail that would have to wait longer than this for its place in the rate's line waits in the database's.
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a whole limit group from one sending IP. `rate` in messages a second, 0: no limit. `pause_minutes` after "too
    much"; `retry_minutes` at least between two attempts of the same mail."""

    connections: int = 20
    messages_per_connection: int = 500
    rate: float = 0.0
    pause_minutes: int = 10
    retry_minutes: int = 5

    def but(self, given: Mapping[str, Any]) -> Limits:
        """With those by name that are given, and not None."""
        return replace(self, **{name: given[name] for name in LIMITS if given.get(name) is not None})

    @property
    def parts(self) -> int:
        """Into how many these can be cut so that each has one connection and one whole mail a second, at least: more
        workers would add up to more than the whole."""
        return max(1, min(self.connections, int(self.rate))) if self.rate else self.connections

    @property
    def gap(self) -> float:
        """Seconds from one mail to the next; 0: none. As many whole mails as a second may see take a little longer than
        it: what is late on its way must not meet what is on time."""
        if self.rate <= 0:
            return 0.0
        return LATE / (float(int(self.rate)) or self.rate)

    @property
    def room(self) -> int:
        """How many mails may be in hand: enough to keep the connections busy, no more."""
        busy = self.connections * IN_HAND_PER_CONNECTION
        return min(busy, int(self.rate * IN_HAND_SECONDS) + 2) if self.rate else busy

    def part(self, of: int, pace: float) -> Limits:
        """What a share of 1/`of` may do at this pace: one connection at least."""
        return replace(
            self,
            connections=max(1, int(self.connections * pace) // of),
            rate=self.rate * pace / of,
        )


LIMITS = tuple(one.name for one in fields(Limits))


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    mx: tuple[str, ...]
    limits: Limits


class BadProviders(ValueError):
    """rules/providers.toml says something that can't be; the text names the place."""


def read_providers(text: str) -> tuple[Limits, tuple[Provider, ...]]:
    """Default limits and the providers in their order. Raises BadProviders."""
    data = tomllib.loads(text)
    default = _limits("default", data.get("default", {}), Limits())
    providers: list[Provider] = []
    for entry in data.get("provider", []):
        name = str(entry.get("name", ""))
        if not name or not entry.get("mx"):
            raise BadProviders(f"provider {name or '?'}: needs a name and mx patterns")
        if any(known.name == name for known in providers):
            raise BadProviders(f"provider {name}: stands there twice")
        providers.append(Provider(name, tuple(entry["mx"]), _limits(name, entry, default)))
    return default, tuple(providers)


def _limits(name: str, entry: dict[str, Any], default: Limits) -> Limits:
    unknown = entry.keys() - {*LIMITS, "name", "mx"}
    if unknown:
        raise BadProviders(f"{name}: {', '.join(sorted(unknown))} is no limit")
    limits = default.but(entry)
    if min(limits.connections, limits.messages_per_connection, limits.pause_minutes) < 1 or limits.rate < 0:
        raise BadProviders(f"{name}: rate begins at 0, the others at 1")
    return limits


@lru_cache(maxsize=1)
def providers() -> tuple[Limits, tuple[Provider, ...]]:
    return read_providers(PROVIDERS.read_text())


def provider_of(mx_hosts: Iterable[str]) -> Provider | None:
    """The big provider that all of these MX hosts belong to, or None."""
    hosts = list(mx_hosts)
    for provider in providers()[1]:
        if hosts and all(any(fnmatch.fnmatchcase(host, pattern) for pattern in provider.mx) for host in hosts):
            return provider
    return None


def limits_of(group_name: str) -> Limits:
    """The limits that the rules give a limit group (`provider:NAME`, `mx:KEY`, `domain:NAME`)."""
    default, known = providers()
    kind, _colon, name = group_name.partition(":")
    if kind == "provider":
        return next((provider.limits for provider in known if provider.name == name), default)
    return default


def crept(pace: float, minutes: float) -> float:
    """The pace `minutes` after it was last lowered (and any pause was over)."""
    return min(1.0, pace * CREEP_PER_MINUTE ** max(0.0, minutes))


@dataclass(slots=True)
class Permit:
    """What this worker may do towards a limit group from one sending IP, and how much of it is in use."""

    limits: Limits
    # The share: 1/`of` of the group's limits, until when by time.monotonic(). After that nothing may begin.
    of: int = 1
    until: float = 0.0
    # Paused for this IP: by time.monotonic(), 0 when it is not.
    paused_until: float = 0.0
    open: int = 0
    # The last mail's place in the rate's line; and until when there is none, or fewer than the limits say.
    _begun: float = 0.0
    _held_until: float = 0.0
    _slow: tuple[float, float] = (0.0, 0.0)
    _line: asyncio.Lock = field(default_factory=asyncio.Lock)

    def valid(self, now: float) -> bool:
        return now < self.until and now >= self.paused_until

    def may_open(self, now: float) -> bool:
        return self.valid(now) and self.open < self.limits.connections

    def crowded(self) -> bool:
        """More connections than may be: the share has become smaller."""
        return self.open > self.limits.connections

    def renew(self, limits: Limits, share: tuple[int, float], now: float) -> None:
        """What may be done from now on, by a share (of, until).

        Whoever gets a part of the rate anew, or a larger one, makes use of it a second later: others may have used it
        in this one. So in no second more begins than the parts that were held when it began.
        """
        of, until = share
        if until > now and limits.rate:
            if now >= self.until:
                self._held_until = now + max(LATE, limits.gap)
            elif of < self.of:
                self._slow = self._gap(now), now + LATE
        self.limits, self.of, self.until = limits, of, until

    def wait(self, now: float) -> float:
        """Seconds until the next mail may begin."""
        return max(0.0, self._held_until - now, self._begun + self._gap(now) - now) if self.limits.rate else 0.0

    def soon(self, now: float) -> bool:
        """Whether a mail would begin soon enough to wait for it in hand."""
        wait = self.wait(now)
        return wait <= PATIENCE_SECONDS and self.valid(now + wait)

    def begin(self, now: float) -> None:
        """A mail begins now, and the next one a gap later: no bursts, so no second ever sees more than the rate."""
        self._begun = max(self._begun + self._gap(now), now - CAUGHT_UP)

    def _gap(self, now: float) -> float:
        gap, until = self._slow
        return max(gap, self.limits.gap) if now < until else self.limits.gap

    async def turn(self) -> None:
        """Wait in the line of all who send under this permit, and begin. To be called right before MAIL."""
        if not self.limits.rate:
            return
        async with self._line:
            while wait := self.wait(time.monotonic()):
                await asyncio.sleep(wait)
            self.begin(time.monotonic())
