"""Preflight of the sending IPs: what a receiver sees of them before it has read a word of mail.

EHLO name, reverse DNS with its forward match (RFC 1912 §2.1, and what Gmail, Outlook and Yahoo ask for), and whether
port 25 gets out from each. Asked on demand; only the last result is kept. Nothing here runs in a transaction.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import re
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

import dns.resolver
import dns.reversename
from django.conf import settings
from django.db import connection, transaction

from delivery.dns import Answer, lookup, make_resolver
from delivery.engine.wire import readable
from delivery.models import IpCheck, IpDay, QueuePause

About = Literal["ehlo", "reverse", "port25"]
State = Literal["ok", "warn", "bad"]

# A host of a provider that everybody sends to; PREFLIGHT_HOST takes its place.
WELL_KNOWN: Final = "gmail-smtp-in.l.google.com"
CONNECT_SECONDS = 8.0
GREETING_SECONDS = 8.0
GREETING_MAX: Final = 2048
AT_ONCE: Final = 8
REFUSALS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `code` chooses the words (services/preflight_words.py), `values` go into them."""

    about: About
    state: State
    code: str
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider that refuses an IP for its reputation."""

    group: str
    said: str
    until: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where port 25 is tried."""

    host: str
    port: int
    # The outside world is the simulator: nobody there looks at names.
    simulated: bool


def sending_ips() -> list[str]:
    """The IPs that mail leaves from; [""] when the system chooses."""
    return list(settings.SENDING_IPS) or [""]


def ehlo_name() -> str:
    return str(settings.EHLO_NAME or socket.getfqdn())


def target() -> Target:
    given = str(settings.PREFLIGHT_HOST)
    if given:
        host, colon, port = given.rpartition(":")
        if colon and port.isdigit() and "]" not in port and host.count(":") == 0:
            return Target(host, int(port), False)
        return Target(given.strip("[]"), settings.MX_PORT, False)
    if settings.SIMULATOR:
        return Target(f"mx.{settings.SIMULATOR_DOMAIN}", settings.MX_PORT, True)
    return Target(WELL_KNOWN, settings.MX_PORT, False)


def run(*, now: dt.datetime) -> list[IpCheck]:
    """Look at every sending IP and keep what was found. Takes seconds; bounded by the time-outs."""
    ips = sending_ips()
    with ThreadPoolExecutor(min(AT_ONCE, len(ips))) as pool:
        found = list(pool.map(examine, ips))
    with transaction.atomic():
        IpCheck.objects.exclude(ip__in=ips).delete()
        return [
            IpCheck.objects.update_or_create(
                ip=ip, defaults={"checked_at": now, "findings": [asdict(one) for one in findings]}
            )[0]
            for ip, findings in zip(ips, found, strict=True)
        ]


def findings_of(check: IpCheck) -> list[Finding]:
    return [Finding(**one) for one in check.findings]


def worst(findings: Sequence[Finding]) -> State:
    states: list[State] = ["bad", "warn"]
    return next((state for state in states if any(one.state == state for one in findings)), "ok")


def refusals(ips: Sequence[str], *, now: dt.datetime) -> dict[str, list[Refusal]]:
    """IP → the limit groups that are paused for it because they refuse it, at most twenty each."""
    found: dict[str, list[Refusal]] = {ip: [] for ip in ips}
    rows = (
        QueuePause.objects.filter(sending_ip__in=ips, reason=QueuePause.Reason.REPUTATION, paused_until__gt=now)
        .select_related("limit_group")
        .order_by("limit_group__name")
    )
    for row in rows[: REFUSALS_SHOWN * max(1, len(ips))]:
        if len(found[row.sending_ip]) < REFUSALS_SHOWN:
            found[row.sending_ip].append(Refusal(row.limit_group.title, row.said, row.paused_until))
    return found


# --- what goes out


def count(ips: Mapping[str, tuple[int, int]], *, day: dt.date) -> None:
    """Add to the day: IP → (tried, taken)."""
    rows = sorted((ip, *counts) for ip, counts in ips.items())  # sorted: two workers lock in the same order
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO delivery_ipday AS d (ip, day, tried, taken) "
            "SELECT v.ip, %s, v.tried, v.taken FROM unnest(%s::text[], %s::int[], %s::int[]) AS v(ip, tried, taken) "
            "ON CONFLICT (ip, day) DO UPDATE SET tried = d.tried + excluded.tried, taken = d.taken + excluded.taken",
            [day, [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]],
        )


def counted(ips: Sequence[str], *, day: dt.date) -> dict[str, tuple[int, int]]:
    """IP → (tried, taken) on that day; the system's own is whatever is not of the others."""
    found = dict.fromkeys(ips, (0, 0))
    for row in IpDay.objects.filter(day=day):
        ip = row.ip if row.ip in found else ""
        if ip in found:
            tried, taken = found[ip]
            found[ip] = (tried + row.tried, taken + row.taken)
    return found


# --- looking


def examine(ip: str) -> list[Finding]:
    """What there is to say of one IP ("": the system's own). Asks DNS and the network; raises nothing of theirs."""
    where = target()
    try:
        resolver = make_resolver(settings.DNS_SERVERS, settings.DNS_TIMEOUT)
    except (OSError, ValueError, dns.resolver.NoResolverConfiguration) as error:
        silent = {"name": str(error) or "DNS"}
        return [Finding("ehlo", "warn", "dns_silent", silent), Finding("port25", "bad", "dns_silent", silent)]
    address, unresolved = _address_of(where, ip, resolver)
    if address is None:
        port = unresolved
    else:
        seen, port = _port25(ip, address, where)
        ip = ip or seen
    return [_ehlo(ip, where, resolver), _reverse(ip, where, resolver), port]


