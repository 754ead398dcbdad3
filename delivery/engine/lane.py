"""The connections to one site, and the mail that is on its way to them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings

from delivery.engine import hop as hops
from delivery.engine.call import Call
from delivery.engine.claim import Claimed
from delivery.engine.session import Connection, Outgoing, SmtpFailed, Timeouts
from delivery.engine.shape import Permit
from delivery.engine.smtp import connect, verifying_context
from delivery.engine.types import Exchange, Hop, Phase, Reply, Site

# A connection waits this long for more mail before it says goodbye.
IDLE_SECONDS = 1.0
# Where so many of a lane wait in the rate's line, more connections would not make it faster.
IN_LINE = 2
# While as much is composed as may be, connections look again this often.
LOAD_SECONDS = 0.02
# A host that could not be reached is asked last for so long.
SHUN_SECONDS = 60.0


@dataclass(slots=True)
class Ready(Outgoing):
    """A composed and signed mail, ready for the wire."""

    claimed: Claimed


@dataclass(slots=True)
class Load:
    """Bytes of mail composed and not yet answered, in all lanes of an engine."""

    most: int
    bytes: int = 0

    @property
    def full(self) -> bool:
        return self.bytes >= self.most


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
    """Mail for one site from one sending IP. It is composed when a connection is free for it: so what waits is small.

    `make` gives a mail as it goes over the wire, or None when it has seen to it otherwise; `done` is told what came of
    each mail, None: given back untried. The permit is shared with the lanes of other sites of the same limit group,
    the load with all lanes.
    """

    site: Site
    permit: Permit
    outside: Outside
    # "": whatever the system routes by.
    sending_ip: str
    make: Callable[[Claimed], Ready | None]
    done: Callable[[Claimed, Exchange | None], None]
    load: Load
    hop: Hop = hops.ANY
    queue: deque[Claimed] = field(default_factory=deque)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    idle: int = 0
    closed: bool = False
    # Tasks whose mail has not begun, and how many of them wait in the rate's line.
    not_begun: set[asyncio.Task[None] | None] = field(default_factory=set)
    # By message: what is composed and not yet answered, and of that what is being sent just now, from before MAIL to
    # the last answer.
    composed: dict[int, Claimed] = field(default_factory=dict)
    on_the_wire: dict[int, Claimed] = field(default_factory=dict)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _in_line: int = 0
    _shunned: dict[str, float] = field(default_factory=dict)

    def put(self, claimed: Claimed) -> None:
        self.queue.append(claimed)
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

    def give_back(self, *, all_but: int = 0) -> None:
        """Give back what has not begun, the last first."""
        while len(self.queue) > all_but:
            self.done(self.queue.pop(), None)

    def shut(self) -> None:
        """Give back what has not begun, connected or not."""
        self.closed = True
        self.give_back()
        self._more.set()
        for task in self.not_begun:
            if task is not None:
                task.cancel()

    async def close(self, *, seconds: float) -> None:
        """Shut it, and let what is on the wire end, for so long."""
        self.shut()
        for _round in range(2):
            if self.running:
                _ended, late = await asyncio.wait(self.running, timeout=seconds)
                for task in late:
                    task.cancel()
                seconds = 1.0

    async def _work(self) -> None:
        try:
            await Call(self).work()
        finally:
            self.permit.open -= 1

    async def next(self) -> Ready | None:
        """The next mail for a connection that is free; None when none has come for a while."""
        while self.queue or await self._wait_for_mail():
            if self.load.full:
                await asyncio.sleep(LOAD_SECONDS)
            elif (ready := self.compose()) is not None:
                return ready
        return None

    async def turn(self) -> None:
        """Wait in the rate's line."""
        self._in_line += 1
        try:
            await self.permit.turn()
        finally:
            self._in_line -= 1

    async def _wait_for_mail(self) -> bool:
        self.idle += 1
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                while not self.queue:
                    if self.closed:
                        return False
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            return False
        finally:
            self.idle -= 1
        return True

    def compose(self) -> Ready | None:
        """The first mail of the queue, composed; None when it cannot be."""
        ready = self.make(self.queue.popleft())
        if ready is not None:
            self.load.bytes += len(ready.content)
            self.composed[ready.claimed.message_id] = ready.claimed
        return ready

    def let_go(self, ready: Ready) -> None:
        """Of a mail that was composed: whatever came of it."""
        self.load.bytes -= len(ready.content)
        self.composed.pop(ready.claimed.message_id, None)

    def in_hand(self) -> list[Claimed]:
        """Mail in the queue, or composed: its connection is made, its turn comes, or the server answers. Any thread."""
        return list(self.queue) + list(self.composed.values())

    def failed(self, ready: Ready, exchange: Exchange) -> None:
        """There was no connection: nobody else in this lane would fare better, and each would wait as long."""
        self.done(ready.claimed, exchange)
        while self.queue:
            self.done(self.queue.popleft(), exchange)

    async def connect(self) -> Connection:
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
