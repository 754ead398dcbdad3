"""What DNS said, told apart from what it did not say."""

import dns.rcode
import pytest

from delivery.dns import lookup, make_resolver
from tests.engine.dns_server import DnsServer

ZONE = {
    ("example.com", "TXT"): ['"v=spf1 " "-all"', '"other"'],
    ("example.com", "MX"): ["10 MX.example.com."],
    ("null.example.com", "MX"): ["0 ."],
    ("track.example.com", "CNAME"): ["T.example.net."],
    ("mx.example.com", "A"): ["192.0.2.1", "192.0.2.2"],
}


@pytest.fixture(scope="module")
def resolver():
    with DnsServer(ZONE, {"silent.example.com": None, "broken.example.com": dns.rcode.SERVFAIL}) as server:
        yield make_resolver([server.address], 0.4)


@pytest.mark.parametrize(
    ("name", "kind", "state", "values"),
    [
        ("example.com", "TXT", "found", ["other", "v=spf1 -all"]),
        ("example.com.", "MX", "found", ["10 mx.example.com"]),
        ("null.example.com", "MX", "found", ["0 ."]),
        ("track.example.com", "CNAME", "found", ["t.example.net"]),
        ("mx.example.com", "A", "found", ["192.0.2.1", "192.0.2.2"]),
        ("example.com", "AAAA", "nodata", []),
        ("nobody.example.com", "TXT", "nxdomain", []),
        ("silent.example.com", "TXT", "timeout", []),
        ("broken.example.com", "TXT", "error", []),
        ("a" * 70 + ".example.com", "TXT", "error", []),
        ("a..b", "TXT", "error", []),
    ],
)
def test_every_kind_of_answer(resolver, name, kind, state, values):
    answer = lookup(name, kind, resolver=resolver)
    assert (answer.state, sorted(answer.values)) == (state, values)
    assert bool(answer.text) == (state in ("timeout", "error"))


def test_a_server_that_is_not_there_is_no_answer():
    assert lookup("example.com", "TXT", resolver=make_resolver(["127.0.0.1:1"], 0.3)).state in ("timeout", "error")


def test_servers_are_named_in_all_the_usual_ways():
    resolver = make_resolver(["192.0.2.1", "192.0.2.2:5353", "[2001:db8::1]:53", "2001:db8::2", "localhost:54"], 1)
    found = [(server.address, server.port) for server in resolver.nameservers]
    assert found[:4] == [("192.0.2.1", 53), ("192.0.2.2", 5353), ("2001:db8::1", 53), ("2001:db8::2", 53)]
    assert found[4][1] == 54
