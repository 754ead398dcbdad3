"""The simulator's SMTP server: a plain asyncio protocol, since it must take thousands of mails a second.

It reads sternly what it is sent, as the strictest servers do: no bare CR or LF, no line over the limit of RFC 5321
§4.5.3.1, no 8-bit mail that was not announced. So a mail that it accepts would be accepted elsewhere.
Replies to pipelined commands (RFC 2920) go out together, after the record of what they promise is written.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable

from delivery.simulator import message
from delivery.simulator.behaviour import Answer
from delivery.simulator.moods import LISTED, NO_TLS
from delivery.simulator.post import Post
from delivery.simulator.record import UNSAID, Outcome, Record
from delivery.simulator.visit import Visit

MAX_COMMAND = 2_048  # octets of a command line: 512 and room for its extensions
MAX_RECIPIENTS = 100
MAX_ERRORS = 20  # bad commands before the connection is closed
HUNG_UP = Answer(451, "4.4.2", "<{recipient}>: hung up before the final dot")

# Mailbox in angle brackets; a quoted local part may hold what it likes but control characters.
_PATH = r"<((?:\"(?:[^\"\\\x00-\x1f\x7f]|\\[ -~])*\"|[^\">\x00-\x20\x7f])*)>(?: +(.*))?"
_MAIL = re.compile(r"from: ?" + _PATH, re.IGNORECASE | re.DOTALL)
_RCPT = re.compile(r"to: ?" + _PATH, re.IGNORECASE | re.DOTALL)


class Session(Visit):
    """One connection."""

    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self.scanned = 0  # octets of the buffer in which no end was found
        self.out: list[str] = []
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.secured = False
        self.errors = 0
        self.helo = ""
        self.trap = False  # whatever comes next, it hangs up
        self.rude = False  # it hangs up without another word
        self._reset()

    def _reset(self) -> None:
        self.sender: str | None = None
        self.turned_down = self.counted = False
        self.utf8 = self.eight_bit = False
        self.recipients: list[str] = []
        self.in_data = False
        self.dropped = 0  # octets of a body that grew too big and is no longer kept

    # --- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.mood = self.options.moods.get(self.begun(transport))
        if len(self.post.sessions) >= self.options.max_connections:
            self.hang_up("421 4.3.2 {name} Too many connections")
            return
        self.post.sessions.add(self)
        self.post.peak = max(self.post.peak, len(self.post.sessions))
        if self.mood is not None:
            self.delay += self.mood.delay
            refusal = self.visit(self.mood)
            if refusal is not None:
                self.hang_up(refusal.line("", self.client))
            if refusal is not None or self.mood.silent:
                return
        self.say(f"220 {self.options.name} ESMTP simulator\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        self.ended()

    def buffer_updated(self, nbytes: int) -> None:
        if self.closing or (self.mood is not None and self.mood.silent):
            return
        self.seen = self.loop.time()
        self.buffer += self.post.incoming[:nbytes]
        if self.negotiating is not None:
            if len(self.buffer) > MAX_COMMAND * 16:
                self.hang_up("", flush=False)
            return
        self._work()

    # --- reading

    def _work(self) -> None:
        """Take everything that is complete out of the buffer, write the record, then the replies."""
        if self.trap:
            self.hang_up("", flush=False)
            return
        while (
            not (self.closing or self.trap)
            and self.negotiating is None
            and (self._body() if self.in_data else self._command())
        ):
            pass
        if self.accepted or self.refused:
            try:
                self.post.recorder.write(self.accepted, self.refused)
            except OSError:
                # What is not on record must not be promised.
                self.hang_up("", flush=False)
                return
            self.post.accepted += len(self.accepted)
            self.post.refused += len(self.refused)
            self.accepted.clear()
            self.refused.clear()
        if self.out:
            self.out.append("")
            self.say("\r\n".join(self.out).encode("utf-8", "surrogateescape"))
            self.out.clear()
        if self.closing:
            self.hang_up("", flush=not self.rude)

    def _command(self) -> bool:
        buffer = self.buffer
        end = buffer.find(b"\n", self.scanned)
        if end > MAX_COMMAND or (end < 0 and len(buffer) > MAX_COMMAND):
            self.out.append("500 5.5.2 Line too long")
            self.closing = True
            return False
        if end < 0:
            self.scanned = len(buffer)
            return False
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self.scanned = 0
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            self._error("500 5.5.2 Bare CR or LF")
            return True
        try:
            verb, _space, rest = line[:-1].decode().partition(" ")
        except UnicodeDecodeError:
            self._error("500 5.5.2 Not UTF-8")
            return True
        command = _COMMANDS.get(verb.upper())
        if command is None:
            self._error("500 5.5.1 Command not known")
        else:
            command(self, rest)
        return True

    def _body(self) -> bool:
        buffer = self.buffer
        if not self.dropped and buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            found = buffer.find(b"\r\n.\r\n", self.scanned)
            if found < 0:
                if len(buffer) > self.options.max_size + 5:
                    # Read on to the final dot, but keep only what may be the beginning of it.
                    self.dropped += len(buffer) - 4
                    del buffer[:-4]
                self.scanned = max(0, len(buffer) - 4)
                return False
            end, after = found + 2, found + 5
        body = bytes(buffer[:end])
        del buffer[:after]
        self.scanned = 0
        self._message(body)
        self._reset()
        return True

    # --- what is said

    def _error(self, reply: str) -> None:
        self.errors += 1
        if self.errors > MAX_ERRORS:
            self.out.append(f"421 4.7.0 {self.options.name} Too many errors")
            self.closing = True
        else:
            self.out.append(reply)

    def _ehlo(self, rest: str) -> None:
        if not rest.strip():
            self._error("501 5.5.4 EHLO needs a host name")
            return
        self._reset()
        self.helo = rest
        lines = [self.options.name, "PIPELINING", f"SIZE {self.options.max_size}", "8BITMIME", "ENHANCEDSTATUSCODES"]
        if (self.options.tls is not None and not self.secured) or (self.mood is not None and self.mood.tls):
            lines.append("STARTTLS")
        self.out += [f"250-{line}" for line in lines]
        self.out.append("250 SMTPUTF8")

    def _helo(self, rest: str) -> None:
        if not rest.strip():
            self._error("501 5.5.4 HELO needs a host name")
            return
        self._reset()
        self.helo = rest
        self.out.append(f"250 {self.options.name}")

    def _mail(self, rest: str) -> None:
        match = _MAIL.fullmatch(rest)
        if not self.helo:
            self._error("503 5.5.1 EHLO first")
        elif self.sender is not None:
            self._error("503 5.5.1 Sender already given")
        elif match is None:
            self._error("501 5.5.4 Syntax: MAIL FROM:<address>")
        else:
            refusal = self._parameters(match[2] or "") or self._unfit(match[1])
            if self.mood is not None and (moody := self.moody(self.mood)) is not None:
                self._reset()
                self.turned_down = True
                self._answer(moody.line("", self.client))
            elif refusal:
                self._reset()
                self._error(refusal)
            else:
                self.sender = match[1]
                self.out.append("250 2.1.0 Ok")

    def _answer(self, reply: str) -> None:
        """Say it; 421 ends the session (RFC 5321 §3.8)."""
        self.out.append(reply.replace("{name}", self.options.name))
        self.closing = self.closing or reply.startswith("421")

    def _parameters(self, text: str) -> str:
        """Read the parameters of MAIL; a refusal, or ""."""
        for parameter in text.split():
            key, _equals, value = parameter.upper().partition("=")
            if key == "SIZE" and value.isdecimal() and len(value) <= 20:
                if int(value) > self.options.max_size:
                    return self._too_big().line("", "")
            elif key == "BODY" and value in ("7BIT", "8BITMIME"):
                self.eight_bit = value == "8BITMIME"
            elif key == "SMTPUTF8" and not value:
                self.utf8 = True
            else:
                return "555 5.5.4 Parameter not known"
        return ""

    def _too_big(self) -> Answer:
        return Answer(552, "5.3.4", f"Message too big: at most {self.options.max_size} octets")

    def _unfit(self, address: str) -> str:
        return "" if self.utf8 or address.isascii() else "553 5.6.7 SMTPUTF8 is needed for this address"

    def _rcpt(self, rest: str) -> None:
        match = _RCPT.fullmatch(rest)
        if self.sender is None:
            # What was pipelined behind a refused MAIL is no fault of the client.
            (self.out.append if self.turned_down else self._error)("503 5.5.1 MAIL first")
        elif match is None or not match[1]:
            self._error("501 5.5.4 Syntax: RCPT TO:<address>")
        elif match[2]:
            self._error("555 5.5.4 Parameter not known")
        elif len(self.recipients) >= MAX_RECIPIENTS:
            self.out.append("452 4.5.3 Too many recipients")
        elif refusal := self._unfit(match[1]):
            self._error(refusal)
        else:
            recipient = match[1]
            if not self.counted:
                self.count_message(recipient)
            listed = self.mood is not None and self.client in self.mood.listed
            answer = LISTED if listed else self.post.mailboxes.at_rcpt(recipient)
            reply = answer.line(recipient, self.client)
            if answer.accepts:
                self.recipients.append(recipient)
            else:
                self._refuse(recipient, answer, reply)
            self._answer(reply)

    def _data(self, rest: str) -> None:
        if rest:
            self._error("501 5.5.4 DATA takes no argument")
        elif not self.recipients:
            known = "554 5.5.1 No valid recipients" if self.sender is not None else "503 5.5.1 MAIL first"
            (self.out.append if self.turned_down else self._error)(known)
        else:
            for recipient in self.recipients:
                if self.post.mailboxes.drops(recipient, "drop_before"):
                    self.trap = True
                    self._refuse(recipient, HUNG_UP, HUNG_UP.line(recipient, self.client))
            self.in_data = True
            self.out.append("354 End data with <CR><LF>.<CR><LF>")

    def _rset(self, rest: str) -> None:
        self._reset()
        self.out.append("250 2.0.0 Ok")

    def _noop(self, rest: str) -> None:
        self.out.append("250 2.0.0 Ok")

    def _quit(self, rest: str) -> None:
        self.out.append("221 2.0.0 Bye")
        self.closing = True

    def _vrfy(self, rest: str) -> None:
        self.out.append("252 2.0.0 Send some mail, I'll try my best")

    def _starttls(self, rest: str) -> None:
        if self.mood is not None and self.mood.tls:
            self.trap = self.mood.tls == "broken"
            self.out.append("220 2.0.0 Ready to start TLS" if self.trap else NO_TLS.line("", self.client))
            return
        if self.options.tls is None or self.secured:
            self._error("502 5.5.1 STARTTLS is not offered")
            return
        # What was sent in the clear behind STARTTLS must not survive the handshake (RFC 3207 §5).
        self.buffer.clear()
        self.transport.pause_reading()
        self.out.append("220 2.0.0 Ready to start TLS")
        self.negotiating = self.loop.create_task(self._secure(self.options.tls))

    async def _secure(self, context: ssl.SSLContext) -> None:
        await self.said()
        try:
            secure = await self.loop.start_tls(
                self.transport, self, context, server_side=True, ssl_handshake_timeout=30.0
            )
        except (OSError, ssl.SSLError):
            secure = None
        if secure is None or self.closing:
            self.hang_up("", flush=False)
            return
        self.transport = secure
        self.secured = True
        self.helo = ""
        self._reset()
        self.negotiating = None
        # The client's first words may have come with the end of the handshake.
        self._work()

    # --- the mail itself

    def _refuse(
        self, recipient: str, answer: Answer, reply: str, size: int = 0, ids: tuple[str, str] = ("", "")
    ) -> None:
        outcome: Outcome = "deferred" if answer.code < 500 else "refused"
        self.refused.append(self._record(outcome, recipient, reply, size, ids, ""))

    def _record(
        self, outcome: Outcome, recipient: str, reply: str, size: int, ids: tuple[str, str], queue_id: str
    ) -> str:
        message_id, number = ids
        sender = self.sender or ""
        return Record(
            time.time(), outcome, recipient, sender, message_id, size, self.client, queue_id, number, reply
        ).line()

    def _drops_after(self) -> bool:
        # Asked of each: each is counted.
        return True in [self.post.mailboxes.drops(recipient, "drop_after") for recipient in self.recipients]

    def _message(self, body: bytes) -> None:
        """Answer the final dot: for all recipients at once, as SMTP does."""
        body = message.unstuffed(body)
        size = len(body) + self.dropped
        if self.dropped or size > self.options.max_size:
            refusal: Answer | None = self._too_big()
        else:
            refusal = message.fault(body, self.eight_bit)
        ids = message.identity(body)
        for recipient in self.recipients:
            if refusal is None:
                refusal = self.post.mailboxes.at_dot(recipient)
        if refusal is not None:
            reply = refusal.line(self.recipients[0], self.client)
            for recipient in self.recipients:
                self._refuse(recipient, refusal, reply, size, ids)
        else:
            queue_id = self.post.next_id()
            reply = f"250 2.0.0 Ok: queued as {queue_id}"
            self.rude = self._drops_after()
            if self.rude:
                self.closing = True
                reply += UNSAID
            if self.options.keep and self.post.mails <= self.options.max_kept:
                self.post.recorder.keep(queue_id, body)
            for recipient in self.recipients:
                self.accepted.append(self._record("accepted", recipient, reply, size, ids, queue_id))
                self.post.bring_back(recipient, self.sender or "", body, queue_id)
        if not self.rude:
            self.out.append(reply)


_COMMANDS: dict[str, Callable[[Session, str], None]] = {
    "EHLO": Session._ehlo,
    "HELO": Session._helo,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "RSET": Session._rset,
    "NOOP": Session._noop,
    "QUIT": Session._quit,
    "VRFY": Session._vrfy,
    "STARTTLS": Session._starttls,
}
