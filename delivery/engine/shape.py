"""Permits: how much of a receiver's patience may be used, and by whom.

A limit group's limits (rules/providers.toml, or the console's own values) hold for one sending IP over all workers and
machines. Each worker leases a share of the group (shares.py) and may use that part; the pace, halved by every "too
much" and creeping back by itself, scales it further. Pure but for the clock that callers pass in.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

PROVIDERS = Path(__file__).parent.parent / "rules" / "providers.toml"
# After "too much" the pace halves, never below this; then it grows by a tenth a minute.
SLOWEST = 1 / 64
CREEP_PER_MINUTE = 1.1


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a whole limit group from one sending IP. `rate` in messages a second, 0: no limit."""

    connections: int = 20
    messages_per_connection: int = 500
    rate: float = 0.0

    def part(self, of: int, pace: float) -> Limits:
        """What a share of 1/`of` may do at this pace: one connection at least."""
        return replace(
            self,
            connections=max(1, int(self.connections * pace) // of),
            rate=self.rate * pace / of,
        )


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
    limits = Limits(
        int(entry.get("connections", default.connections)),
        int(entry.get("messages_per_connection", default.messages_per_connection)),
        float(entry.get("rate", default.rate)),
    )
    if limits.connections < 1 or limits.messages_per_connection < 1 or limits.rate < 0:
        raise BadProviders(f"{name}: connections and messages_per_connection begin at 1, rate at 0")
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


def slowed(pace: float) -> float:
    return max(SLOWEST, pace / 2)


def crept(pace: float, minutes: float) -> float:
    """The pace `minutes` after it was last lowered (and any pause was over)."""
    return min(1.0, pace * CREEP_PER_MINUTE ** max(0.0, minutes))


@dataclass(slots=True)
class Permit:
    """What this worker may do towards a limit group from one sending IP, and how much of it is in use."""

    limits: Limits
    # By time.monotonic(): the end of the share's lease. After it nothing may begin.
    until: float = 0.0
    # Paused for this IP: by time.monotonic(), 0 when it is not.
    paused_until: float = 0.0
    open: int = 0
    _next_at: float = field(default=0.0)

    def valid(self, now: float) -> bool:
        return now < self.until and now >= self.paused_until

    def may_open(self, now: float) -> bool:
        return self.valid(now) and self.open < self.limits.connections

    def crowded(self) -> bool:
        """More connections than may be: the share has become smaller."""
        return self.open > self.limits.connections

    def wait(self, now: float) -> float:
        """Take the next place in the rate's line; give the seconds until it is due. Evenly spaced: no bursts, so that
        no second ever sees more than the rate."""
        if self.limits.rate <= 0:
            return 0.0
        place = max(now, self._next_at)
        # Whole mails a second, and a little less: what is late by a few milliseconds must not meet what is on time.
        whole = float(int(self.limits.rate)) or self.limits.rate
        self._next_at = place + 1.02 / whole
        return place - now