def _addresses(name: str, resolver: dns.resolver.Resolver, kinds: Sequence[str] = ("A", "AAAA")) -> list[Answer]:
    return [lookup(name, kind, resolver=resolver) for kind in kinds]


def _leads_to(ip: str, answers: Sequence[Answer]) -> bool:
    wanted = ipaddress.ip_address(ip)
    return any(ipaddress.ip_address(value) == wanted for answer in answers for value in answer.values)


def _silent(answers: Sequence[Answer]) -> bool:
    return any(answer.state in ("timeout", "error") for answer in answers)


def _is_private(ip: str) -> bool:
    return not ipaddress.ip_address(ip).is_global


def _ehlo(ip: str, where: Target, resolver: dns.resolver.Resolver) -> Finding:
    name = ehlo_name()
    values = {"name": name, "ip": ip}
    if where.simulated:
        return Finding("ehlo", "ok", "ehlo_simulated", values)
    if "." not in name or name.endswith((".local", ".localdomain", ".internal", ".arpa")):
        return Finding("ehlo", "bad", "ehlo_short", values)
    answers = _addresses(name, resolver)
    if not any(answer.values for answer in answers):
        if _silent(answers):
            return Finding("ehlo", "warn", "dns_silent", values)
        return Finding("ehlo", "bad", "ehlo_nowhere", values)
    if ip and not _leads_to(ip, answers):
        there = ", ".join(value for answer in answers for value in answer.values[:3])
        return Finding("ehlo", "warn", "ehlo_elsewhere", {**values, "there": there})
    return Finding("ehlo", "ok", "ehlo_ok", values)


def _reverse(ip: str, where: Target, resolver: dns.resolver.Resolver) -> Finding:
    values = {"name": ehlo_name(), "ip": ip}
    if not ip:
        return Finding("reverse", "warn", "reverse_unknown_ip", values)
    if _is_private(ip) and not where.simulated:
        return Finding("reverse", "warn", "reverse_private", values)
    pointer = lookup(dns.reversename.from_address(ip).to_text(), "PTR", resolver=resolver)
    if pointer.state in ("timeout", "error"):
        return Finding("reverse", "warn", "dns_silent", values)
    if not pointer.values:
        return Finding("reverse", "bad", "reverse_missing", values)
    silent = False
    for host in pointer.values[:5]:
        answers = _addresses(host, resolver, ("AAAA" if ":" in ip else "A",))
        values = {**values, "host": host}
        if _leads_to(ip, answers):
            if _generic(host, ip) and not where.simulated:
                return Finding("reverse", "warn", "reverse_generic", values)
            return Finding("reverse", "ok", "reverse_ok", values)
        silent = silent or _silent(answers)
    return (
        Finding("reverse", "warn", "dns_silent", values)
        if silent
        else Finding("reverse", "bad", "reverse_unconfirmed", values)
    )


def _generic(host: str, ip: str) -> bool:
    """The name is made of the address, as providers name lines that nobody has named."""
    if ":" in ip:
        return False
    parts = ip.split(".")
    numbers = re.findall(r"\d+", host)
    return sum(part in numbers for part in parts[1:]) >= 3 or ip.replace(".", "") in host


def _address_of(where: Target, ip: str, resolver: dns.resolver.Resolver) -> tuple[str | None, Finding]:
    """An address of the target of the IP's own family, or what to say when there is none."""
    values = {"name": where.host, "ip": ip}
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(where.host)), Finding("port25", "ok", "port_ok", values)
    kinds = ("AAAA",) if ":" in ip else ("A",) if ip else ("A", "AAAA")
    answers = _addresses(where.host, resolver, kinds)
    found = [value for answer in answers for value in answer.values]
    if found:
        return found[0], Finding("port25", "ok", "port_ok", values)
    if _silent(answers):
        return None, Finding("port25", "bad", "dns_silent", values)
    return None, Finding("port25", "warn", "port_no_target", values)


def _port25(ip: str, address: str, where: Target) -> tuple[str, Finding]:
    """Call the target from this IP and hear its greeting. Gives the IP that was really used, "" when none was."""
    values = {"ip": ip, "host": where.host, "port": str(where.port)}
    source = (ip, 0) if ip else None
    try:
        sock = socket.create_connection((address, where.port), CONNECT_SECONDS, source_address=source)
    except OSError as error:
        # EADDRNOTAVAIL to bind() means that the machine does not have the address.
        values["said"] = error.strerror or str(error) or type(error).__name__
        return ip, Finding("port25", "bad", "port_not_ours" if _cannot_bind(ip) else "port_closed", values)
    with sock:
        used = str(sock.getsockname()[0])
        said = readable(_greeting(sock))
        with contextlib.suppress(OSError):
            sock.sendall(b"QUIT\r\n")
    values |= {"ip": ip or used, "said": said}
    if not said:
        return used, Finding("port25", "bad", "port_mute", values)
    return used, Finding("port25", *(("ok", "port_ok") if said.startswith("220") else ("bad", "port_refused")), values)


def _cannot_bind(ip: str) -> bool:
    if not ip:
        return False
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return True
    return False


def _greeting(sock: socket.socket) -> bytes:
    """The first line, within GREETING_SECONDS in all; b"" when there is none."""
    until, heard = time.monotonic() + GREETING_SECONDS, b""
    with contextlib.suppress(OSError):
        while b"\n" not in heard and len(heard) < GREETING_MAX:
            sock.settimeout(max(0.05, until - time.monotonic()))
            chunk = sock.recv(GREETING_MAX)
            if not chunk or time.monotonic() > until:
                break
            heard += chunk
    return heard.partition(b"\n")[0].rstrip(b"\r")
