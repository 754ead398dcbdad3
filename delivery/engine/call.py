"""One connection of a lane, from its first mail to its goodbye."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from delivery.engine import hop as hops
from delivery.engine.session import Connection, NotTried, SmtpFailed
from delivery.engine.types import Exchange

if TYPE_CHECKING:
    from delivery.engine.lane import Lane, Ready

log = structlog.get_logger()

# A server that takes longer over a mail than this would keep an announced one from connections that are quicker.
QUICK_SECONDS: Final = 1.0


class Call:
    """Takes mail from its lane as long as there is some, and calls again when the server hangs up."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.connection: Connection | None = None
        # Composed already, and perhaps announced on the connection: to be sent next.
        self.following: Ready | None = None
        self.quick = False

    async def work(self) -> None:
        lane = self.lane
        try:
            while (ready := self.following or await lane.next()) is not None:
                self.following = None
                try:
                    await self._deliver(ready)
                finally:
                    lane.let_go(ready)
                if lane.permit.crowded():
                    return
        finally:
            if self.following is not None:
                lane.let_go(self.following)
                lane.done(self.following.claimed, None)
            if self.connection is not None:
                await self.connection.quit()

    async def _deliver(self, ready: Ready) -> None:
        lane = self.lane
        if not self._is_announced(ready) and not lane.permit.soon(time.monotonic()):
            lane.done(ready.claimed, None)
            return
        exchange: Exchange | None = None
        for _try in range(2):
            try:
                connection = await self._connected(ready)
            except SmtpFailed as failed:
                lane.failed(ready, failed.exchange)
                return
            except BaseException:
                lane.done(ready.claimed, None)
                raise
            lane.on_the_wire[ready.claimed.message_id] = ready.claimed
            try:
                exchange = await connection.send(
                    ready,
                    notify=hops.NOTIFY_RELAY if lane.hop.relay else hops.NOTIFY_MX,
                    may_begin=partial(self._may_begin, ready),
                    follow=self._follow,
                )
            except NotTried:
                lane.done(ready.claimed, None)
                return
            except asyncio.CancelledError:
                # Left to the claim's deadline: whether the server took it, nobody can say now.
                log.warning("possible_double", message=ready.claimed.message_id)
                raise
            finally:
                del lane.on_the_wire[ready.claimed.message_id]
            if not exchange.stale:
                break
        assert exchange is not None
        self.quick = exchange.seconds < QUICK_SECONDS
        lane.done(ready.claimed, exchange)

    async def _connected(self, ready: Ready) -> Connection:
        """The connection to send it over, now. Raises SmtpFailed."""
        if self.connection is not None and self._is_announced(ready):
            return self.connection
        task = asyncio.current_task()
        self.lane.not_begun.add(task)
        try:
            if self.connection is not None and self._worn(self.connection):
                worn, self.connection = self.connection, None
                await worn.quit()
            if self.connection is None:
                self.connection = await self.lane.connect()
            # Last of all: what comes between this and MAIL would make two mails meet.
            await self.lane.turn()
            return self.connection
        finally:
            self.lane.not_begun.discard(task)

    def _worn(self, connection: Connection) -> bool:
        return not connection.usable or connection.sent >= self.lane.permit.limits.messages_per_connection

    def _is_announced(self, ready: Ready) -> bool:
        return self.connection is not None and self.connection.announced is ready

    def _may_begin(self, ready: Ready) -> bool:
        """Asked right before MAIL and before a body are written: a process that was frozen finds here that its leases
        are over, and mail that waited for a connection, that it must not go any more."""
        now = time.monotonic()
        return ready.claimed.may_begin(now) and self.lane.permit.valid(now)

    def _follow(self) -> Ready | None:
        """The next mail for this connection, if it may be announced while the server still has to answer this one:
        where that went well before, and nobody else could take it sooner."""
        lane, limits = self.lane, self.lane.permit.limits
        assert self.connection is not None
        sent = self.connection.sent
        if not self.quick or not 1 < sent < limits.messages_per_connection or limits.rate or lane.permit.crowded():
            return None
        if len(lane.queue) <= lane.idle or lane.load.full:
            return None
        self.following = lane.compose()
        return self.following if self.following is not None and self._may_begin(self.following) else None
