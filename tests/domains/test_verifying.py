"""Sender domains against the simulator's real DNS: which records are asked for, and what will do."""

from __future__ import annotations

from typing import Any

import pytest

from delivery.models import DkimKey, SenderDomain
from delivery.services import domains
from delivery.simulator.server import Simulator
from tests.domains.dns import NOW, publish, states


def test_a_new_domain_has_a_key_that_signs_and_the_records_to_publish(domain: SenderDomain) -> None:
    key = domain.dkim_keys.get()
    assert key.active
    expected = {record.purpose: (record.type, record.host, record.expected) for record in domain.records.all()}
    spf = "v=spf1 ip4:192.0.2.5 ip6:2001:db8::5 ~all"
    assert expected == {
        "dkim": ("TXT", "ph1._domainkey.news.morrowfinch.example", f"v=DKIM1; k=rsa; p={key.public_key}"),
        "bounce_mx": ("MX", "bounce.news.morrowfinch.example", "10 mail.posthorn.example"),
        "bounce_spf": ("TXT", "bounce.news.morrowfinch.example", spf),
        "dmarc": ("TXT", "_dmarc.news.morrowfinch.example", "v=DMARC1; p=none"),
        "spf": ("TXT", "news.morrowfinch.example", spf),
        "tracking": ("CNAME", "track.news.morrowfinch.example", "posthorn.example"),
    }
    required = {record.purpose for record in domain.records.filter(required=True)}
    assert required == {"dkim", "bounce_mx", "bounce_spf", "dmarc"}


@pytest.mark.parametrize(
    "name",
    ["", "com", "nodots", "https://mail.example.com", "ann@example.com", "a b.example.com", "192.0.2.1",
     "-x.example.com", "x" * 64 + ".example.com", "a." * 120 + "com", "mail..example.com",
     "mail.example.com/x", "_x.example.com",
     "co.uk", "COM.BR", "公司.cn", "simulator.test", "slow.moods.test"],
)  # fmt: skip
def test_what_is_no_domain_name_is_refused_and_nothing_is_made(db: None, name: str) -> None:
    with pytest.raises(domains.DomainRefused):
        domains.add_domain(name)
    assert not SenderDomain.objects.exists()
    assert not DkimKey.objects.exists()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Mail.Example.COM.", "mail.example.com"),
        (" mail.example.com ", "mail.example.com"),
        ("メール.example.jp", "xn--4dkua4c.example.jp"),
    ],
)
def test_a_name_is_kept_in_lower_case_a_labels(db: None, outside: Simulator, typed: str, kept: str) -> None:
    assert domains.add_domain(typed).name == kept


def test_a_domain_can_be_added_once(domain: SenderDomain) -> None:
    with pytest.raises(domains.DomainRefused, match="already"):
        domains.add_domain("NEWS.morrowfinch.example")
    assert SenderDomain.objects.count() == 1


def test_nothing_published_is_said_record_by_record(domain: SenderDomain) -> None:
    checked = domains.verify(domain, NOW)
    assert not checked.verified
    assert len(checked.not_matching) == 4
    assert states(domain) == {
        "dkim": "missing",
        "bounce_mx": "missing",
        "bounce_spf": "missing",
        "dmarc": "missing",
        "spf": "not_set",
        "tracking": "not_set",
    }


def test_a_domain_is_verified_when_all_needed_records_match(
    domain: SenderDomain, django_capture_on_commit_callbacks: Any
) -> None:
    from django_q.models import OrmQ

    domains.publish_in_simulator(domain)
    with django_capture_on_commit_callbacks(execute=True):
        checked = domains.verify(domain, NOW)
    assert checked.became == "verified"
    assert domain.verified_at == NOW
    assert set(states(domain).values()) == {"matches"}
    # What was held because of it goes on.
    tasks = [task.task for task in OrmQ.objects.filter(key="jobs")]
    assert [(task["func"], task["args"]) for task in tasks] == [("delivery.jobs.release", ("domain_unverified",))]


def test_the_optional_records_are_not_waited_for(domain: SenderDomain, outside: Simulator) -> None:
    domains.publish_in_simulator(domain)
    outside.published.withdraw("news.morrowfinch.example")
    outside.published.withdraw("track.news.morrowfinch.example")
    assert domains.verify(domain, NOW).verified
    assert states(domain)["spf"] == states(domain)["tracking"] == "not_set"


