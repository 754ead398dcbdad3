"""A real SMTP server on loopback that misbehaves where it is told to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from delivery.engine.session import Outgoing
from delivery.engine.smtp import Connection, Timeouts, connect
from delivery.engine.types import Exchange

PATIENT = Timeouts(connect=5, greeting=5, ehlo=5, tls=5, mail=5, rcpt=5, data=5, block=5, dot=5, quit=1)


def hurried(phase: str) -> Timeouts:
    """Patient in all phases but one: a busy machine fails no test, and a hanging server costs little time."""
    return replace(PATIENT, **{"block" if phase == "body" else phase: 0.3})


class Hangup(Exception):
    pass


async def refuse(server: Server, phase: str) -> None:
    await server.say("554 5.7.1 no")


async def put_off(server: Server, phase: str) -> None:
    await server.say("450 4.2.1 later")


async def say_421(server: Server, phase: str) -> None:
    await server.say("421 4.3.2 going down")
    raise Hangup


async def hang(server: Server, phase: str) -> None:
    await asyncio.sleep(30)


async def close(server: Server, phase: str) -> None:
    raise Hangup


async def nonsense(server: Server, phase: str) -> None:
    await server.say("HTTP/1.1 400 Bad Request")


async def wrong_number(server: Server, phase: str) -> None:
    await server.say("354 what?" if phase != "data" else "250 what?")


async def endless_line(server: Server, phase: str) -> None:
    with contextlib.suppress(OSError):
        for _ in range(2000):
            server.writer.write(b"250 " + b"x" * 1000)
            await server.writer.drain()
    await asyncio.sleep(30)


async def endless_lines(server: Server, phase: str) -> None:
    with contextlib.suppress(OSError):
        for _ in range(5000):
            server.writer.write(b"250-" + b"x" * 400 + b"\r\n")
            await server.writer.drain()
    await asyncio.sleep(30)


async def two_minds(server: Server, phase: str) -> None:
    await server.say("550-5.1.1 no\r\n250 yes")


async def half_a_reply(server: Server, phase: str) -> None:
    server.writer.write(b"250-yes\r\n250 ye")
    raise Hangup


Fault = Callable[["Server", str], Awaitable[None]]


@dataclass
class Server:
    """One connection's worth of state is kept flat: tests talk to it one connection at a time."""

    faults: dict[str, Fault] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 10000000", "8BITMIME")
    tls: ssl.SSLContext | None = None
    accepted: list[tuple[str, str, bytes]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)  # command lines
    chunks: list[bytes] = field(default_factory=list)  # as they were read from the socket
    connections: int = 0
    answers: dict[str, str] = field(default_factory=dict)  # phase → reply instead of the usual one
    implicit: bool = False  # TLS from the first byte
    logins: dict[str, str] = field(default_factory=dict)  # name → password; MAIL wants one of them
    ways: tuple[str, ...] = ("PLAIN", "LOGIN")
    after_starttls: bytes = b""  # plain text sneaked in behind the 220
    port: int = 0
    encrypted: bool = False

    async def say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")
        await self.writer.drain()

    async def step(self, phase: str, usual: str) -> bool:
        """Answer; True when it was the usual answer."""
        if fault := self.faults.get(phase):
            await fault(self, phase)
            return False
        await self.say(self.answers.get(phase, usual))
        return phase not in self.answers

    async def line(self) -> bytes:
        while b"\n" not in self.buffer:
            chunk = await self.reader.read(65536)
            if not chunk:
                raise Hangup
            self.chunks.append(chunk)
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.buffer = reader, writer, b""
        self.connections += 1
        self.encrypted = self.implicit
        self.known = not self.logins
        try:
            await self.talk()
        except (Hangup, OSError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def talk(self) -> None:
        await self.step("greeting", "220 test ESMTP")
        sender = recipient = None
        while True:
            command = (await self.line()).decode().rstrip("\r\n")
            self.heard.append(command)
            verb = command.split(" ")[0].upper()
            if verb == "EHLO":
                offered = [*self.extensions, *(["STARTTLS"] if self.tls and not self.encrypted else [])]
                if self.logins:
                    offered.append(f"AUTH {' '.join(self.ways)}")
                lines = ["test", *offered]
                usual = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
                await self.step("ehlo", "\r\n".join(usual))
            elif verb == "HELO":
                await self.step("helo", "250 test")
            elif verb == "STARTTLS":
                if not await self.step("tls", "220 go on"):
                    continue
                assert self.tls
                self.writer.write(self.after_starttls)
                await self.writer.start_tls(self.tls)
                self.encrypted, self.buffer = True, b""
            elif verb == "AUTH":
                await self.log_in(command)
            elif verb == "MAIL" and not self.known:
                await self.say("530 5.7.0 Authentication required")
            elif verb == "MAIL":
                sender = command if await self.step("mail", "250 2.1.0 ok") else None
            elif verb == "RCPT":
                recipient = command if await self.step("rcpt", "250 2.1.5 ok") else None
            elif verb == "DATA":
                if not (sender and recipient) and "data" not in self.faults and "data" not in self.answers:
                    await self.say("503 5.5.1 no recipients")
                    continue
                if await self.step("data", "354 go on") or self.answers.get("data", "").startswith("354"):
                    await self.body(sender, recipient)
                    sender = recipient = None
            elif verb == "RSET":
                sender = recipient = None
                await self.step("rset", "250 ok")
            elif verb == "QUIT":
                await self.step("quit", "221 bye")
                raise Hangup
            else:
                await self.say("500 5.5.1 what?")

    async def log_in(self, command: str) -> None:
        if command.startswith("AUTH PLAIN "):
            _, name, password = base64.b64decode(command.split()[2]).decode().split("\0")
        else:
            given = []
            for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                await self.say(prompt)
                given.append(base64.b64decode(await self.line()).decode())
            name, password = given
        if self.logins.get(name) == password:
            self.known = await self.step("auth", "235 2.7.0 welcome")
        else:
            await self.say("535 5.7.8 wrong name or password")

    async def body(self, sender: str | None, recipient: str | None) -> None:
        lines: list[bytes] = []
        size = 0
        while (line := await self.line()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
            size += len(line)
            if "body" in self.faults and size > 100_000:
                await self.faults["body"](self, "body")
                await asyncio.sleep(30)
        if await self.step("dot", "250 2.0.0 queued") and sender and recipient:
            self.accepted.append((sender, recipient, b"".join(lines)))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        tasks: set[asyncio.Task[None]] = set()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(task := asyncio.current_task())
            with contextlib.suppress(asyncio.CancelledError):
                await self.serve(reader, writer)
            tasks.discard(task)

        # A small buffer of a fixed size: left to itself, the system would take megabytes in for a server that hangs.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.bind(("127.0.0.1", 0))
        listener = await asyncio.start_server(handle, sock=sock, ssl=self.tls if self.implicit else None)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    async def connect(self, timeouts: Timeouts = PATIENT, **options: object) -> Connection:
        options.setdefault("tls", "off")
        return await connect(
            "127.0.0.1", self.port, mx_host="mx.example.org", ehlo_name="out.example.com", timeouts=timeouts, **options
        )


def letter(
    content: bytes = b"Subject: x\r\n\r\nhello\r\n", sender: str = "b+1@bounce.example.com", to: str = "a@example.org"
) -> Outgoing:
    return Outgoing(sender, to, content, smtputf8=False, envelope_id="", plain=False)


def mail(
    connection: Connection, content: bytes = b"Subject: x\r\n\r\nhello\r\n", **options: object
) -> Awaitable[Exchange]:
    """`options` as `send` takes them, or of the letter."""
    kept = {name: options.pop(name) for name in ("smtputf8", "envelope_id") if name in options}
    return connection.send(replace(letter(content), **kept), **options)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Our own misbehaving server, in a thread."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        async with server.running():
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()
