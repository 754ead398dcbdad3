"""One SMTP connection of the listener: RFC 5321's dialogue, as far as it takes to receive mail.

Bounded: lines, commands, errors, recipients, sizes, times. Of a mail only its beginning is held; the rest is counted.
Each mail is answered once the door has kept it.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Sequence
from typing import NoReturn, Protocol

import structlog

from tracking.feedback.limits import Limits
from tracking.feedback.store import KEPT_BYTES, Mail

log = structlog.get_logger()

CHUNK = 32 * 1024
MAX_LINE = 2048
MAX_ERRORS = 10
MAX_RECIPIENTS = 20
MAX_MAILS = 1000
# Since the last mail: more than the longest way to one takes.
MAX_COMMANDS = 100
# RFC 5321 §4.5.3.2.7; and for all of a mail's body.
COMMAND_SECONDS = 300.0
BODY_SECONDS = 600.0
# Of all that a client has to say. A mail that has begun by then may still come to its end.
SESSION_SECONDS = 1800.0
# For our last words.
GOODBYE_SECONDS = 10.0
# A mail over the limit is read on to its end, to be refused by 552: but not for ever.
PATIENCE = 4

_MAIL = re.compile(r"from: ?<([^<>\x00-\x20\x7f]*)>(.*)", re.IGNORECASE | re.DOTALL)
_RCPT = re.compile(r"to: ?<([^<>\x00-\x20\x7f]+)>(.*)", re.IGNORECASE | re.DOTALL)
_SIZE = re.compile(r"\bSIZE=(\d{1,19})\b", re.IGNORECASE)
_END = b"\r\n.\r\n"


class Door(Protocol):
    """Whom a session asks."""

    name: str
    max_bytes: int
    tls: ssl.SSLContext | None
    limits: Limits

    async def admits(self, address: str) -> str:
        """ "" where mail to this address is taken, else the reply that refuses it."""

    async def keep(self, mails: Sequence[Mail]) -> bool:
        """Whether all of these are stored now, for good."""


class _Gone(Exception):
    """The client has gone, or is sent away."""


class Session:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: Door) -> None:
        self.reader, self.writer, self.door = reader, writer, door
        peer = writer.get_extra_info("peername")
        # Without the zone of a link-local address, which no inet column takes.
        self.client = str(peer[0]).partition("%")[0] if peer else ""
        self.buffer = bytearray()
        self.out: list[str] = []
        self.greeted = self.secured = False
        self.errors = self.mails = self.commands = 0
        self.until = asyncio.get_running_loop().time() + SESSION_SECONDS
        self._reset()

    def _reset(self) -> None:
        self.sender: str | None = None
        self.recipients: list[str] = []

    async def run(self) -> None:
        """Until it ends, whichever way, or is cancelled. Raises nothing."""
        try:
            self.out.append(f"220 {self.door.name} ESMTP Posthorn")
            while await self._command():
                pass
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._flush()
        except TimeoutError:
            # It does not read what is said to it: what was not sent yet must not keep the socket open.
            self.writer.transport.abort()
        except (_Gone, OSError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            # The end of this task, and asyncio's streams take one that was cancelled for an error.
            self.writer.transport.abort()
        except Exception:
            # One client's fault, or ours with one client's mail: the others go on.
            log.exception("feedback_session_failed", client=self.client)
        finally:
            self.writer.close()

    # --- reading and writing

    async def _more(self) -> None:
        """Read on, once all that was said is out: the client may wait for it."""
        await self._flush()
        data = await self.reader.read(CHUNK)
        if not data:
            raise _Gone
        self.buffer += data

    async def _flush(self) -> None:
        if self.out:
            text = "\r\n".join([*self.out, ""])
            self.out.clear()
            self.writer.write(text.encode("ascii", "replace"))
            await self.writer.drain()

    async def _line(self) -> str:
        left = self.until - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(COMMAND_SECONDS, left)):
                while (end := self.buffer.find(b"\n", 0, MAX_LINE)) < 0:
                    if len(self.buffer) >= MAX_LINE:
                        await self._send_away("500 5.5.2 Line too long")
                    await self._more()
        except TimeoutError:
            await self._send_away(f"421 4.4.2 {self.door.name} No time left, come again")
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        return line.rstrip(b"\r\n").decode("utf-8", "replace")

    async def _send_away(self, reply: str) -> NoReturn:
        self.out.append(reply)
        async with asyncio.timeout(GOODBYE_SECONDS):
            await self._flush()
        raise _Gone

    async def _error(self, reply: str) -> None:
        self.errors += 1
        if self.errors > MAX_ERRORS:
            await self._send_away(f"421 4.7.0 {self.door.name} Too many errors")
        self.out.append(reply)

    # --- commands

    async def _command(self) -> bool:
        verb, _space, rest = (await self._line()).partition(" ")
        self.commands += 1
        if self.commands > MAX_COMMANDS:
            await self._send_away(f"421 4.7.0 {self.door.name} Too many commands without a mail")
        match verb.upper():
            case "EHLO" | "HELO":
                self._greet(verb.upper())
            case "MAIL":
                await self._mail(rest)
            case "RCPT":
                await self._rcpt(rest)
            case "DATA":
                await self._data()
            case "RSET":
                self._reset()
                self.out.append("250 2.0.0 Ok")
            case "NOOP":
                self.out.append("250 2.0.0 Ok")
            case "VRFY":
                self.out.append("252 2.0.0 Send some mail, I'll try my best")
            case "STARTTLS":
                await self._starttls()
            case "QUIT":
                self.out.append("221 2.0.0 Bye")
                return False
            case _:
                await self._error("500 5.5.1 Command not known")
        return True

    def _greet(self, verb: str) -> None:
        self._reset()
        self.greeted = True
        if verb == "HELO":
            self.out.append(f"250 {self.door.name}")
            return
        lines = [self.door.name, "PIPELINING", f"SIZE {self.door.max_bytes}", "8BITMIME", "SMTPUTF8"]
        if self.door.tls is not None and not self.secured:
            lines.append("STARTTLS")
        self.out += [*(f"250-{line}" for line in lines), "250 ENHANCEDSTATUSCODES"]

    async def _mail(self, rest: str) -> None:
        found = _MAIL.fullmatch(rest.strip())
        if not self.greeted:
            await self._error("503 5.5.1 EHLO first")
        elif self.sender is not None:
            await self._error("503 5.5.1 Sender already given")
        elif found is None:
            await self._error("501 5.5.4 Syntax: MAIL FROM:<address>")
        elif (size := _SIZE.search(found[2])) and int(size[1]) > self.door.max_bytes:
            await self._error(self._too_big())
        elif self.mails >= MAX_MAILS:
            await self._send_away(f"421 4.7.0 {self.door.name} Enough for one session, come again")
        elif not self.door.limits.mail(self.client):
            await self._error("450 4.7.1 Too many mails from you, try again in a minute")
        else:
            self.mails += 1
            self.sender = found[1]
            self.out.append("250 2.1.0 Ok")

    async def _rcpt(self, rest: str) -> None:
        found = _RCPT.fullmatch(rest.strip())
        if self.sender is None:
            await self._error("503 5.5.1 MAIL first")
        elif found is None:
            await self._error("501 5.5.4 Syntax: RCPT TO:<address>")
        elif len(self.recipients) >= MAX_RECIPIENTS:
            self.out.append("452 4.5.3 Too many recipients")
        elif refusal := await self.door.admits(found[1]):
            await self._error(refusal)
        else:
            self.recipients.append(found[1])
            self.out.append("250 2.1.5 Ok")

    async def _data(self) -> None:
        if not self.recipients:
            await self._error("503 5.5.1 RCPT first")
            return
        self.out.append("354 End data with <CR><LF>.<CR><LF>")
        async with asyncio.timeout(BODY_SECONDS):
            raw, size = await self._body()
        self.commands = 0
        if size > self.door.max_bytes:
            self.out.append(self._too_big())
        elif await self.door.keep([Mail(raw, size, one, self.sender, self.client or None) for one in self.recipients]):
            self.out.append("250 2.0.0 Ok: kept")
        else:
            self.out.append("451 4.3.0 Not kept: try again later")
        self._reset()

    def _too_big(self) -> str:
        return f"552 5.3.4 Message too big: at most {self.door.max_bytes} octets"

    async def _body(self) -> tuple[bytes, int]:
        """The beginning of what comes up to the final dot, without dot-stuffing, and the size of all of it."""
        # As if a line had ended before: an empty mail ends like any other.
        self.buffer[:0] = b"\r\n"
        kept, size, looked = bytearray(), 0, 0
        while (end := self.buffer.find(_END, looked)) < 0:
            if (ready := len(self.buffer) - len(_END) + 1) >= CHUNK:
                kept += self.buffer[: min(ready, max(0, KEPT_BYTES + 2 - len(kept)))]
                size += ready
                del self.buffer[:ready]
            looked = max(0, len(self.buffer) - len(_END) + 1)
            if size > PATIENCE * self.door.max_bytes:
                await self._send_away(self._too_big())
            await self._more()
        kept += self.buffer[: min(end, max(0, KEPT_BYTES + 2 - len(kept)))]
        # The line end before the dot belongs to the mail, as the one that was put in front does not.
        size += end
        del self.buffer[: end + len(_END)]
        body = bytes(kept).replace(b"\r\n..", b"\r\n.")[2:]
        if size > KEPT_BYTES:
            return body, size
        body += b"\r\n" if body else b""
        return body, len(body)

    async def _starttls(self) -> None:
        if self.door.tls is None or self.secured:
            await self._error("502 5.5.1 STARTTLS is not offered")
            return
        # What was sent in the clear behind STARTTLS must not survive the handshake (RFC 3207 §5).
        self.buffer.clear()
        self.out.append("220 2.0.0 Ready to start TLS")
        async with asyncio.timeout(COMMAND_SECONDS):
            await self._flush()
        await self.writer.start_tls(self.door.tls, ssl_handshake_timeout=30.0)
        self.secured, self.greeted = True, False
        self._reset()
