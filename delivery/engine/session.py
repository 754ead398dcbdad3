"""An open SMTP session: sends one message at a time over it, and says what the server said.

RFC 5321, 1870 (SIZE), 2034 (enhanced codes), 2920 (PIPELINING), 6152 (8BITMIME), 6531 (SMTPUTF8).
Where the next message is known when the body of one is written, it is announced in the same write (RFC 2920 §3.1): a
round trip a message. Its own body waits until it is sent itself.
Only an answer of 2xx to the final dot is a delivery; a final dot without an answer is none, and is the one case in
which a message can arrive twice.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from delivery.engine.route import ascii_domain
from delivery.engine.types import Exchange, Phase, Reply
from delivery.engine.wire import BLOCK, TEXT_MAX, Answer, Wire

TALK_MAX: Final = 4096  # characters of a conversation that are kept

_ENHANCED = re.compile(r"\d{3}[ -]([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_PATH = re.compile(r'(?:[^\s<>"\\\x00-\x1f\x7f]{1,64}|"[^\r\n\x00-\x1f\x7f]{1,62}")@[^\s<>@\x00-\x1f\x7f]{1,255}')
_IDLE = re.compile(r"\b4\.4\.2\b|time-?d? ?out|idle", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait in each phase (RFC 5321 §4.5.3.2)."""

    connect: float = 30
    greeting: float = 300
    ehlo: float = 300
    tls: float = 60
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    dot: float = 600
    quit: float = 5


@dataclass(slots=True)
class Outgoing:
    """A message to one recipient. `content` has CRLF lines; dots are doubled on the way."""

    envelope_from: str
    recipient: str
    content: bytes
    # The headers need it, whatever the addresses are.
    smtputf8: bool
    # How a server that reports shall call it (RFC 3461), or "".
    envelope_id: str
    # Known to have lines that end in CRLF, none of which begins with a dot.
    plain: bool


