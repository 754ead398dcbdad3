"""What comes back from the simulator: mail by SMTP to the host that DNS names, one-click POSTs by HTTP.

Everything stays on loopback. What waits to be brought is bounded; what could not be brought after a few tries is on
record as failed, what was brought as given.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import dns.name
import dns.rdatatype

from delivery.simulator import letters
from delivery.simulator.behaviour import Behaviour
from delivery.simulator.letters import Letter, Returned
from delivery.simulator.record import Given
from delivery.simulator.zone import Zone

COURIERS = 8
WAITING_MAX = 10_000
WAITING_BYTES = 64 * 2**20
# From the 250 until it comes back: the sender has to have noticed that it was taken.
DELAY_SECONDS = 0.5
# Before each further try, in seconds.
RETRIES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
ANSWER_SECONDS = 30.0
ONE_CLICK = b"List-Unsubscribe=One-Click"
MAX_REPLY = 100  # lines


class Refused(Exception):
    """Refused for good. The text is the reply."""


class NotNow(Exception):
    """To be tried again. The text says why."""


@dataclass(frozen=True, slots=True)
class _Errand:
    behaviour: Behaviour
    of: Returned
    due: float  # by the loop's clock


class Returns:
    """Brings back what the addresses promise. `port`: where the hosts of the zone take mail; 0: nowhere."""

    def __init__(
        self, zone: Zone, port: int, write: Callable[[list[str]], None], *, delay: float = DELAY_SECONDS
    ) -> None:
        self.zone, self.port, self.write, self.delay = zone, port, write, delay
        self._waiting: asyncio.Queue[_Errand] = asyncio.Queue()
        self._bytes = 0
        self._at_work = 0
        self._couriers: list[asyncio.Task[None]] = []

    @property
    def pending(self) -> int:
        """How many are still to be brought."""
        return self._waiting.qsize() + self._at_work

    def start(self) -> None:
        self._couriers = [asyncio.create_task(self._work()) for _one in range(COURIERS)]

    async def stop(self) -> None:
        """What was not brought yet never comes back: as when a machine goes down."""
        for courier in self._couriers:
            courier.cancel()
        await asyncio.gather(*self._couriers, return_exceptions=True)

    def put(self, behaviour: Behaviour, of: Returned) -> None:
        """Something shall come back of this mail, soon."""
        if self._waiting.qsize() >= WAITING_MAX or self._bytes + len(of.mail) > WAITING_BYTES:
            self._record(behaviour, of, "", "failed", "", "too much to bring back")
            return
        self._bytes += len(of.mail)
        self._waiting.put_nowait(_Errand(behaviour, of, asyncio.get_running_loop().time() + self.delay))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            errand = await self._waiting.get()
            self._at_work += 1
            self._bytes -= len(errand.of.mail)
            try:
                await asyncio.sleep(max(0.0, errand.due - loop.time()))
                await self._run(errand.behaviour, errand.of)
            finally:
                self._at_work -= 1

    async def _run(self, behaviour: Behaviour, of: Returned) -> None:
        """One errand to its end, which is on record."""
        shape = letters.shape(behaviour.feedback, of.recipient)
        to, reply, outcome = "", "", "failed"
        for pause in (*RETRIES, None):
            try:
                to, reply = await self._bring(behaviour, of, shape)
                outcome = "given"
                break
            except Refused as refused:
                reply = str(refused)
                break
            except (NotNow, OSError, TimeoutError, EOFError) as error:
                reply = str(error) or type(error).__name__
                if pause is not None:
                    await asyncio.sleep(pause)
        self._record(behaviour, of, shape, outcome, to, reply)

    async def _bring(self, behaviour: Behaviour, of: Returned, shape: str) -> tuple[str, str]:
        """To whom it was brought, and the answer."""
        if behaviour.feedback == "unsubscription":
            return await self._unsubscribe(of, shape)
        if not of.sender:
            raise Refused("nobody to tell: the mail had no return path")
        if behaviour.feedback == "bounce" and behaviour.returned is not None:
            letter = letters.bounce(of, behaviour.returned, shape)
        elif behaviour.feedback == "complaint":
            letter = letters.complaint(of, shape)
        else:
            letter = letters.reply(of, shape)
        return letter.recipient, await self._mail(letter)

    async def _unsubscribe(self, of: Returned, shape: str) -> tuple[str, str]:
        wanted = "mailto:" if shape == "mailto" else "http"
        url = next((url for url in letters.way_out(of.mail) if url.lower().startswith(wanted)), None)
        if url is None:
            raise Refused(f"the mail offers no {wanted} to unsubscribe by")
        if shape != "mailto":
            return url, await post(url, ONE_CLICK, self._loopback(urlsplit(url).hostname or "", url))
        parts = urlsplit(url)
        to, subject = unquote(parts.path), parse_qs(parts.query).get("subject", [""])[0]
        return to, await self._mail(letters.unsubscription(of, to, subject))

    async def _mail(self, letter: Letter) -> str:
        return await deliver(self._host(letter.recipient.rpartition("@")[2]), self.port, letter)

    def _host(self, domain: str) -> str:
        """The address of its mail server, by our own zone. Raises Refused where there is none, or none on loopback."""
        if not self.port:
            raise Refused("the simulator was not told where mail is taken (--feedback-port)")
        self.zone.refresh()
        name = dns.name.from_text(domain)
        exchanges = [rdata for answer in self.zone.find(name, dns.rdatatype.MX).answer for rdata in answer]
        host = min(exchanges, key=lambda one: one.preference).exchange if exchanges else name
        return self._loopback(host.to_text(omit_final_dot=True), domain)

    def _loopback(self, host: str, what: str) -> str:
        """The address of a host, by our own zone. Raises Refused where there is none, or none on loopback."""
        found = [host]
        if not _is_address(host):
            self.zone.refresh()
            answers = self.zone.find(dns.name.from_text(host), dns.rdatatype.A).answer
            found = [str(rdata) for answer in answers for rdata in answer]
        for address in found:
            # Among the answers are the names of aliases.
            if _is_address(address) and ipaddress.ip_address(address).is_loopback:
                return address
        raise Refused(f"not on loopback: {what[:100]}")

    def _record(self, behaviour: Behaviour, of: Returned, shape: str, outcome: str, to: str, reply: str) -> None:
        given = Given(
            time.time(),
            outcome,
            behaviour.feedback,
            shape,
            of.recipient,
            letters.header(of.mail, b"message-id"),
            to,
            reply[:300],
        )
        try:
            self.write([given.line()])
        except OSError:
            pass  # a full disk takes the record; what was given is given


async def deliver(host: str, port: int, letter: Letter) -> str:
    """Bring one mail by SMTP; the reply to its last line. Raises Refused, NotNow, or what a broken connection does."""
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            await _said(reader)
            for line in (
                "EHLO simulator.test",
                f"MAIL FROM:<{letter.sender}>",
                f"RCPT TO:<{letter.recipient}>",
                "DATA",
            ):
                writer.write(line.encode("utf-8", "surrogateescape") + b"\r\n")
                await _said(reader)
            text = letter.text if letter.text.endswith(b"\r\n") else letter.text + b"\r\n"
            writer.write((b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
            reply = await _said(reader)
            writer.write(b"QUIT\r\n")
            return reply
        finally:
            writer.close()


async def _said(reader: asyncio.StreamReader) -> str:
    """One reply; its last line. Raises Refused and NotNow for those that are no success."""
    for _line in range(MAX_REPLY):
        line = (await reader.readline()).decode("utf-8", "replace")
        if not line:
            raise EOFError("the connection was closed")
        if line[3:4] != "-":
            break
    else:
        raise NotNow("a reply without end")
    if line[:1] in "23":
        return line.strip()
    raise (Refused if line[:1] == "5" else NotNow)(line.strip())


async def post(url: str, body: bytes, address: str) -> str:
    """POST a form over HTTP to the URL's host, which is at this address; the status line."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        raise Refused(f"not plain HTTP: {url[:100]}")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(address, parts.port or 80)
        try:
            writer.write(
                f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: Simulator/1.0\r\nConnection: close\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            status = (await reader.readline()).decode("latin-1").strip()
        finally:
            writer.close()
    code = status.split(" ")[1:2]
    if code and code[0].startswith("2"):
        return status
    raise (Refused if code and code[0][:1] in "34" and code[0] != "429" else NotNow)(status or "no answer")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
