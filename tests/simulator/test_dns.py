from __future__ import annotations

import json
import os
import socket
import struct

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from delivery.simulator.server import Simulator
from delivery.simulator.zone import Record, ZoneFile

Resolver = dns.resolver.Resolver


def values(resolver: Resolver, name: str, type_: str) -> list[str]:
    return sorted(str(row) for row in resolver.resolve(name, type_))


def test_the_simulators_domain_leads_to_its_mail_server(resolver: Resolver) -> None:
    assert values(resolver, "simulator.test", "MX") == ["10 mx.simulator.test."]
    assert values(resolver, "MX.Simulator.test", "A") == ["127.0.0.1"]
    assert values(resolver, "1.0.0.127.in-addr.arpa", "PTR") == ["mx.simulator.test."]


def test_sinks_share_one_mail_server_and_sites_have_one_each(resolver: Resolver) -> None:
    assert values(resolver, "d17.sink.test", "MX") == ["10 mx.sink.test."]
    assert values(resolver, "mx.sink.test", "A") == ["127.0.0.1"]
    assert values(resolver, "d17.sites.test", "MX") == ["10 mx.d17.sites.test."]
    assert values(resolver, "mx.d17.sites.test", "A") == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["nowhere.test", "example.com", "com", "sub.simulator.test", "mx.nowhere.test"])
def test_a_name_that_is_not_there_is_authoritatively_nxdomain(simulator: Simulator, name: str) -> None:
    query = dns.message.make_query(name, "MX")
    answer = dns.query.udp(query, "127.0.0.1", port=simulator.dns_port, timeout=10)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.flags & dns.flags.AA
    assert answer.authority[0].rdtype == dns.rdatatype.SOA


def test_domains_for_tests_answer_as_their_names_say(resolver: Resolver) -> None:
    assert values(resolver, "nullmx.test", "MX") == ["0 ."]
    assert values(resolver, "aonly.test", "A") == ["127.0.0.1"]
    assert values(resolver, "dangling.test", "MX") == ["10 mx.nowhere.test."]
    assert values(resolver, "alias.test", "MX") == ["10 mx.sink.test."]
    assert str(resolver.resolve("alias.test", "MX").canonical_name) == "d1.sink.test."
    for name, type_ in (("nodata.test", "MX"), ("nodata.test", "A"), ("aonly.test", "MX"), ("simulator.test", "AAAA")):
        with pytest.raises(dns.resolver.NoAnswer):
            resolver.resolve(name, type_)
    with pytest.raises(dns.resolver.NoNameservers):
        resolver.resolve("servfail.test", "MX")
    resolver.lifetime = 0.3
    with pytest.raises(dns.resolver.LifetimeTimeout):
        resolver.resolve("a.timeout.test", "MX")


def test_published_records_are_answered_at_once_and_gone_when_withdrawn(
    resolver: Resolver, simulator: Simulator
) -> None:
    zone = ZoneFile(simulator.directory)
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve("news.shop.test", "MX")
    zone.publish(
        [
            Record("Bounce.News.Shop.test.", "mx", "10 mx.simulator.test"),
            Record("bounce.news.shop.test", "TXT", "v=spf1 ip4:127.0.0.1 -all"),
            Record("track.news.shop.test", "CNAME", "localhost."),
        ]
    )
    assert values(resolver, "bounce.news.shop.test", "MX") == ["10 mx.simulator.test."]
    assert values(resolver, "track.news.shop.test", "A") == ["127.0.0.1"]
    # A name between exists, without records.
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve("news.shop.test", "TXT")
    zone.publish([Record("bounce.news.shop.test", "TXT", "v=spf1 -all")])
    assert values(resolver, "bounce.news.shop.test", "TXT") == ['"v=spf1 -all"']
    assert len(zone.records()) == 3
    zone.withdraw("bounce.news.shop.test", "MX")
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve("bounce.news.shop.test", "MX")
    zone.withdraw("bounce.news.shop.test")
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve("bounce.news.shop.test", "TXT")


def test_mail_to_a_published_mail_domain_is_taken(resolver: Resolver, simulator: Simulator) -> None:
    assert not simulator.mailboxes.at_rcpt("b+t@bounce.shop.test").accepts
    simulator.published.publish([Record("bounce.shop.test", "MX", "10 mx.simulator.test")])
    assert simulator.mailboxes.at_rcpt("b+t@Bounce.shop.test").accepts


