"""The simulator's DNS server, over UDP and TCP on one port; the only authority of its world."""

from __future__ import annotations

import asyncio
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from delivery.simulator.zone import Zone

MAX_UDP = 1_232  # octets, what the DNS Flag Day of 2020 agreed on
CACHED = 20_000  # answers
MAX_TCP = 200  # connections
IDLE = 10.0  # seconds


class Answerer:
    """Octets of a query to octets of its answer. Answers are kept for as long as the zone does not change."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._cache: dict[bytes, bytes | None] = {}
        self.queries = 0

    def answer(self, wire: bytes, tcp: bool = False) -> bytes | None:
        """The answer to send, or None to stay silent."""
        self.queries += 1
        if self.zone.refresh() or len(self._cache) > CACHED:
            self._cache.clear()
        # All but the id decides the answer.
        key = wire[2:] + (b"t" if tcp else b"u")
        if key not in self._cache:
            self._cache[key] = self._make(wire, tcp)
        answer = self._cache[key]
        return answer and wire[:2] + answer[2:]

    def _make(self, wire: bytes, tcp: bool) -> bytes | None:
        try:
            query = dns.message.from_wire(wire)
        except dns.message.ShortHeader:
            return None
        except (dns.exception.DNSException, ValueError):
            # FORMERR, with nothing but the header; an answer is not answered, or two servers would talk for ever.
            return None if wire[2] & 0x80 else wire[:2] + bytes((0x80 | (wire[2] & 0x79), 1)) + bytes(8)
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, recursion_available=True, our_payload=MAX_UDP)
        if query.opcode() != dns.opcode.QUERY:
            response.set_rcode(dns.rcode.NOTIMP)
        elif len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
        elif query.question[0].rdclass != dns.rdataclass.IN:
            response.set_rcode(dns.rcode.REFUSED)
        elif not self._fill(response, query.question[0]):
            return None
        limit = 65_535 if tcp else min(max(query.payload, 512), MAX_UDP) if query.edns >= 0 else 512
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            response.answer.clear()
            response.authority.clear()
            response.flags |= dns.flags.TC
            return response.to_wire(max_size=limit)

    def _fill(self, response: dns.message.Message, question: dns.rrset.RRset) -> bool:
        """Put what the zone has into `response`; False where it must not be sent."""
        found = self.zone.find(question.name, question.rdtype)
        response.set_rcode(found.rcode)
        response.flags |= dns.flags.AA
        response.answer = list(found.answer)
        if found.rcode == dns.rcode.NXDOMAIN or (found.rcode == dns.rcode.NOERROR and not found.answer):
            response.authority = [self.zone.authority(question.name)]
        return not found.silent


class UDP(asyncio.DatagramProtocol):
    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own class is no subclass of it in Python 3.11.
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        answer = self.answerer.answer(data)
        if answer is not None:
            self.transport.sendto(answer, addr)


class TCP(asyncio.Protocol):
    """One connection: messages behind two octets of length (RFC 1035 §4.2.2), several are answered in turn."""

    def __init__(self, answerer: Answerer, open_: set[TCP]) -> None:
        self.answerer = answerer
        self.open = open_
        self.buffer = bytearray()
        self.transport: asyncio.Transport
        self.timer = asyncio.get_running_loop().call_later(IDLE, self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.open.add(self)
        if len(self.open) > MAX_TCP:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.timer.cancel()
        self.open.discard(self)

    def close(self) -> None:
        self.transport.abort()

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 2:
            length = int.from_bytes(self.buffer[:2], "big")
            if len(self.buffer) < 2 + length:
                return
            wire = bytes(self.buffer[2 : 2 + length])
            del self.buffer[: 2 + length]
            answer = self.answerer.answer(wire, tcp=True)
            if answer is not None:
                self.transport.write(len(answer).to_bytes(2, "big") + answer)
