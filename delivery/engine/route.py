"""Receiving domain → where to connect. RFC 5321 §5.1, RFC 7505 (null MX), RFC 5891 (A-labels)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import idna

from delivery.dns import nameservers
from delivery.engine.types import Host, Phase, Reply, Site
from suppression.address import mailbox_provider

MX_MAX: Final = 12  # hosts looked up for one domain; nobody needs more, and the list is theirs
TENCENT_MX: Final = frozenset({"mxbiz1.qq.com", "mxbiz2.qq.com"})


class Unroutable(Exception):
    """There is no way to the domain, for good or for now."""

    def __init__(self, reply: Reply, *, permanent: bool, reason: str, nxdomain: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply  # phase DNS
        self.permanent = permanent
        self.reason = reason  # what it comes to if nothing changes
        self.nxdomain = nxdomain  # the caller decides: not_exist only when seen twice, an hour apart


def ascii_domain(domain: str) -> str:
    """The domain in lower-case A-labels, without a last dot. ValueError when it cannot be one."""
    domain = domain.removesuffix(".")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except UnicodeError as error:  # idna.IDNAError is one
            raise ValueError(f"{domain}: {error}") from error
    domain = domain.lower()
    if not domain or len(domain) > 253 or not all(0 < len(label) < 64 for label in domain.split(".")):
        raise ValueError(f"{domain[:260]!r} is not a domain name")
    if not domain.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise ValueError(f"{domain!r} is not a domain name")
    return domain


def make_resolver(servers: Sequence[str], timeout: float, *, cache: int = 20_000) -> dns.asyncresolver.Resolver:
    """`servers`: "host" or "host:port"; none = those of the system. `timeout`: seconds for one question in all.

    `cache`: answers remembered for their time to live, 0 = none.
    """
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = nameservers(servers)
    resolver.lifetime = timeout
    resolver.timeout = max(0.05, timeout / 2)  # one server's share: a lost packet gets a second chance
    if cache:
        resolver.cache = dns.resolver.LRUCache(cache)
    return resolver


def _problem(code: int, enhanced: str, text: str) -> Reply:
    return Reply(code, enhanced, text, Phase.DNS)


def _temporary(domain: str, error: Exception) -> Unroutable:
    what = "DNS did not answer in time" if isinstance(error, dns.exception.Timeout) else "DNS failed"
    return Unroutable(_problem(0, "", f"{what} for {domain}: {error}"[:2000]), permanent=False, reason="server_error")


async def resolve(domain: str, *, resolver: dns.asyncresolver.Resolver) -> Site:
    """The site of a domain, hosts in the order to be tried (MX ascending, equal ones shuffled). Raises Unroutable."""
    try:
        domain = ascii_domain(domain)
    except ValueError as error:
        reply = _problem(553, "5.1.2", f"553 5.1.2 Not a domain: {error}"[:2000])
        raise Unroutable(reply, permanent=True, reason="format_error") from error
    try:
        answer = await resolver.resolve(domain + ".", "MX", raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN as error:
        reply = _problem(0, "", f"The domain {domain} does not exist (NXDOMAIN)")
        raise Unroutable(reply, permanent=False, reason="not_exist", nxdomain=True) from error
    except dns.exception.DNSException as error:
        raise _temporary(domain, error) from error

    # shuffled first, and sorting is stable: equal preferences stay in random order
    records = random.sample(list(answer.rrset or ()), len(answer.rrset or ()))
    records.sort(key=lambda record: record.preference)
    if records and all(record.exchange == dns.name.root for record in records):
        reply = _problem(556, "5.1.10", f"556 5.1.10 The domain {domain} takes no mail (null MX)")
        raise Unroutable(reply, permanent=True, reason="not_exist")
    names = [_name(record.exchange) for record in records if record.exchange != dns.name.root]
    names = list(dict.fromkeys(names))[:MX_MAX]
    hosts, errors = await _hosts(names or [domain], resolver)
    if not hosts:
        if errors:
            raise _temporary(domain, errors[0]) from errors[0]
        # RFC 5321 §5.1: MX records that lead nowhere are an error, and the domain's own address is not asked
        what = f"No MX host of {domain} has an address" if names else f"{domain} has neither MX nor address records"
        raise Unroutable(_problem(0, "", what), permanent=False, reason="server_error")
    key = ",".join(sorted(names)) if names else domain
    tencent = mailbox_provider(domain) == "tencent" or not TENCENT_MX.isdisjoint(names)
    return Site(key, hosts, tencent)


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


async def _hosts(names: list[str], resolver: dns.asyncresolver.Resolver) -> tuple[tuple[Host, ...], list[Exception]]:
    """Those of the hosts that have addresses (IPv4 first: fewer servers refuse it), and what went wrong with others."""
    questions = [(name, kind) for name in names for kind in ("A", "AAAA")]
    answers = await asyncio.gather(*(_addresses(name, kind, resolver) for name, kind in questions))
    hosts: list[Host] = []
    errors: list[Exception] = []
    for index, name in enumerate(names):
        found: list[str] = []
        for answer in answers[2 * index : 2 * index + 2]:
            if isinstance(answer, Exception):
                errors.append(answer)
            else:
                found += answer
        if found:
            hosts.append(Host(name, tuple(found)))
    return tuple(hosts), errors


async def _addresses(name: str, kind: str, resolver: dns.asyncresolver.Resolver) -> list[str] | Exception:
    try:
        answer = await resolver.resolve(name + ".", kind, raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN:
        return []
    except dns.exception.DNSException as error:
        return error
    found = [record.address for record in answer.rrset or ()]
    return random.sample(found, len(found))
