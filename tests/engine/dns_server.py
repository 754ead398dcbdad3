"""A real, small DNS server on loopback, with faults."""

from __future__ import annotations

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class DnsServer:
    """`zone`: (name, type) → record texts; a name in `broken` answers with that rcode, or not at all for None."""

    def __init__(self, zone: dict[tuple[str, str], list[str]], broken: dict[str, dns.rcode.Rcode | None] | None = None):
        self.zone, self.broken = zone, broken or {}
        self.asked: list[tuple[str, str]] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> DnsServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def _serve(self) -> None:
        while True:
            data, peer = self.socket.recvfrom(4096)
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self.socket.sendto(answer.to_wire(), peer)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA | dns.flags.RA
        if name in self.broken:
            if self.broken[name] is None:
                return None
            answer.set_rcode(self.broken[name])
        elif records := self.zone.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *records))
        elif target := self.zone.get((name, "CNAME")):
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "CNAME", *target))
            inner = self.zone.get((target[0].removesuffix("."), kind))
            if inner:
                answer.answer.append(dns.rrset.from_text(target[0], 60, "IN", kind, *inner))
        elif not any(known == name or known.endswith("." + name) for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer
