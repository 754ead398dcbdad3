"""What all connections of one SMTP server share: its options, mailboxes, record and counts."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from typing import Protocol

from delivery.simulator.behaviour import Mailboxes
from delivery.simulator.letters import RETURNED_BYTES, Returned
from delivery.simulator.moods import Mood
from delivery.simulator.readers import Readers
from delivery.simulator.record import Recorder
from delivery.simulator.returns import Returns
from delivery.simulator.tally import Tally


class Connection(Protocol):
    """What the post needs to know of a connection."""

    seen: float  # the loop's time at which the client last spoke

    def hang_up(self, reply: str, flush: bool = True) -> None: ...


@dataclass(slots=True)
class Options:
    """What a server is told: `name` is its host name, sizes are octets, times are seconds."""

    name: str = "mx.simulator.test"
    max_size: int = 25 * 2**20
    max_connections: int = 2_000
    idle: float = 300.0
    keep: bool = False
    max_kept: int = 20_000  # mails kept whole in one run
    tls: ssl.SSLContext | None = None
    latency: float = 0.0  # before each answer: a round trip
    moods: dict[str, Mood] = field(default_factory=dict)  # by the address on which they listen


@dataclass(slots=True)
class Post:
    """What all connections of one server share."""

    mailboxes: Mailboxes
    recorder: Recorder
    options: Options
    tally: Tally
    returns: Returns
    readers: Readers
    sessions: set[Connection] = field(default_factory=set)
    # One buffer for all connections of a loop: what is read is copied out before the loop reads again, and a fresh one
    # for each reading would take longer than the reading.
    incoming: memoryview = field(default_factory=lambda: memoryview(bytearray(128 * 1024)))
    accepted: int = 0  # recipients
    refused: int = 0  # recipients, deferrals among them
    peak: int = 0  # most connections at once
    mails: int = 0
    visits: dict[str, int] = field(default_factory=dict)  # connections, by mood
    run: int = field(default_factory=lambda: int(time.time() * 1000))

    def next_id(self) -> str:
        """Names a mail, differently over all runs."""
        self.mails += 1
        return f"{self.run:x}.{self.mails:x}"

    def bring_back(self, recipient: str, sender: str, mail: bytes, queue_id: str) -> None:
        """This recipient of an accepted mail may have something to say to it."""
        if (behaviour := self.mailboxes.comes_back(recipient)) is not None:
            beginning = mail[:RETURNED_BYTES]
            of = Returned(recipient, sender, beginning, queue_id, self.options.name, time.time())
            self.returns.put(behaviour, of)
        if self.mailboxes.is_read(recipient):
            self.readers.put(recipient, mail)

    def close_idle(self, now: float) -> None:
        """Close what has been silent for too long; `now` is the loop's time."""
        for session in tuple(self.sessions):
            if now - session.seen > self.options.idle:
                session.hang_up("421 4.4.2 {name} Error: timeout exceeded")

    def close(self) -> None:
        for session in tuple(self.sessions):
            session.hang_up("421 4.3.2 {name} Service shutting down", flush=False)
