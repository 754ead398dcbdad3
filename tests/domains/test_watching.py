"""A verified domain: when DNS is asked again, what stops it, and what never does."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from delivery.models import SenderDomain
from delivery.services import domains
from delivery.simulator.server import Simulator
from tests.domains.dns import HOUR, MINUTE, NOW, states


def test_a_key_that_is_gone_at_two_checks_an_hour_apart_stops_the_domain(
    verified: SenderDomain, outside: Simulator
) -> None:
    outside.published.withdraw("ph1._domainkey.news.morrowfinch.example")
    assert domains.verify(verified, NOW + HOUR).verified
    assert domains.verify(verified, NOW + HOUR + 59 * MINUTE).verified
    checked = domains.verify(verified, NOW + 2 * HOUR)
    assert checked.became == "pending"
    assert verified.verified_at is None
    assert verified.problem == "The DKIM record is gone."
    # Published again, it goes on by itself.
    domains.publish_in_simulator(verified)
    assert domains.verify(verified, NOW + 3 * HOUR, asked=False).became == "verified"
    assert verified.problem == ""


def test_a_bounce_host_that_is_gone_does_too(verified: SenderDomain, outside: Simulator) -> None:
    outside.published.withdraw("bounce.news.morrowfinch.example")
    domains.verify(verified, NOW + HOUR)
    domains.verify(verified, NOW + 2 * HOUR)
    assert not verified.verified
    assert "bounce host" in verified.problem


def test_a_record_that_comes_back_in_between_starts_the_hour_anew(verified: SenderDomain, outside: Simulator) -> None:
    outside.published.withdraw("ph1._domainkey.news.morrowfinch.example")
    domains.verify(verified, NOW)
    domains.publish_in_simulator(verified)
    domains.verify(verified, NOW + HOUR)
    outside.published.withdraw("ph1._domainkey.news.morrowfinch.example")
    assert domains.verify(verified, NOW + 2 * HOUR).verified


def test_a_dns_server_that_does_not_answer_never_demotes(verified: SenderDomain, settings: Any) -> None:
    settings.DNS_SERVERS = ["127.0.0.1:9"]  # nobody listens there
    settings.DNS_TIMEOUT = 0.2
    for hours in range(1, 5):
        checked = domains.verify(verified, NOW + hours * HOUR)
        assert checked.verified
        assert not checked.answered
    assert set(states(verified).values()) == {"no_answer"}


def test_no_answer_in_between_does_not_forget_what_was_gone(
    verified: SenderDomain, outside: Simulator, settings: Any
) -> None:
    outside.published.withdraw("ph1._domainkey.news.morrowfinch.example")
    domains.verify(verified, NOW)
    settings.DNS_SERVERS = ["127.0.0.1:9"]
    settings.DNS_TIMEOUT = 0.2
    assert domains.verify(verified, NOW + HOUR).verified
    settings.DNS_SERVERS = [f"127.0.0.1:{outside.dns_port}"]
    assert not domains.verify(verified, NOW + 2 * HOUR).verified


@pytest.mark.parametrize("purpose", ["dmarc", "bounce_spf", "spf"])
def test_only_the_key_and_the_bounce_host_are_vital(verified: SenderDomain, outside: Simulator, purpose: str) -> None:
    record = verified.records.get(purpose=purpose)
    outside.published.withdraw(record.host, record.type)
    domains.verify(verified, NOW + HOUR)
    assert domains.verify(verified, NOW + 3 * HOUR).verified


def test_a_name_server_setting_that_cannot_be_read_is_no_answer(verified: SenderDomain, settings: Any) -> None:
    settings.DNS_SERVERS = ["no.such.host.invalid:5353"]
    assert not domains.verify(verified, NOW + HOUR).answered
    assert verified.verified


def test_dns_is_asked_every_ten_minutes_for_two_hours_and_hourly_after(domain: SenderDomain) -> None:
    now = timezone.now()
    assert domain.next_check_at is not None
    assert abs(domain.next_check_at - now - 10 * MINUTE) < MINUTE
    domains.verify(domain, now, asked=False)
    assert domain.next_check_at == now + 10 * MINUTE
    later = now + 2 * HOUR + MINUTE
    domains.verify(domain, later, asked=False)
    assert domain.next_check_at == later + HOUR
    domains.verify(domain, later)
    assert domain.next_check_at == later + 10 * MINUTE


def test_the_job_checks_those_whose_time_has_come_and_each_once(domain: SenderDomain) -> None:
    now = timezone.now()
    other = domains.add_domain("other.morrowfinch.example")
    assert domains.check_due(now) == 0
    assert domains.check_due(now + 11 * MINUTE) == 2
    assert domains.check_due(now + 11 * MINUTE) == 0
    other.refresh_from_db()
    assert other.checked_at == now + 11 * MINUTE


def test_a_sending_ip_that_is_added_later_is_asked_for_and_stops_nothing(verified: SenderDomain, settings: Any) -> None:
    settings.SENDING_IPS = [*settings.SENDING_IPS, "198.51.100.7"]
    assert domains.verify(verified, NOW + HOUR).verified
    record = verified.records.get(purpose="bounce_spf")
    assert record.state == "differs"
    assert "ip4:198.51.100.7" in record.expected
    domains.publish_in_simulator(verified)
    domains.verify(verified, NOW + 2 * HOUR)
    assert set(states(verified).values()) == {"matches"}
