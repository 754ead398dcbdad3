"""The connections to one site, and the mail that is on its way to them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from django.conf import settings

from delivery.engine import hop as hops
from delivery.engine.claim import Claimed
from delivery.engine.session import Connection, NotTried, SmtpFailed, Timeouts
from delivery.engine.shape import Permit
from delivery.engine.smtp import connect, verifying_context
from delivery.engine.types import Exchange, Hop, Phase, Reply, Site

log = structlog.get_logger()

# A connection waits this long for more mail before it says goodbye.
IDLE_SECONDS = 1.0
# Where so many of a lane wait in that line, more connections would not make it faster.
IN_LINE = 2
# A host that could not be reached is asked last for so long.
SHUN_SECONDS = 60.0


@dataclass(slots=True)
class Ready:
    """A composed and signed mail, ready for the wire."""

    claimed: Claimed
    envelope_from: str
    content: bytes
    smtputf8: bool


@dataclass(slots=True)
class Outside:
    """How we go out: the same for all lanes of an engine."""

    port: int
    ehlo_name: str
    timeouts: Timeouts
    # Certificate authorities trusted beside the system's, where certificates are checked.
    ca_file: str = ""


def outside() -> Outside:
    """As the settings say."""
    given = settings.SMTP_TIMEOUTS
    command = given["command"]
    return Outside(
        settings.MX_PORT,
        settings.EHLO_NAME or socket.getfqdn(),
        Timeouts(
            connect=given["connect"],
            greeting=given["greeting"],
            ehlo=command,
            tls=min(60, command),
            mail=command,
            rcpt=command,
            data=given["data"],
            block=given["block"],
            dot=given["dot"],
        ),
        settings.TLS_CA_FILE,
    )


@dataclass
class Lane:
    """Mail for one site from one sending IP. `done` is told what came of each mail; None: given back untried.

    The permit is shared with the lanes of other sites of the same limit group.
    """

    site: Site
    permit: Permit
    outside: Outside
    # "": whatever the system routes by.
    sending_ip: str
    done: Callable[[Ready, Exchange | None], None]
    hop: Hop = hops.ANY
    queue: deque[Ready] = field(default_factory=deque)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    idle: int = 0
    closed: bool = False
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    # Tasks whose mail has not begun, and how many of them wait in the rate's line.
    _not_begun: set[asyncio.Task[None] | None] = field(default_factory=set)
    _in_line: int = 0
    _shunned: dict[str, float] = field(default_factory=dict)

    def put(self, ready: Ready) -> None:
        self.queue.append(ready)
        self._more.set()
        self.open_more()

    def open_more(self) -> None:
        """Another connection, if there is mail for one and the permit allows it. Called again when others close."""
        wanted = len(self.queue) > self.idle and self._in_line < IN_LINE
        if wanted and self.permit.may_open(time.monotonic()):
            self.permit.open += 1
            task = asyncio.create_task(self._work())
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    def give_back(self) -> None:
        """Give back what has not begun."""
        while self.queue:
            self.done(self.queue.popleft(), None)

    async def close(self, *, seconds: float) -> None:
        """Give back what has not begun, connected or not, and let what is on the wire end, for so long."""
        self.closed = True
        self.give_back()
        self._more.set()
        for task in self._not_begun:
            if task is not None:
                task.cancel()
        for _round in range(2):
            if self.running:
                _ended, late = await asyncio.wait(self.running, timeout=seconds)
                for task in late:
                    task.cancel()
                seconds = 1.0

    async def _work(self) -> None:
        connection: Connection | None = None
        try:
            while (ready := await self._next()) is not None:
                connection = await self._deliver(ready, connection)
                if self.permit.crowded():
                    return
        finally:
            if connection is not None:
                await connection.quit()
            self.permit.open -= 1

    async def _next(self) -> Ready | None:
        if not self.queue:
            self.idle += 1
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    while not self.queue:
                        if self.closed:
                            return None
                        self._more.clear()
                        await self._more.wait()
            except TimeoutError:
                return None
            finally:
                self.idle -= 1
        return self.queue.popleft()

    async def _deliver(self, ready: Ready, connection: Connection | None) -> Connection | None:
        """Send one mail, over this connection if it is still good; give the connection to go on with."""
        if not self.permit.soon(time.monotonic()):
            self.done(ready, None)
            return connection
        task = asyncio.current_task()
        for _try in range(2):
            self._not_begun.add(task)
            try:
                if connection is not None and self._worn(connection):
                    await connection.quit()
                    connection = None
                if connection is None:
                    connection = await self._open()
                # Last of all: what comes between this and MAIL would make two mails meet.
                await self._turn()
            except SmtpFailed as failed:
                self.done(ready, failed.exchange)
                # Nobody else in this lane would fare better, and each would wait for the same time-out.
                while self.queue:
                    self.done(self.queue.popleft(), failed.exchange)
                return None
            except BaseException:
                self.done(ready, None)
                if connection is not None:
                    await connection.quit()
                raise
            finally:
                self._not_begun.discard(task)
            try:
                exchange = await connection.send(
                    ready.envelope_from,
                    ready.claimed.recipient,
                    ready.content,
                    smtputf8=ready.smtputf8,
                    # The token in the return path: signed, and what a bounce is known by.
                    envelope_id=ready.envelope_from.partition("@")[0].removeprefix("b+"),
                    notify=hops.NOTIFY_RELAY if self.hop.relay else hops.NOTIFY_MX,
                    before_mail=lambda: self._may_begin(ready),
                )
            except NotTried:
                self.done(ready, None)
                return connection
            except asyncio.CancelledError:
                # Left to the claim's deadline: whether the server took it, nobody can say now.
                log.warning("possible_double", message=ready.claimed.message_id)
                raise
            if not exchange.stale:
                self.done(ready, exchange)
                return connection
        self.done(ready, exchange)
        return connection

    def _worn(self, connection: Connection) -> bool:
        return not connection.usable or connection.sent >= self.permit.limits.messages_per_connection

    async def _turn(self) -> None:
        """Wait in the rate's line."""
        self._in_line += 1
        try:
            await self.permit.turn()
        finally:
            self._in_line -= 1

    def _may_begin(self, ready: Ready) -> bool:
        """Asked right before MAIL is written: a process that was frozen finds here that its leases are over."""
        now = time.monotonic()
        return now < ready.claimed.safe_until and self.permit.valid(now)

    async def _open(self) -> Connection:
        """A connection to the first host of the site that answers. Raises the last SmtpFailed when none does."""
        now = time.monotonic()
        addresses = [(host.name, address) for host in self.site.hosts for address in host.addresses]
        addresses.sort(key=lambda pair: self._shunned.get(pair[1], 0) > now)
        failure: SmtpFailed | None = None
        hop = self.hop
        try:
            context = verifying_context(self.outside.ca_file) if hop.checked else None
        except OSError as error:
            text = f"TLS_CA_FILE can't be read: {error}"
            raise SmtpFailed(unreachable(text, Phase.TLS)) from error
        for name, address in addresses:
            try:
                connection = await connect(
                    address,
                    hop.port or self.outside.port,
                    mx_host=name,
                    ehlo_name=self.outside.ehlo_name,
                    local_ip=self.sending_ip or None,
                    timeouts=self.outside.timeouts,
                    tls=hop.tls,
                    ssl_context=context,
                    login=(hop.login, hop.password) if hop.login else None,
                )
            except SmtpFailed as failed:
                self._shunned[address] = now + SHUN_SECONDS
                failure = failed
            else:
                self._shunned.pop(address, None)
                return connection
        if failure is None:
            text = "No host of this site has an address that may be called."
            if hop.relay:
                text = f"The relay {hop.relay} has no address."
            failure = SmtpFailed(unreachable(text, Phase.DNS))
        raise failure


def unreachable(text: str, phase: Phase) -> Exchange:
    """An attempt that ended before there was a connection."""
    return Exchange(Reply(0, "", text, phase), [(phase.value, text)], "", "", "", "", time.time(), 0.0)
