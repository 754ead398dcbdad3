"""From a domain to the hosts to try, asked of a real DNS server."""

import asyncio

import dns.rcode
import pytest

from delivery.engine.route import Unroutable, ascii_domain, make_resolver, resolve
from tests.engine.dns_server import DnsServer

ZONE = {
    ("example.org", "MX"): ["20 MX2.example.org.", "10 mx1.example.org.", "30 gone.example.org."],
    ("mx1.example.org", "A"): ["192.0.2.1"],
    ("mx1.example.org", "AAAA"): ["2001:db8::1"],
    ("mx2.example.org", "A"): ["192.0.2.2"],
    ("equal.example", "MX"): ["10 mx1.example.org.", "10 mx2.example.org."],
    ("bare.example", "A"): ["192.0.2.3"],
    ("six.example", "AAAA"): ["2001:db8::6"],
    ("null.example", "MX"): ["0 ."],
    ("half-null.example", "MX"): ["0 .", "10 mx1.example.org."],
    ("unusable.example", "MX"): ["10 gone.example.org."],
    ("unusable.example", "A"): ["192.0.2.4"],
    ("nothing.example", "TXT"): ['"hello"'],
    ("alias.example", "CNAME"): ["example.org."],
    ("slow-host.example", "MX"): ["10 silent.example."],
    ("one-slow-host.example", "MX"): ["10 silent.example.", "20 mx2.example.org."],
    ("xn--r8jz45g.example", "MX"): ["10 mx1.example.org."],
    ("business.example", "MX"): ["5 mxbiz1.qq.com.", "10 mxbiz2.qq.com."],
    ("mxbiz1.qq.com", "A"): ["192.0.2.5"],
    ("foxmail.com", "MX"): ["5 mx3.qq.com."],
    ("mx3.qq.com", "A"): ["192.0.2.6"],
    ("many.example", "MX"): [f"{n} mx{n}.many.example." for n in range(40)],
    **{(f"mx{n}.many.example", "A"): ["192.0.2.7"] for n in range(40)},
}
BROKEN = {
    "silent.example": None,
    "servfail.example": dns.rcode.SERVFAIL,
    "refused.example": dns.rcode.REFUSED,
}


@pytest.fixture(scope="module")
def server():
    with DnsServer(ZONE, BROKEN) as running:
        yield running


def route(server, domain, **options):
    async def run():
        return await resolve(domain, resolver=make_resolver([server.address], 0.5, **options))

    return asyncio.run(run())


def unroutable(server, domain):
    with pytest.raises(Unroutable) as failure:
        route(server, domain)
    assert failure.value.reply.phase == "dns"
    return failure.value


def test_hosts_come_by_preference_with_their_addresses(server):
    site = route(server, "Example.ORG.")
    assert [host.name for host in site.hosts] == ["mx1.example.org", "mx2.example.org"]
    assert site.hosts[0].addresses == ("192.0.2.1", "2001:db8::1")
    assert site.key == "gone.example.org,mx1.example.org,mx2.example.org"
    assert not site.tencent


def test_hosts_of_equal_preference_are_shuffled(server):
    firsts = {route(server, "equal.example").hosts[0].name for _ in range(40)}
    assert firsts == {"mx1.example.org", "mx2.example.org"}


def test_without_mx_the_host_itself_is_asked(server):
    assert [(h.name, h.addresses) for h in route(server, "bare.example").hosts] == [("bare.example", ("192.0.2.3",))]
    assert route(server, "six.example").hosts[0].addresses == ("2001:db8::6",)
    assert route(server, "bare.example").key == "bare.example"


def test_an_alias_leads_to_the_hosts_of_its_target(server):
    assert route(server, "alias.example").key == route(server, "example.org").key


def test_a_null_mx_is_final(server):
    failure = unroutable(server, "null.example")
    assert (failure.permanent, failure.reason) == (True, "not_exist")
    assert (failure.reply.code, failure.reply.enhanced) == (556, "5.1.10")


def test_a_null_mx_among_others_is_passed_over(server):
    assert [host.name for host in route(server, "half-null.example").hosts] == ["mx1.example.org"]


def test_mx_records_that_lead_nowhere_never_fall_back_to_the_address(server):
    failure = unroutable(server, "unusable.example")
    assert (failure.permanent, failure.reason, failure.nxdomain) == (False, "server_error", False)
    assert ("unusable.example", "A") not in server.asked


def test_a_domain_without_any_address_is_tried_again(server):
    assert (unroutable(server, "nothing.example").permanent, unroutable(server, "nothing.example").nxdomain) == (0, 0)


def test_nxdomain_is_told_and_left_to_the_caller(server):
    failure = unroutable(server, "no-such-domain.example")
    assert (failure.permanent, failure.nxdomain, failure.reason) == (False, True, "not_exist")


@pytest.mark.parametrize("domain", ["silent.example", "servfail.example", "refused.example", "slow-host.example"])
def test_a_dns_server_that_fails_or_is_silent_says_nothing_about_the_domain(server, domain):
    failure = unroutable(server, domain)
    assert (failure.permanent, failure.nxdomain, failure.reason) == (False, False, "server_error")


def test_one_host_that_cannot_be_looked_up_does_not_stop_the_others(server):
    assert [host.name for host in route(server, "one-slow-host.example").hosts] == ["mx2.example.org"]


def test_no_dns_server_at_all():
    async def run():
        await resolve("example.org", resolver=make_resolver(["127.0.0.1:1"], 0.3))

    with pytest.raises(Unroutable) as failure:
        asyncio.run(run())
    assert not failure.value.permanent


def test_international_domains_are_asked_for_in_a_labels(server):
    assert route(server, "例え.example").hosts[0].name == "mx1.example.org"


@pytest.mark.parametrize(
    "domain", ["", "a..b", "a b.example", "x" * 64 + ".example", "a." * 130, "<a>", "a\n.b", "☃" * 80]
)
def test_what_is_no_domain_is_a_format_error(server, domain):
    failure = unroutable(server, domain)
    assert (failure.permanent, failure.reason) == (True, "format_error")


def test_tencent_is_recognised_by_domain_and_by_host(server):
    assert route(server, "business.example").tencent
    assert route(server, "foxmail.com").tencent


def test_a_domain_with_very_many_hosts_costs_few_questions(server):
    server.asked.clear()
    assert len(route(server, "many.example").hosts) == 12
    assert len(server.asked) == 25


def test_answers_are_remembered(server):
    async def run():
        resolver = make_resolver([server.address], 0.5)
        await resolve("example.org", resolver=resolver)
        server.asked.clear()
        await resolve("example.org", resolver=resolver)

    asyncio.run(run())
    assert server.asked == []


def test_a_label_forms():
    assert ascii_domain("Bücher.Example.") == "xn--bcher-kva.example"
    assert ascii_domain("_dmarc.example.com") == "_dmarc.example.com"
