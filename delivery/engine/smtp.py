"""The way to an SMTP session: connect, greeting, EHLO, STARTTLS (RFC 3207), EHLO again, login (RFC 4954) at a relay.

RFC 5321 §3.1, §3.2, §4.3.2; RFC 8314 for TLS from the first byte.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
import time
from functools import lru_cache

from delivery.engine.certificate import described
from delivery.engine.session import Connection, NotTried, SmtpFailed, Timeouts, bounded, gone
from delivery.engine.types import Exchange, Phase, Reply, Tls
from delivery.engine.wire import TEXT_MAX, Answer, Wire

__all__ = ["Connection", "NotTried", "SmtpFailed", "Timeouts", "connect", "opportunistic_context", "verifying_context"]


class _TlsFailed(Exception):
    """The server offers TLS and cannot do it."""


def opportunistic_context() -> ssl.SSLContext:
    """Encryption without proof of who is there: what mail between strangers can have (RFC 7435)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@lru_cache(maxsize=4)
def verifying_context(ca_file: str = "") -> ssl.SSLContext:
    """Encryption with a certificate that is good for the host's name, by the system's authorities and those of
    `ca_file`. Raises OSError when that can't be read."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


_shared_context: ssl.SSLContext | None = None


def _default_context() -> ssl.SSLContext:
    global _shared_context
    if _shared_context is None:  # making one reads files
        _shared_context = opportunistic_context()
    return _shared_context


async def connect(
    address: str,
    port: int,
    *,
    mx_host: str,
    ehlo_name: str,
    local_ip: str | None = None,
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
    tls: Tls = "opportunistic",
    ssl_context: ssl.SSLContext | None = None,
    login: tuple[str, str] | None = None,
) -> Connection:
    """Open a session up to EHLO, with STARTTLS where offered. `address` is an IP address. Raises SmtpFailed.

    "opportunistic": a server whose TLS fails is called again without. "required": encrypted or not at all; "implicit":
    encrypted from the first byte (RFC 8314). Whether the certificate is checked, and against `mx_host`, is up to
    `ssl_context` (by default it is not). `login`: name and password, never said in the clear but on loopback.
    """
    opener = _Opener(address, port, mx_host, ehlo_name, local_ip, timeouts, ssl_context)
    opener.login = login
    try:
        return await opener.open(tls)
    except _TlsFailed as error:
        if tls == "required":
            raise opener.failed(Reply(0, "", str(error)[:TEXT_MAX], Phase.TLS)) from error
    opener.talk.append(("connect", "again, without TLS"))
    return await opener.open("off")


class _Opener:
    """What happens between a name and a session."""

    def __init__(
        self,
        address: str,
        port: int,
        mx_host: str,
        ehlo_name: str,
        local_ip: str | None,
        timeouts: Timeouts,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.address, self.port, self.mx_host = address, port, mx_host
        self.ehlo_name, self.local_ip, self.timeouts = ehlo_name, local_ip, timeouts
        self.ssl_context = ssl_context
        self.talk: list[tuple[str, str]] = []
        self.started, self.begun = time.time(), self.loop.time()
        self.login: tuple[str, str] | None = None
        self.connection: Connection | None = None

    def failed(self, reply: Reply) -> SmtpFailed:
        """The exception for this reply; the socket is closed."""
        local, encrypted, certificate = self.local_ip or "", "", ""
        if self.connection is not None:
            self.connection.close()
            local, encrypted = self.connection.local_ip, self.connection.tls
            certificate = self.connection.certificate
        if not self.talk or self.talk[-1][1] != reply.text:
            self.talk.append((reply.phase, reply.text))
        talk, seconds = bounded(self.talk), self.loop.time() - self.begun
        return SmtpFailed(
            Exchange(reply, talk, self.mx_host, self.address, local, encrypted, self.started, seconds, certificate)
        )

    async def open(self, tls: Tls) -> Connection:
        """Connect, greeting, EHLO, STARTTLS, EHLO."""
        wire = Wire(self.loop)
        self.connection = None
        local = (self.local_ip, 0) if self.local_ip else None
        try:
            async with asyncio.timeout(self.timeouts.connect):
                if tls == "implicit":
                    await self.loop.create_connection(
                        lambda: wire,
                        self.address,
                        self.port,
                        local_addr=local,
                        ssl=self.ssl_context or _default_context(),
                        server_hostname=self._name(),
                        ssl_handshake_timeout=self.timeouts.tls,
                        ssl_shutdown_timeout=self.timeouts.quit,
                    )
                else:
                    await self.loop.create_connection(lambda: wire, self.address, self.port, local_addr=local)
        except TimeoutError:
            text = f"No connection to {self.address} within {self.timeouts.connect:g} s"
            raise self.failed(Reply(0, "", text, Phase.CONNECT)) from None
        except ssl.SSLError as error:
            raise self.failed(Reply(0, "", f"TLS handshake failed: {error}"[:TEXT_MAX], Phase.TLS)) from error
        except OSError as error:
            text = f"No connection to {self.address}: {error.strerror or error}"
            raise self.failed(Reply(0, "", text, Phase.CONNECT)) from error
        connection = self.connection = Connection(wire, self.timeouts, self.mx_host)
        try:
            await self._introduce(wire, connection, tls)
        except BaseException:
            connection.close()
            await gone(wire)
            raise
        connection.opening = self.talk
        return connection

    async def _introduce(self, wire: Wire, connection: Connection, tls: Tls) -> None:
        assert wire.transport is not None
        connection.remote_ip = self.address
        connection.local_ip = (wire.transport.get_extra_info("sockname") or ("",))[0]
        self.talk.append(("connect", f"{self.address}:{self.port} from {connection.local_ip}"))
        if tls == "implicit":
            self._secured(wire.transport, connection)
        greeting = await self._hear(wire, b"", self.timeouts.greeting, Phase.GREETING)
        if greeting.code != 220:
            raise self.failed(connection.refusal(greeting, Phase.GREETING))
        await self._ehlo(wire, connection)
        await self._encrypt(wire, connection, tls)
        if self.login is not None:
            await self._log_in(wire, connection, *self.login)

    async def _encrypt(self, wire: Wire, connection: Connection, tls: Tls) -> None:
        if tls in ("off", "implicit"):
            return
        if "STARTTLS" not in connection.extensions:
            if tls == "required":
                raise self.failed(Reply(0, "", "TLS is required, and the server does not offer it", Phase.TLS))
            return
        if await self._starttls(wire, connection, tls):
            try:
                await self._ehlo(wire, connection)
            except SmtpFailed as failure:
                if failure.exchange.reply.code:
                    raise
                # with TLS 1.3 the server's complaint about the handshake comes after ours has ended
                raise _TlsFailed(f"TLS failed: {failure}") from failure

    async def _hear(self, wire: Wire, line: bytes, limit: float, phase: Phase) -> Answer:
        answers = await (wire.ask(line, (limit,)) if line else wire.listen((limit,)))
        if not answers:
            raise self.failed(Reply(0, "", wire.fault or "No answer", phase))
        self.talk.append((phase, answers[0].text))
        return answers[0]

    async def _ehlo(self, wire: Wire, connection: Connection) -> None:
        hello = self.ehlo_name.encode("ascii", "replace")
        answer = await self._hear(wire, b"EHLO " + hello + b"\r\n", self.timeouts.ehlo, Phase.EHLO)
        connection.extensions = {}
        if answer.code == 250:
            for line in answer.text.split("\n")[1:]:
                keyword, _, parameters = line[4:].strip().partition(" ")
                connection.extensions[keyword.upper()] = parameters
        elif 500 <= answer.code < 600:  # RFC 5321 §3.2: an old server
            answer = await self._hear(wire, b"HELO " + hello + b"\r\n", self.timeouts.ehlo, Phase.EHLO)
        if answer.code != 250:
            raise self.failed(connection.refusal(answer, Phase.EHLO))

    async def _starttls(self, wire: Wire, connection: Connection, tls: Tls) -> bool:
        """True when encrypted, False when the server changed its mind and plain will do."""
        answers = await wire.ask_last(b"STARTTLS\r\n", self.timeouts.tls)
        if not answers:
            self.talk.append(("tls", wire.fault))
            raise _TlsFailed(f"STARTTLS failed: {wire.fault}")
        wire.hear_again()
        self.talk.append(("tls", answers[0].text))
        if answers[0].code != 220:
            if tls == "required" or wire.closing:
                raise self.failed(connection.refusal(answers[0], Phase.TLS))
            return False
        assert wire.transport is not None
        plain = wire.transport
        try:
            secured = await self.loop.start_tls(
                plain,
                wire,
                self.ssl_context or _default_context(),
                server_hostname=self._name(),
                ssl_handshake_timeout=self.timeouts.tls,
                ssl_shutdown_timeout=self.timeouts.quit,
            )
            if secured is None:
                raise ConnectionResetError("The server closed the connection")
        except (OSError, ValueError) as error:  # ssl.SSLError and time-outs are OSErrors
            plain.abort()
            await asyncio.sleep(0)
            text = str(error) or type(error).__name__
            self.talk.append(("tls", f"handshake failed: {text}"))
            raise _TlsFailed(f"TLS handshake failed: {text}") from error
        wire.transport = secured
        self._secured(secured, connection)
        return True

    def _name(self) -> str | None:
        """What the certificate must be good for, where it is checked."""
        return self.mx_host.rstrip(".") or None

    def _secured(self, transport: asyncio.Transport, connection: Connection) -> None:
        """Write down what the handshake came to."""
        encrypted: ssl.SSLObject = transport.get_extra_info("ssl_object")
        cipher = encrypted.cipher()
        connection.tls = f"{encrypted.version()} {cipher[0] if cipher else ''}".strip()
        checked = encrypted.context.verify_mode == ssl.CERT_REQUIRED
        connection.certificate = described(encrypted.getpeercert(binary_form=True) or b"", checked=checked)
        self.talk.append(("tls", connection.tls))

    # --- login

    async def _log_in(self, wire: Wire, connection: Connection, name: str, password: str) -> None:
        """AUTH PLAIN, or LOGIN where only that is offered. What we say is not written down."""
        if not connection.tls and not ipaddress.ip_address(self.address).is_loopback:
            raise self.failed(Reply(0, "", "The login would go in the clear: the relay offers no TLS", Phase.AUTH))
        offered = connection.extensions.get("AUTH", "").upper().split()
        if not offered:  # an old form, "AUTH=PLAIN LOGIN"
            old = [(key[5:] + " " + rest).split() for key, rest in connection.extensions.items() if key[:5] == "AUTH="]
            offered = [word.upper() for words in old for word in words]
        if "PLAIN" in offered:
            lines = [b"AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode())]
        elif "LOGIN" in offered:
            lines = [b"AUTH LOGIN", base64.b64encode(name.encode()), base64.b64encode(password.encode())]
        else:
            text = "The relay offers no way to log in that we know" + (
                f" (it has {' '.join(offered)})" if offered else ""
            )
            raise self.failed(Reply(0, "", text[:TEXT_MAX], Phase.AUTH))
        for number, line in enumerate(lines, 1):
            answer = await self._hear(wire, line + b"\r\n", self.timeouts.mail, Phase.AUTH)
            if answer.code == 334 and number < len(lines):
                continue
            if answer.code == 235 and number == len(lines):
                return
            raise self.failed(connection.refusal(answer, Phase.AUTH))
