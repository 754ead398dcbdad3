"""The simulator's DNS zone: built-in names, and those that the console publishes in `zone.json`.

| built-in name | what it is for |
|---|---|
| the simulator's domain | MX to `mx.<domain>`, 127.0.0.1 |
| `*.sink.test` | one mail server for all: everything is accepted |
| `*.sites.test` | a mail server for each, `mx.<name>`: many sites, everything is accepted |
| `aonly.test` | no MX, only an address (implicit MX) |
| `nullmx.test` | null MX (RFC 7505): takes no mail |
| `nodata.test` | exists, has neither MX nor address |
| `dangling.test` | MX to a host that does not exist |
| `down.test` | MX to 127.0.0.9, where nothing listens |
| `alias.test` | CNAME to `d1.sink.test` |
| `servfail.test` | SERVFAIL |
| `timeout.test` and below | never answers |
| `<name>.moods.test` | a server with a mood, on an address of its own (moods.py) |

All else is NXDOMAIN, with authority: this is a whole outside world.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

ZONE_FILE = "zone.json"
TTL = 60  # of built-in records, seconds
TTL_PUBLISHED = 5  # what an operator changes is seen soon
SINKS = ("sink.test", "sites.test")

RRSets = dict[dns.rdatatype.RdataType, dns.rrset.RRset]


@dataclass(frozen=True, slots=True)
class Record:
    """One published record.

    `value` is as in a zone file ("10 mx.simulator.test", "127.0.0.1"; names are absolute with or without the last dot),
    but that of a TXT record, which is the bare text of any length: it is cut into strings of 255 octets here.
    """

    name: str
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the zone has for a question. `silent`: no answer may be given at all."""

    rcode: dns.rcode.Rcode
    answer: tuple[dns.rrset.RRset, ...] = ()
    silent: bool = False


