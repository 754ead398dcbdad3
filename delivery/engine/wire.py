"""Bytes on the socket ↔ SMTP replies. Knows lines, limits and time, and no command.

Built on `asyncio.Protocol` and not on streams: a reply costs no task switch beyond the one that waits for it, and one
timer serves a connection for its whole life, moved only when it fires too early.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, NamedTuple

LINE_MAX: Final = 2048  # RFC 5321 §4.5.3.1.5 says 512; real servers write URLs and signatures into theirs
REPLY_MAX: Final = 65_536  # all lines of one reply
TEXT_MAX: Final = 2000  # characters of a reply that are kept
BLOCK: Final = 65_536  # bytes of a body written before looking whether the other side still takes them

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_CHINESE = re.compile(rb"(?:[\x81-\xfe][\x40-\xfe]){2}")


class Answer(NamedTuple):
    """A whole reply: its code, and its lines as they came, joined with a line feed."""

    code: int
    text: str


def readable(raw: bytes) -> str:
    """Text of a reply: UTF-8, else GB18030 (QQ, 163), else Latin-1; control characters replaced; ≤ 2,000 characters."""
    raw = raw[: TEXT_MAX * 4]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030" if _CHINESE.search(raw) else "latin-1")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    if not text.isprintable():
        text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return text[:TEXT_MAX]


class Wire(asyncio.Protocol):
    """One connection. After the first fault nothing is read or written any more, and `fault` says why."""

    __slots__ = (
        "_deadline",
        "_deaf",
        "_draining",
        "_limits",
        "_lines",
        "_loop",
        "_owed",
        "_paused",
        "_rest",
        "_size",
        "_timer",
        "_waiter",
        "answers",
        "closed",
        "closing",
        "fault",
        "timed_out",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self.answers: list[Answer] = []
        self.fault = ""
        self.timed_out = False
        self.closing = False  # the server said 421: it hangs up
        self.closed: asyncio.Future[None] = loop.create_future()
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._owed = 1  # answers to what was asked that nobody has taken yet: at first, the greeting
        self._waiter: asyncio.Future[None] | None = None
        self._limits: tuple[float, ...] = ()
        self._draining = False
        self._deaf: bool | None = None  # None: listens; False: to one more answer; True: to nothing
        self._paused = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"The connection broke: {exc}" if exc else "The server closed the connection")
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._draining:
            self._wake()

    def data_received(self, data: bytes) -> None:
        if self.fault or self._deaf:
            return
        if self._rest:
            data = self._rest + data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            if line.endswith(b"\r"):
                line = line[:-1]
            start = end + 1
            if not self._take(line):
                return
        self._rest = data[start:] if start else data
        if len(self._rest) > LINE_MAX:
            self.fail(f"The server sent a line of more than {LINE_MAX} bytes")

    def _take(self, line: bytes) -> bool:
        code = line[:3]
        self._size += len(line) + 2
        # RFC 5321 §4.2.1: first digit 2 to 5, then a space, a hyphen or nothing
        if len(line) > LINE_MAX:
            self.fail(f"The server sent a line of more than {LINE_MAX} bytes")
        elif not code.isdigit() or len(code) != 3 or code[0] not in b"2345" or line[3:4] not in (b" ", b"-", b""):
            self.fail("The server does not speak SMTP: " + readable(line[:200]))
        elif self._lines and self._lines[0][0] != line[0]:
            # whichever of the two is believed, it may be the wrong one
            self.fail("The server contradicts itself in one reply: " + readable(self._lines[0][:100] + b" / " + line))
        elif self._size > REPLY_MAX:
            self.fail(f"The server sent a reply of more than {REPLY_MAX} bytes")
        elif line[3:4] == b"-":
            self._lines.append(line)
            return True
        elif len(self.answers) > 8:
            self.fail("The server answers what nobody asked")
        else:
            if self._lines:
                self._lines.append(line)
                line = b"\n".join(self._lines)
                self._lines.clear()
            self._size = 0
            self._answer(int(code), readable(line))
            if self._deaf is None:
                return True
            self._deaf = True
        return False

    def _answer(self, code: int, text: str) -> None:
        self.answers.append(Answer(code, text))
        if code == 421:
            self.closing = True
        if self._waiter is not None:
            if self._draining or self.closing or len(self.answers) >= len(self._limits):
                self._wake()
            else:
                self._arm(self._limits[len(self.answers)])

    # Waiting

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _arm(self, limit: float) -> None:
        when = self._deadline = self._loop.time() + limit
        if self._timer is None:
            self._timer = self._loop.call_at(when, self._tick)
        elif when < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._deadline - 0.001:
            self.timed_out = True
            self.fail("No answer in time" if not self._draining else "The server takes no more data")
        else:
            self._timer = self._loop.call_at(self._deadline, self._tick)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # What the client calls

    def fail(self, why: str) -> None:
        """Give the connection up; the first reason given stays."""
        if not self.fault:
            self.fault = why
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Close the socket now, without a word."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.transport is not None:
            self.transport.abort()

    @property
    def quiet(self) -> bool:
        """Open, and the server has said nothing unasked."""
        unasked = len(self.answers) - self._owed
        return not (self.fault or self.closing) and (unasked < 0 or (unasked == 0 and not (self._rest or self._lines)))

    async def ask_last(self, data: bytes, limit: float) -> list[Answer]:
        """`ask` for one answer, and throw away whatever comes behind it, until `hear_again`.

        For STARTTLS: what follows its answer in the clear may have been said by anyone (RFC 3207 §6).
        """
        self._deaf = False
        return await self.ask(data, (limit,))

    def hear_again(self) -> None:
        """Listen from now on, as if nothing had been received before."""
        self._deaf = None
        self._rest = b""

    async def ask(self, data: bytes, limits: tuple[float, ...]) -> list[Answer]:
        """Write, then read one reply for each of `limits` (seconds; each counts from the reply before).

        Fewer come back when the connection fails or the server says 421. More than asked for is a fault.
        """
        self.write(data, len(limits))
        return await self.listen(limits)

    def write(self, data: bytes, answers: int) -> None:
        """Write what so many answers will come to, unless nothing can be written any more; `listen` tells."""
        if not self.quiet and not self.closing:
            self.fail("The server spoke out of turn")
        if not self.fault and not self.closing:
            assert self.transport is not None
            self.transport.write(data)
            self._owed += answers

    async def listen(self, limits: tuple[float, ...]) -> list[Answer]:
        """Read one reply for each of `limits`, also such as came already. What more is owed is left to the next."""
        count = len(limits)
        if len(self.answers) < count and not self.fault and not self.closing:
            self._limits = limits
            self._arm(limits[len(self.answers)])
            await self._wait()
        answers = self.answers[:count]
        del self.answers[:count]
        self._owed -= min(count, self._owed)
        if len(self.answers) > self._owed and not self.closing:
            self.fail("The server answers what nobody asked")
        return answers

    async def pour(self, data: bytes, limit: float, answers: int) -> bool:
        """Write all but the last block of `data` and hand that to the transport too; so many answers will come to it.

        `limit`: seconds for each block. False when the server answered or hung up before the last block was written,
        so that it cannot have seen the end.
        """
        view = memoryview(data)
        for start in range(0, len(data), BLOCK):
            if not self.quiet:
                return False
            assert self.transport is not None
            self.transport.write(view[start : start + BLOCK])
            if self._paused and start + BLOCK < len(data):
                self._draining = True
                self._arm(limit)
                try:
                    await self._wait()
                finally:
                    self._draining = False
        self._owed += answers
        return True