def test_a_text_of_any_length_comes_back_whole(resolver: Resolver, simulator: Simulator) -> None:
    text = 'v=DKIM1; k=rsa; p="\\' + "é" * 200 + "A" * 2_000
    simulator.published.publish([Record("long._domainkey.shop.test", "TXT", text)])
    (row,) = resolver.resolve("long._domainkey.shop.test", "TXT")
    assert b"".join(row.strings) == text.encode()
    assert all(len(part) <= 255 for part in row.strings)


def test_an_answer_too_long_for_udp_is_cut_and_whole_over_tcp(simulator: Simulator) -> None:
    simulator.published.publish([Record("long.test", "TXT", "x" * 600)])
    query = dns.message.make_query("long.test", "TXT", use_edns=False)
    assert dns.query.udp(query, "127.0.0.1", port=simulator.dns_port, timeout=10).flags & dns.flags.TC
    assert dns.query.tcp(query, "127.0.0.1", port=simulator.dns_port, timeout=10).answer
    query.use_edns(payload=1232)
    assert dns.query.udp(query, "127.0.0.1", port=simulator.dns_port, timeout=10).answer


@pytest.mark.parametrize(
    "record",
    [
        Record("a.test", "MX", "mx.b.test"),
        Record("a.test", "A", "300.1.1.1"),
        Record("a.test", "NONSENSE", "x"),
        Record("a..test", "A", "127.0.0.1"),
        Record("x" * 64 + ".test", "A", "127.0.0.1"),
    ],
)
def test_a_record_that_cannot_be_is_refused_and_nothing_is_published(simulator: Simulator, record: Record) -> None:
    with pytest.raises(ValueError, match=r"record can hold|no domain name"):
        simulator.published.publish([Record("good.test", "A", "127.0.0.1"), record])
    assert simulator.published.records() == []


def test_a_broken_zone_file_leaves_the_last_good_one(resolver: Resolver, simulator: Simulator) -> None:
    simulator.published.publish([Record("good.test", "A", "127.0.0.1")])
    assert values(resolver, "good.test", "A") == ["127.0.0.1"]
    for broken in ("{", json.dumps([{"name": "x.test"}]), json.dumps([{"name": "x.test", "type": "A", "value": "y"}])):
        simulator.published.path.write_text(broken)
        assert values(resolver, "good.test", "A") == ["127.0.0.1"]


def test_garbage_is_survived_over_udp_and_tcp(simulator: Simulator, resolver: Resolver) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for garbage in (b"", b"x", b"\x00" * 11, os.urandom(600), b"\x12\x34\x01\x00\x00\x01" + b"\xff" * 40):
            udp.sendto(garbage, ("127.0.0.1", simulator.dns_port))
    with socket.create_connection(("127.0.0.1", simulator.dns_port), timeout=20) as tcp:
        query = dns.message.make_query("simulator.test", "MX").to_wire()
        garbage = b"\x12\x34\x01\x00\x00\x01" + b"\xff" * 40
        tcp.sendall(struct.pack("!H", len(garbage)) + garbage + struct.pack("!H", len(query)) + query)
        with tcp.makefile("rb") as file:
            first = file.read(struct.unpack("!H", file.read(2))[0])
            second = file.read(struct.unpack("!H", file.read(2))[0])
    assert first[:2] == garbage[:2]
    assert first[3] & 15 == dns.rcode.FORMERR
    assert dns.message.from_wire(second).answer
    assert values(resolver, "mx.simulator.test", "A") == ["127.0.0.1"]


def test_other_classes_and_operations_are_refused(simulator: Simulator) -> None:
    query = dns.message.make_query("simulator.test", "MX", rdclass="CH")
    assert dns.query.udp(query, "127.0.0.1", port=simulator.dns_port, timeout=10).rcode() == dns.rcode.REFUSED
    query = dns.message.make_query("simulator.test", "SOA")
    query.set_opcode(dns.opcode.NOTIFY)
    assert dns.query.udp(query, "127.0.0.1", port=simulator.dns_port, timeout=10).rcode() == dns.rcode.NOTIMP