@pytest.mark.parametrize(
    ("form", "state"),
    [
        ("v=DKIM1; k=rsa; p={p}", "matches"),
        ("p={p}", "matches"),
        ("k=rsa;p={p};v=DKIM1;", "matches"),
        ("v = DKIM1 ;  k=rsa ; t=s; p={spaced}", "matches"),
        ("v=DKIM1; h=sha1:sha256; p={p}", "matches"),
        ("v=DKIM1; h=sha1; p={p}", "differs"),
        ("v=DKIM1; k=ed25519; p={p}", "differs"),
        ("v=DKIM1; k=rsa; p=", "differs"),
        ("v=DKIM1; k=rsa; p={p}AAAA", "differs"),
        ("hello", "missing"),
    ],
)
def test_a_dkim_record_is_read_by_its_tags(domain: SenderDomain, outside: Simulator, form: str, state: str) -> None:
    key = domain.dkim_keys.get().public_key
    spaced = " ".join(key[at : at + 60] for at in range(0, len(key), 60))
    publish(outside, "ph1._domainkey.news.morrowfinch.example", "TXT", form.format(p=key, spaced=spaced))
    domains.verify(domain, NOW)
    assert states(domain)["dkim"] == state


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ("v=spf1 ip4:192.0.2.5 ip6:2001:db8::5 ~all", "matches"),
        ("V=SPF1 mx +ip4:192.0.2.5 ip6:2001:DB8::5 -all", "matches"),
        ("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all", "matches"),
        ("v=spf1 include:spf.morrowfinch.example -all", "matches"),
        ("v=spf1 redirect=spf.morrowfinch.example", "matches"),
        ("v=spf1 ip4:192.0.2.5 ~all", "differs"),
        ("v=spf1 -ip4:192.0.2.5 ip6:2001:db8::5 ~all", "differs"),
        ("v=spf1 include:loop.morrowfinch.example ~all", "differs"),
        ("v=spf10 ip4:192.0.2.5", "missing"),
    ],
)
def test_an_spf_record_must_let_every_sending_ip_pass(
    domain: SenderDomain, outside: Simulator, record: str, state: str
) -> None:
    publish(outside, "spf.morrowfinch.example", "TXT", "v=spf1 ip4:192.0.2.5 ip6:2001:db8::5 -all")
    publish(outside, "loop.morrowfinch.example", "TXT", "v=spf1 include:loop.morrowfinch.example -all")
    publish(outside, "bounce.news.morrowfinch.example", "TXT", record, "some-site-verification=abc")
    domains.verify(domain, NOW)
    assert states(domain)["bounce_spf"] == state


def test_two_spf_records_are_one_too_many(domain: SenderDomain, outside: Simulator) -> None:
    domains.publish_in_simulator(domain)
    expected = domain.records.get(purpose="bounce_spf").expected
    publish(outside, "bounce.news.morrowfinch.example", "TXT", expected, "v=spf1 -all")
    assert not domains.verify(domain, NOW).verified
    record = domain.records.get(purpose="bounce_spf")
    assert record.state == "several"
    assert set(record.current.splitlines()) == {expected, "v=spf1 -all"}


@pytest.mark.parametrize(
    ("values", "state"),
    [
        (("v=DMARC1; p=reject; rua=mailto:d@example.com",), "matches"),
        (("v=DMARC1;p=none",), "matches"),
        (("v=DMARC1; rua=mailto:d@example.com",), "differs"),
        (("p=none",), "missing"),
        (("v=DMARC1; p=none", "v=DMARC1; p=reject"), "several"),
    ],
)
def test_a_dmarc_record_needs_a_version_and_a_policy(
    domain: SenderDomain, outside: Simulator, values: tuple[str, ...], state: str
) -> None:
    publish(outside, "_dmarc.news.morrowfinch.example", "TXT", *values)
    domains.verify(domain, NOW)
    assert states(domain)["dmarc"] == state


@pytest.mark.parametrize(
    ("values", "state"),
    [
        (("10 mail.posthorn.example",), "matches"),
        (("5 MAIL.posthorn.example.",), "matches"),
        (("10 mx.others.example",), "differs"),
        (("10 mail.posthorn.example", "20 mx.others.example"), "differs"),
    ],
)
def test_bounces_must_come_to_us_alone(
    domain: SenderDomain, outside: Simulator, values: tuple[str, ...], state: str
) -> None:
    publish(outside, "bounce.news.morrowfinch.example", "MX", *values)
    domains.verify(domain, NOW)
    assert states(domain)["bounce_mx"] == state


def test_a_domain_with_mail_of_others_is_warned_about(domain: SenderDomain, outside: Simulator) -> None:
    publish(outside, "news.morrowfinch.example", "MX", "1 aspmx.officemail.example")
    publish(outside, "news.morrowfinch.example", "TXT", "v=spf1 include:_spf.officemail.example ~all")
    domains.verify(domain, NOW)
    assert domain.corporate_mail == "MX aspmx.officemail.example; SPF v=spf1 include:_spf.officemail.example ~all"
    outside.published.withdraw("news.morrowfinch.example")
    publish(outside, "news.morrowfinch.example", "MX", "10 mail.posthorn.example")
    publish(outside, "news.morrowfinch.example", "TXT", "v=spf1 -all")
    domains.verify(domain, NOW)
    assert domain.corporate_mail == ""