class SmtpFailed(Exception):
    """No connection that mail could be sent over; `exchange.reply` says why."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange.reply.text)
        self.exchange = exchange


class NotTried(SmtpFailed):
    """`may_begin` said no before the body was written. Where not even MAIL was, the connection is as good as before."""


NOT_TRIED: Final = Reply(0, "", "Not tried: there was no time left to send it", Phase.MAIL)


def make_reply(answer: Answer, phase: Phase) -> Reply:
    """The reply to keep, with the enhanced code found in its first line (RFC 2034)."""
    match = _ENHANCED.match(answer.text)
    return Reply(answer.code, match[1] if match else "", answer.text, phase)


def stuffed(content: bytes) -> bytes:
    """Content as it goes over the wire after 354: dots doubled, and the final dot (RFC 5321 §4.5.2)."""
    if b"\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content + (b".\r\n" if content.endswith(b"\r\n") or not content else b"\r\n.\r\n")


def has_clean_lines(content: bytes) -> bool:
    """Every CR stands before an LF and the other way round: what else leaves us could smuggle a second message."""
    pairs = content.count(b"\r\n")
    return content.count(b"\n") == pairs == content.count(b"\r")


class Connection:
    """An open session. Not for use by two tasks at once. Broken or told to go away: `usable` is False."""

    __slots__ = (
        "_dirty",
        "_loop",
        "_timeouts",
        "_wire",
        "announced",
        "certificate",
        "extensions",
        "local_ip",
        "mx_host",
        "opening",
        "remote_ip",
        "sent",
        "tls",
    )

    def __init__(self, wire: Wire, timeouts: Timeouts, mx_host: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._timeouts = timeouts
        self._dirty = False  # a transaction was refused half way: RSET before the next
        # Its MAIL, RCPT and DATA are on the wire; nothing else may be sent before it.
        self.announced: Outgoing | None = None
        self.opening: list[tuple[str, str]] = []
        self.extensions: dict[str, str] = {}  # EHLO keyword in capitals → its parameters
        self.mx_host = mx_host
        self.remote_ip = self.local_ip = self.tls = self.certificate = ""
        self.sent = 0  # transactions begun

    @property
    def usable(self) -> bool:
        """Another message may be sent over it."""
        return self._wire.quiet

    async def send(
        self,
        mail: Outgoing,
        *,
        notify: str = "",
        may_begin: Callable[[], bool] | None = None,
        follow: Callable[[], Outgoing | None] | None = None,
    ) -> Exchange:
        """One message.

        Whatever happens on the wire comes back as an Exchange; code 0 = no (sensible) answer in that phase. What the
        server cannot take (too big, SMTPUTF8) is refused here with a 5xx of our own. `notify` ("FAILURE,DELAY") is
        what a server that offers DSN is asked to report. `may_begin` is asked right before MAIL is written, and once
        more before the body is; when it says False, NotTried is raised. `follow` is asked for the message that will
        be the next to be sent over this connection, so that it can be announced; None: not known.
        """
        started, begun = time.time(), self._loop.time()
        announced = self.announced is mail
        if self.announced is not None and not announced:
            self.close()
        self.announced = None
        talk = self.opening or [("connect", f"open connection, mail {self.sent + 1} on it")]
        self.opening = []
        # Its lines are on the wire already: what befell the connection before this message's turn is not its fault.
        lost = announced and bool(self._wire.fault)
        stale = False
        prepared = None if announced else self._prepare(mail, notify)
        if isinstance(prepared, Reply):
            reply = prepared
        elif prepared is not None and may_begin is not None and not may_begin():
            self.opening = talk
            raise NotTried(self._exchange(NOT_TRIED, talk, started, begun))
        else:
            reused = self.sent > 0
            self.sent += 1
            try:
                reply = await self._transact(mail, prepared, talk, notify, may_begin, follow)
            except (OSError, RuntimeError) as error:
                self._wire.fail(f"The connection broke: {error}")
                reply = Reply(0, "", self._wire.fault, Phase.DOT)
            except BaseException:
                self.close()
                raise
            if reply is NOT_TRIED:
                self.close()
                raise NotTried(self._exchange(reply, talk, started, begun))
            if reused and reply.phase is Phase.MAIL:
                gone = reply.code == 0 and (lost or not self._wire.timed_out)
                stale = gone or (reply.code == 421 and bool(_IDLE.search(reply.text)))
        exchange = self._exchange(reply, talk, started, begun)
        exchange.stale = stale
        return exchange

    async def quit(self) -> None:
        """Say goodbye if the server still listens, and close. Raises nothing."""
        try:
            if self.usable and self.announced is None:
                await self._wire.ask(b"QUIT\r\n", (self._timeouts.quit,))
        except (OSError, RuntimeError):
            pass
        finally:
            self.close()
        await gone(self._wire)

    def close(self) -> None:
        """Close the socket now, without a word."""
        self._wire.fail("Closed here")

    def _exchange(self, reply: Reply, talk: list[tuple[str, str]], started: float, begun: float) -> Exchange:
        now = self._loop.time()
        return Exchange(
            reply,
            bounded(talk),
            self.mx_host,
            self.remote_ip,
            self.local_ip,
            self.tls,
            started,
            now - begun,
            self.certificate,
        )

    def _prepare(self, outgoing: Outgoing, notify: str) -> tuple[bytes, bytes] | Reply:
        """The MAIL and RCPT lines, or why this message cannot go over this connection."""
        sender, recipient, content = outgoing.envelope_from, outgoing.recipient, outgoing.content
        utf8 = outgoing.smtputf8
        offered = self.extensions
        for address in (sender, recipient):
            if not _PATH.fullmatch(address) and (address or address is recipient):
                return Reply(
                    553, "5.1.3", f"553 5.1.3 Not an address that can be sent to: {address[:320]!r}", Phase.MAIL
                )
        if not (sender.isascii() and recipient.isascii()):
            try:
                sender, recipient = _with_ascii_domain(sender), _with_ascii_domain(recipient)
            except ValueError as error:
                return Reply(553, "5.1.2", f"553 5.1.2 Not a domain: {error}", Phase.MAIL)
            utf8 = utf8 or not (sender.isascii() and recipient.isascii())
        if utf8 and "SMTPUTF8" not in offered:
            text = "553 5.6.7 The address needs SMTPUTF8, which the receiving server does not offer"
            return Reply(553, "5.6.7", text, Phase.MAIL)
        if not (outgoing.plain or has_clean_lines(content)):
            return Reply(554, "5.6.0", "554 5.6.0 Not sent: a bare CR or LF in the message", Phase.MAIL)
        mail = f"MAIL FROM:<{sender}>"
        size = offered.get("SIZE")
        if size is not None:
            if size.isdecimal() and 0 < int(size) < len(content):
                text = f"552 5.3.4 The message has {len(content)} bytes; the receiving server takes {size}"
                return Reply(552, "5.3.4", text, Phase.MAIL)
            mail += f" SIZE={len(content)}"
        if "8BITMIME" in offered and not content.isascii():
            mail += " BODY=8BITMIME"
        if utf8:
            mail += " SMTPUTF8"
        lines = f"{mail}\r\n".encode(), f"RCPT TO:<{recipient}>\r\n".encode()
        return _with_dsn(lines, recipient, outgoing.envelope_id, notify) if notify and "DSN" in offered else lines

    async def _transact(
        self,
        mail: Outgoing,
        lines: tuple[bytes, bytes] | None,
        talk: list[tuple[str, str]],
        notify: str,
        may_begin: Callable[[], bool] | None,
        follow: Callable[[], Outgoing | None] | None,
    ) -> Reply:
        """From MAIL to the answer to the final dot. `lines`: MAIL and RCPT; None: they are on the wire already."""
        wire, limits = self._wire, self._timeouts
        refused = await self._open_letter(lines, talk)
        if refused is not None:
            return refused
        if may_begin is not None and not may_begin():
            return NOT_TRIED
        body = mail.content + b".\r\n" if mail.plain else stuffed(mail.content)
        if follow is not None and "PIPELINING" in self.extensions and (next_mail := follow()) is not None:
            following = self._prepare(next_mail, notify)
            if not isinstance(following, Reply):
                self.announced = next_mail
                body += b"".join([*following, b"DATA\r\n"])
        answers_due = 1 if self.announced is None else 4
        if len(body) > BLOCK:
            if not await wire.pour(body, limits.block, answers_due):
                # answered or gone before the end was written: it cannot have been accepted
                self.announced = None
                early = wire.answers.pop() if wire.answers else None
                reply = Reply(0, "", wire.fault or "The server spoke out of turn", Phase.BODY)
                if early is not None:
                    talk.append((Phase.BODY, early.text))
                    reply = self.refusal(early, Phase.BODY)
                wire.fail(reply.text)
                return reply
        else:
            wire.write(body, answers_due)
        answers = await wire.listen((limits.dot,))
        if not answers:
            return Reply(0, "", wire.fault or "No answer", Phase.DOT)
        talk.append((Phase.DOT, answers[0].text))
        if answers[0].code < 300:
            return make_reply(answers[0], Phase.DOT)
        return self.refusal(answers[0], Phase.DOT)

    async def _open_letter(self, lines: tuple[bytes, bytes] | None, talk: list[tuple[str, str]]) -> Reply | None:
        """MAIL, RCPT, DATA; None: the server waits for the body."""
        wire, limits = self._wire, self._timeouts
        mail, rcpt = lines or (b"", b"")
        phases: list[tuple[Phase, bytes, float]] = [
            (Phase.MAIL, mail, limits.mail),
            (Phase.RCPT, rcpt, limits.rcpt),
            (Phase.DATA, b"DATA\r\n", limits.data),
        ]
        if self._dirty:
            phases.insert(0, (Phase.MAIL, b"RSET\r\n", limits.mail))
            self._dirty = False
        together = "PIPELINING" in self.extensions
        got: list[tuple[Phase, Answer]] = []
        refused: Reply | None = None
        for group in [phases] if together else [[step] for step in phases]:
            due = tuple([limit for *_, limit in group])
            answers = await (wire.ask(b"".join([line for _, line, _ in group]), due) if lines else wire.listen(due))
            for index, (phase, line, _) in enumerate(group):
                if index >= len(answers):
                    refused = refused or Reply(0, "", wire.fault or "No answer", phase)
                    wire.fail(refused.text)
                    break
                answer = answers[index]
                talk.append((phase if line[:4] != b"RSET" else "rset", answer.text))
                got.append((phase, answer))
                fits = answer.code == 354 if phase is Phase.DATA else 200 <= answer.code < 300
                if not fits and refused is None:
                    refused = self.refusal(answer, phase)
            if refused is not None:
                break
        if wire.closing and refused is None:  # 421 to RSET
            refused = self.refusal(got[-1][1], got[-1][0])
        if refused is not None:
            await self._withdraw(got, talk)
        return refused

    def refusal(self, answer: Answer, phase: Phase) -> Reply:
        """4xx and 5xx as they are; any other answer that does not fit makes the connection worthless."""
        if answer.code >= 400:
            return make_reply(answer, phase)
        self._wire.fail(f"Not an answer to {phase.upper()}: {answer.text}"[:TEXT_MAX])
        return Reply(0, "", self._wire.fault, phase)

    async def _withdraw(self, got: list[tuple[Phase, Answer]], talk: list[tuple[str, str]]) -> None:
        """After a refusal: leave the session ready for the next message, or close it."""
        wire = self._wire
        self._dirty = True
        if not wire.quiet or not any(phase is Phase.DATA and answer.code == 354 for phase, answer in got):
            return
        # RFC 2920 §3.1: DATA may be accepted though no recipient was. A lone dot ends it; but had the recipient been
        # taken, the dot would deliver an empty message.
        if any(phase is Phase.RCPT and answer.code < 300 for phase, answer in got):
            wire.fail("The server took a message that it had refused")
            return
        for answer in await wire.ask(b".\r\n", (self._timeouts.mail,)):
            talk.append((Phase.DOT, answer.text))


def _with_dsn(lines: tuple[bytes, bytes], recipient: str, envelope_id: str, notify: str) -> tuple[bytes, bytes]:
    """MAIL and RCPT with the parameters of RFC 3461: headers alone come back, and only when something went wrong."""
    mail, rcpt = (line.removesuffix(b"\r\n") for line in lines)
    mail += b" RET=HDRS" + (b" ENVID=" + _xtext(envelope_id) if envelope_id else b"")
    rcpt += b" NOTIFY=" + notify.encode()
    if recipient.isascii():  # RFC 6533 has a form of its own for others; without it, nothing is lost
        rcpt += b" ORCPT=rfc822;" + _xtext(recipient)
    return mail + b"\r\n", rcpt + b"\r\n"


def _xtext(text: str) -> bytes:
    """RFC 3461 §4."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text).encode("ascii")


def _with_ascii_domain(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{ascii_domain(domain)}" if domain else address


def bounded(talk: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The conversation cut to 4 KB: the end matters most, so the longest replies give way."""
    if sum([len(text) for _, text in talk]) <= TALK_MAX:
        return talk
    share = TALK_MAX // len(talk)
    return [(phase, text if len(text) <= share else text[: share - 1] + "…") for phase, text in talk]


async def gone(wire: Wire) -> None:
    """Let the loop take the closed socket away."""
    for _ in range(5):
        if wire.closed.done():
            return
        await asyncio.sleep(0)
