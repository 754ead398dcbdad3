"""The line of one connection: bytes in, replies out, after as long as the server takes for an answer."""

from __future__ import annotations

import asyncio
from collections import deque

from delivery.simulator.post import Post


class Line(asyncio.BufferedProtocol):
    """What a session needs of its transport. A delay is waited before each writing: once for each round trip."""

    transport: asyncio.Transport

    def __init__(self, post: Post) -> None:
        self.post = post
        self.options = post.options
        self.loop = asyncio.get_running_loop()
        self.seen = self.loop.time()
        self.client = ""
        self.buffer = bytearray()
        self.closing = False
        self.negotiating: asyncio.Task[None] | None = None
        self.delay = post.options.latency
        # What is to be written, and when, by the loop's clock; None: then hang up.
        self.later: deque[tuple[float, bytes | None]] = deque()
        self.timer: asyncio.TimerHandle | None = None

    def begun(self, transport: asyncio.BaseTransport) -> str:
        """Take the transport; gives the address on which it was called."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.client = transport.get_extra_info("peername")[0]
        return str(transport.get_extra_info("sockname")[0])

    def ended(self) -> None:
        """The connection is gone."""
        self.closing = True
        self.post.sessions.discard(self)
        self.buffer.clear()
        self.later.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def pause_writing(self) -> None:
        # A client that reads no replies is read no further.
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.closing and self.negotiating is None:
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.post.incoming

    def say(self, data: bytes) -> None:
        """Write, once the delay is over."""
        if self.delay:
            self._after(data)
        else:
            self.transport.write(data)

    def hang_up(self, reply: str, flush: bool = True) -> None:
        """Say `reply`, unless empty, and close; without `flush`, at once, though the client may not read it."""
        self.closing = True
        self.post.sessions.discard(self)
        if self.transport.is_closing():
            return
        if not flush:
            self.transport.abort()
            return
        if reply:
            self.say(reply.replace("{name}", self.options.name).encode() + b"\r\n")
        if self.delay:
            self._after(None)
        else:
            self.transport.close()

    async def said(self) -> None:
        """Wait until all that was said is written."""
        while self.later and not self.transport.is_closing():
            await asyncio.sleep(max(0.001, self.later[-1][0] - self.loop.time()))

    def _after(self, data: bytes | None) -> None:
        # None closes with what stands before it, not a delay later.
        due = self.later[-1][0] if data is None and self.later else self.loop.time() + self.delay
        self.later.append((due, data))
        if self.timer is None:
            self.timer = self.loop.call_at(self.later[0][0], self._write)

    def _write(self) -> None:
        self.timer = None
        now = self.loop.time() + 0.0005
        while self.later and self.later[0][0] <= now:
            _due, data = self.later.popleft()
            if self.transport.is_closing():
                self.later.clear()
            elif data is None:
                self.transport.close()
            else:
                self.transport.write(data)
        if self.later:
            self.timer = self.loop.call_at(self.later[0][0], self._write)
