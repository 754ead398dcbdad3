"""Where mail goes next: routes looked up once at a time, however many bundles want them, and remembered."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import dns.asyncresolver
from django.conf import settings
from django.utils import timezone

from delivery.engine import hop, route, sites
from delivery.engine.types import Hop, Site
from delivery.services import relays

RELAY_REMEMBERED = dt.timedelta(minutes=1)
ROUTES_KEPT = 20_000
# Looked up at once: what a resolver is asked beyond what it can take in, it loses.
LOOKUPS = 32
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
    _asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKUPS))

    def __post_init__(self) -> None:
        self._look_up: Together[None] = Together(
            self.call, lambda wanted: sites.remembered(list(wanted), now=timezone.now())
        )
        self._write_down: Together[Site] = Together(self.call, lambda found: sites.remember(found, now=timezone.now()))

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
        way = await self._look_up(domain_id, None)
        if way is None:
            try:
                async with self._asking:
                    site = await route.resolve(name, resolver=self.resolver)
            except route.Unroutable as problem:
                if problem.nxdomain and await self.call(lambda: sites.seen_nxdomain(domain_id, now=timezone.now())):
                    problem.permanent = True
                raise
            way = await self._write_down(domain_id, sites.usable(site, loopback=settings.SIMULATOR))
            assert way is not None
        if len(self._routes) >= ROUTES_KEPT:
            self._routes.clear()
        self._routes[domain_id] = way
        return way


K = TypeVar("K")


class Together(Generic[K]):
    """Asks for many at once: what comes while the one before is answered goes together, next. `ask` is run in a thread
    by `call`."""

    def __init__(
        self,
        call: Callable[[Callable[[], Any]], Awaitable[Any]],
        ask: Callable[[dict[int, K]], Mapping[int, sites.Route]],
    ) -> None:
        self._call = call
        self._ask = ask
        self._coming: dict[int, tuple[K, asyncio.Future[sites.Route | None]]] = {}
        self._asking: asyncio.Task[None] | None = None

    def __call__(self, domain_id: int, what: K) -> asyncio.Future[sites.Route | None]:
        """The answer for one receiving domain, None where there is none."""
        future = asyncio.get_running_loop().create_future()
        self._coming[domain_id] = what, future
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return future

    async def _ask_all(self) -> None:
        while self._coming:
            batch, self._coming = self._coming, {}
            answers: Mapping[int, sites.Route] = {}
            failure: Exception | None = None
            try:
                answers = await self._call(partial(self._ask, {key: what for key, (what, _future) in batch.items()}))
            except Exception as error:
                failure = error
            for domain_id, (_what, future) in batch.items():
                if future.done():
                    continue  # whoever asked has given up
                if failure is not None:
                    future.set_exception(failure)
                else:
                    future.set_result(answers.get(domain_id))