class ZoneFile:
    """The published records, in `zone.json` of the simulator's directory. Safe with several processes writing."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / ZONE_FILE

    def records(self) -> list[Record]:
        """All published records; [] where nothing was published yet."""
        try:
            rows = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return []
        return [Record(str(row["name"]), str(row["type"]), str(row["value"])) for row in rows]

    def publish(self, records: Iterable[Record]) -> None:
        """Publish records; those of the same name and type that stood there are replaced, all others stay.

        Raises ValueError, before anything is changed, for a record that no zone could hold.
        """
        fresh = [Record(_key(record.name), record.type.upper(), record.value) for record in records]
        for record in fresh:
            _rdata(record.type, record.value)
        replaced = {(record.name, record.type) for record in fresh}
        with self._locked():
            kept = [record for record in self.records() if (record.name, record.type) not in replaced]
            self._write(kept + fresh)

    def withdraw(self, name: str, type: str = "") -> None:
        """Withdraw all records at `name`, or those of one type only. What is not there is no error."""
        key = _key(name)
        with self._locked():
            self._write([row for row in self.records() if row.name != key or (type and row.type != type.upper())])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, records: list[Record]) -> None:
        rows = [{"name": row.name, "type": row.type, "value": row.value} for row in records]
        fresh = self.path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(rows, ensure_ascii=False, indent=1), "utf-8")
        fresh.replace(self.path)


class Zone:
    """All names of the outside world.

    `domain` is the simulator's; `host` is where its servers listen, but those of `moods` (domain → loopback address).
    """

    def __init__(
        self, domain: str, directory: Path, host: str = "127.0.0.1", moods: Mapping[str, str] | None = None
    ) -> None:
        self.domain = _key(domain)
        self.file = ZoneFile(directory)
        self.host = host
        self.moods = dict(moods or {})
        self._stamp: tuple[int, int, int] | None = None
        self._builtin: dict[str, RRSets] = {}
        for name, type_, value in self._static():
            _add(self._builtin, name, type_, value, TTL)
        self._names: dict[str, RRSets] = dict(self._builtin)
        self._inner: set[str] = set()
        self._index()

    def _static(self) -> Iterator[tuple[str, str, str]]:
        for domain in (self.domain, *SINKS):
            yield domain, "MX", f"10 mx.{domain}"
            yield f"mx.{domain}", "A", self.host
        soa = f"ns.{self.domain} hostmaster.{self.domain} 1 3600 600 86400 5"
        for apex in ("", "test"):
            yield apex, "SOA", soa
            yield apex, "NS", f"ns.{self.domain}"
        yield f"ns.{self.domain}", "A", self.host
        yield ".".join(reversed(self.host.split("."))) + ".in-addr.arpa", "PTR", f"mx.{self.domain}"
        yield "localhost", "A", "127.0.0.1"
        yield "aonly.test", "A", self.host
        yield "nullmx.test", "MX", "0 ."
        yield "nodata.test", "TXT", "This domain has neither MX nor address."
        yield "dangling.test", "MX", "10 mx.nowhere.test"
        yield "down.test", "MX", "10 mx.down.test"
        yield "mx.down.test", "A", "127.0.0.9"
        yield "alias.test", "CNAME", "d1.sink.test"
        for domain, host in self.moods.items():
            yield domain, "MX", f"10 mx.{domain}"
            yield f"mx.{domain}", "A", host

    def _index(self) -> None:
        # RFC 8020: a name below which something stands exists, though it has no records.
        self._inner = {name.split(".", depth)[depth] for name in self._names for depth in range(1, name.count(".") + 1)}

    def refresh(self) -> bool:
        """Read `zone.json` again if it has changed; says whether it had. A broken file leaves what was read before."""
        try:
            status = self.file.path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        except FileNotFoundError:
            stamp = (0, 0, 0)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        names = {name: dict(sets) for name, sets in self._builtin.items()}
        try:
            for record in self.file.records():
                _add(names, _key(record.name), record.type, record.value, TTL_PUBLISHED)
        except (ValueError, KeyError, TypeError):
            return False
        self._names = names
        self._index()
        return True

    def serves(self, domain: str) -> bool:
        """Whether mail to `domain` (lower case) comes to the simulator: a sink, or a domain with an MX published."""
        if domain.endswith((".sink.test", ".sites.test")) or domain in (*SINKS, "aonly.test", "alias.test"):
            return True
        self.refresh()
        return dns.rdatatype.MX in self._names.get(domain, {}) and domain not in ("nullmx.test", "dangling.test")

    def find(self, name: dns.name.Name, type_: dns.rdatatype.RdataType) -> Found:
        """Answer a question of class IN. CNAMEs are followed within the zone."""
        answer: list[dns.rrset.RRset] = []
        for _hop in range(8):
            key = _text(name)
            if key == "timeout.test" or key.endswith(".timeout.test"):
                return Found(dns.rcode.NOERROR, silent=True)
            if key == "servfail.test":
                return Found(dns.rcode.SERVFAIL)
            sets = self._names.get(key) or self._sink(key)
            if sets is None:
                exists = bool(answer) or key in self._inner
                return Found(dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN, tuple(answer))
            if type_ == dns.rdatatype.ANY:
                return Found(dns.rcode.NOERROR, tuple(sets.values()))
            alias = sets.get(dns.rdatatype.CNAME)
            if type_ in sets or alias is None:
                answer += [sets[type_]] if type_ in sets else []
                break
            answer.append(alias)
            name = alias[0].target
        return Found(dns.rcode.NOERROR, tuple(answer))

    def authority(self, name: dns.name.Name) -> dns.rrset.RRset:
        """The SOA to go with an answer that is empty."""
        key = _text(name)
        return self._names["test" if key == "test" or key.endswith(".test") else ""][dns.rdatatype.SOA]

    def _sink(self, key: str) -> RRSets | None:
        """The records of a name below one of the sinks."""
        made: dict[str, RRSets] = {}
        if key.endswith(".sink.test"):
            _add(made, key, "MX", "10 mx.sink.test", TTL)
        elif key.endswith(".sites.test"):
            if key.startswith("mx."):
                _add(made, key, "A", self.host, TTL)
            else:
                _add(made, key, "MX", f"10 mx.{key}", TTL)
        return made.get(key)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _key(name: str) -> str:
    """A name as the zone keeps it: A-labels, lower case, no last dot. Raises ValueError for what is no name."""
    try:
        return _text(dns.name.from_text(name.strip() or "."))
    except dns.exception.DNSException as error:
        raise ValueError(f"{name!r} is no domain name: {error}") from error


def _rdata(type_: str, value: str) -> dns.rdata.Rdata:
    """The data of a record; ValueError says what is wrong with it."""
    try:
        rdtype = dns.rdatatype.from_text(type_)
        if rdtype == dns.rdatatype.TXT:
            octets = value.encode()
            parts = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
            value = " ".join('"' + "".join(f"\\{octet:03d}" for octet in part) + '"' for part in parts)
        return dns.rdata.from_text(dns.rdataclass.IN, rdtype, value, origin=dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"No {type_} record can hold {value[:100]!r}: {error}") from error


def _add(names: dict[str, RRSets], key: str, type_: str, value: str, ttl: int) -> None:
    rdata = _rdata(type_, value)
    sets = names.setdefault(key, {})
    if rdata.rdtype not in sets:
        sets[rdata.rdtype] = dns.rrset.RRset(dns.name.from_text(key or "."), dns.rdataclass.IN, rdata.rdtype)
    sets[rdata.rdtype].add(rdata, ttl)
