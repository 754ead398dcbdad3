"""Where mail goes next: routes looked up once at a time, however many bundles want them, and remembered."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import dns.asyncresolver
from django.conf import settings
from django.utils import timezone

from delivery.engine import hop, route, sites
from delivery.engine.types import Hop
from delivery.services import relays

RELAY_REMEMBERED = dt.timedelta(minutes=1)
# A relay whose name leads nowhere is looked up again after so long.
NOWHERE_REMEMBERED = dt.timedelta(seconds=10)


@dataclass
class Ways:
    """Of one engine. `call` runs a function in a thread with a database connection."""

    resolver: dns.asyncresolver.Resolver
    call: Callable[[Callable[[], Any]], Awaitable[Any]]
    _routes: dict[int, sites.Route] = field(default_factory=dict)
    _relays: dict[tuple[str, int], sites.Route] = field(default_factory=dict)
    _resolving: dict[int, asyncio.Task[sites.Route]] = field(default_factory=dict)

    async def to(self, domain_id: int, name: str, relay: Hop | None) -> tuple[sites.Route, Hop]:
        """The way to a receiving domain, and how to talk there: its own servers, or the relay. Raises Unroutable."""
        if relay is not None:
            return await self._to_relay(relay), relay
        way = await self._to_domain(domain_id, name)
        return way, hop.direct(name, way.site)

    def cancel(self) -> None:
        for lookup in self._resolving.values():
            lookup.cancel()

    async def _to_relay(self, how: Hop) -> sites.Route:
        # Where its name leads nowhere, a site without hosts says so to each mail.
        known = self._relays.get((how.relay, how.port))
        if known is not None and known.until > timezone.now():
            return known
        site = await hop.relay_site(how.relay, how.port)
        group = await self.call(lambda: relays.limit_group(how.relay))
        until = timezone.now() + (RELAY_REMEMBERED if site.hosts else NOWHERE_REMEMBERED)
        found = self._relays[how.relay, how.port] = sites.Route(site, group, until)
        return found

    async def _to_domain(self, domain_id: int, name: str) -> sites.Route:
        known = self._routes.get(domain_id)
        if known is not None and known.until > timezone.now():
            return known
        if (task := self._resolving.get(domain_id)) is None:
            task = self._resolving[domain_id] = asyncio.create_task(self._resolve(domain_id, name))
            task.add_done_callback(lambda _task: self._resolving.pop(domain_id, None))
        return await asyncio.shield(task)

    async def _resolve(self, domain_id: int, name: str) -> sites.Route:
        now = timezone.now()
        found = await self.call(lambda: sites.remembered([domain_id], now=now))
        if domain_id not in found:
            try:
                site = await route.resolve(name, resolver=self.resolver)
            except route.Unroutable as problem:
                if problem.nxdomain and await self.call(lambda: sites.seen_nxdomain(domain_id, now=timezone.now())):
                    problem.permanent = True
                raise
            site = sites.usable(site, loopback=settings.SIMULATOR)
            found[domain_id] = await self.call(lambda: sites.remember(domain_id, site, now=now))
        way: sites.Route = found[domain_id]
        self._routes[domain_id] = way
        return way
