"""What DNS answers, for checking the records of sender domains. No answer is told apart from no record."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

State = Literal["found", "nodata", "nxdomain", "timeout", "error"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`nodata` and `nxdomain` are the server's word that there is nothing; `timeout` and `error` say nothing."""

    state: State
    values: list[str]  # TXT strings joined; names without a last dot; MX as "10 host"
    text: str = ""  # why, for timeout and error


def nameservers(servers: Sequence[str]) -> list[dns.nameserver.Nameserver]:
    """ "host", "host:port", "[v6]:port" or a bare IPv6 address; a name is looked up at the system's resolver."""
    found: list[dns.nameserver.Nameserver] = []
    for server in servers:
        host, port = _split(server.strip())
        try:
            ipaddress.ip_address(host)
        except ValueError:
            host = str(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0])
        found.append(dns.nameserver.Do53Nameserver(host, port))
    return found


def _split(server: str) -> tuple[str, int]:
    if server.startswith("["):
        host, _, port = server[1:].partition("]")
        return host, int(port.removeprefix(":") or 53)
    if server.count(":") == 1:
        host, _, port = server.partition(":")
        return host, int(port)
    return server, 53


def make_resolver(servers: Sequence[str], timeout: float) -> dns.resolver.Resolver:
    """`servers`: none = those of the system. `timeout`: seconds for one question in all. Remembers nothing."""
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = nameservers(servers)
    resolver.lifetime = timeout
    resolver.timeout = max(0.05, timeout / 2)
    return resolver


def lookup(name: str, kind: str, *, resolver: dns.resolver.Resolver) -> Answer:
    """Ask for the records of one name: `kind` "TXT", "MX", "A", "AAAA", "CNAME", "PTR" … Raises nothing."""
    try:
        found = resolver.resolve(name.removesuffix(".") + ".", kind, raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN:
        return Answer("nxdomain", [])
    except dns.exception.Timeout as error:
        return Answer("timeout", [], str(error))
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return Answer("error", [], str(error) or type(error).__name__)
    values = [_value(record) for record in found.rrset or ()]
    return Answer("found" if values else "nodata", values)


def _value(record: object) -> str:
    if strings := getattr(record, "strings", None):
        return b"".join(strings).decode("utf-8", "replace")
    target = getattr(record, "exchange", None) or getattr(record, "target", None)
    if isinstance(target, dns.name.Name):
        name = target.to_text(omit_final_dot=True).lower() if target != dns.name.root else "."
        preference = getattr(record, "preference", None)
        return name if preference is None else f"{preference} {name}"
    return str(record)
