"""The preflight of the sending IPs: against real DNS and SMTP servers on loopback, on the page and at the command."""

from __future__ import annotations

import datetime as dt
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from delivery.models import IpCheck, LimitGroup, QueuePause
from delivery.services import preflight, quota
from delivery.services.preflight_words import words
from delivery.simulator.server import Simulator, running_simulator
from tests.engine.dns_server import DnsServer

IP = "5.6.7.8"  # anybody's, but a public one: it is only looked up
PTR = ("8.7.6.5.in-addr.arpa", "PTR")


def codes(ip: str = IP) -> dict[str, str]:
    return {one.about: one.code for one in preflight.examine(ip)}


@contextmanager
def answering(greeting: bytes) -> Iterator[int]:
    """Whoever connects hears this once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(greeting)
                connection.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(5)


@pytest.fixture
def dns(settings: Any) -> Iterator[DnsServer]:
    with DnsServer({}) as server:
        settings.DNS_SERVERS, settings.DNS_TIMEOUT = [server.address], 1.0
        settings.SIMULATOR, settings.EHLO_NAME = False, "out.example.com"
        settings.PREFLIGHT_HOST = "127.0.0.1:9"
        yield server


@pytest.fixture
def simulated(settings: Any, tmp_path: Path) -> Iterator[Simulator]:
    settings.SIMULATOR, settings.PREFLIGHT_HOST, settings.SENDING_IPS = True, "", ["127.0.0.1"]
    with running_simulator(tmp_path) as simulator:
        settings.DNS_SERVERS, settings.MX_PORT = [f"127.0.0.1:{simulator.dns_port}"], simulator.smtp_port
        yield simulator


def test_names_that_lead_both_ways_are_in_order(dns: DnsServer) -> None:
    dns.zone = {("out.example.com", "A"): [IP], PTR: ["out.example.com."]}
    found = codes()
    assert (found["ehlo"], found["reverse"]) == ("ehlo_ok", "reverse_ok")


@pytest.mark.parametrize(
    ("zone", "ehlo", "reverse"),
    [
        ({}, "ehlo_nowhere", "reverse_missing"),
        ({("out.example.com", "A"): ["5.6.7.9"], PTR: ["other.example.com."]}, "ehlo_elsewhere", "reverse_unconfirmed"),
        (
            {
                ("out.example.com", "A"): ["5.6.7.9", IP],
                PTR: ["host-5-6-7-8.isp.example."],
                ("host-5-6-7-8.isp.example", "A"): [IP],
            },
            "ehlo_ok",
            "reverse_generic",
        ),
    ],
)
def test_what_is_wrong_with_names_is_told(dns: DnsServer, zone: Any, ehlo: str, reverse: str) -> None:
    dns.zone = zone
    found = codes()
    assert (found["ehlo"], found["reverse"]) == (ehlo, reverse)


def test_an_ehlo_name_without_a_domain_is_no_name(dns: DnsServer, settings: Any) -> None:
    settings.EHLO_NAME = "mailer"
    assert codes()["ehlo"] == "ehlo_short"


def test_dns_that_does_not_answer_proves_nothing(dns: DnsServer) -> None:
    dns.broken = {"out.example.com": None, PTR[0]: None}
    found = {one.about: one for one in preflight.examine(IP)}
    assert {found[about].code for about in ("ehlo", "reverse")} == {"dns_silent"}
    assert {found[about].state for about in ("ehlo", "reverse")} == {"warn"}


def test_an_address_that_this_machine_does_not_have_is_told(dns: DnsServer) -> None:
    assert codes()["port25"] == "port_not_ours"


def test_a_closed_port_names_the_relay_as_a_way_out(dns: DnsServer, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings.PREFLIGHT_HOST = f"127.0.0.1:{port}"
    found = {one.about: one for one in preflight.examine("127.0.0.1")}
    assert (found["port25"].state, found["port25"].code) == ("bad", "port_closed")
    assert "relay" in words(found["port25"]).todo
    assert found["reverse"].code == "reverse_private"


@pytest.mark.parametrize(
    ("greeting", "code"),
    [
        (b"220 mx.example.org ESMTP\r\n", "port_ok"),
        (b"554 5.7.1 5.6.7.8 is listed at dnsbl.example\r\n", "port_refused"),
        (b"", "port_mute"),
    ],
)
def test_the_greeting_decides_whether_port_25_gets_out(
    dns: DnsServer, settings: Any, monkeypatch: pytest.MonkeyPatch, greeting: bytes, code: str
) -> None:
    monkeypatch.setattr(preflight, "GREETING_SECONDS", 0.3 if not greeting else 5.0)
    with answering(greeting) as port:
        settings.PREFLIGHT_HOST = f"127.0.0.1:{port}"
        finding = preflight.examine("127.0.0.1")[-1]
    assert finding.code == code
    assert greeting.decode().strip() in words(finding).seen


def test_without_sending_ips_the_systems_own_is_found_by_calling(dns: DnsServer, settings: Any) -> None:
    with answering(b"220 mx.example.org\r\n") as port:
        settings.PREFLIGHT_HOST = f"127.0.0.1:{port}"
        found = preflight.examine("")
    assert found[-1].values["ip"] == "127.0.0.1"


@pytest.mark.django_db
def test_the_command_is_content_with_the_simulator_and_keeps_what_it_found(
    simulated: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    IpCheck.objects.create(ip="192.0.2.77", checked_at=timezone.now())
    call_command("preflight")
    assert "mx.simulator.test answered: 220" in capsys.readouterr().out
    assert [check.ip for check in IpCheck.objects.all()] == ["127.0.0.1"]


@pytest.mark.django_db
def test_the_command_ends_with_one_when_something_must_be_mended(
    simulated: Simulator, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SENDING_IPS = ["127.0.0.1", "192.0.2.5"]
    with pytest.raises(SystemExit) as end:
        call_command("preflight")
    assert end.value.code == 1
    assert "take it out of SENDING_IPS" in capsys.readouterr().out


@pytest.mark.django_db
def test_a_provider_that_refuses_the_ip_is_shown_and_ends_the_command_with_one(
    simulated: Simulator, administrator: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    for name, until in (("google", dt.timedelta(hours=1)), ("tencent", -dt.timedelta(hours=1))):
        QueuePause.objects.create(
            limit_group=LimitGroup.objects.create(name=f"provider:{name}"),
            sending_ip="127.0.0.1",
            pace_at=now,
            since=now,
            paused_until=now + until,
            reason=QueuePause.Reason.REPUTATION,
            said=f"550 5.7.1 listed at {name}",
        )
    with pytest.raises(SystemExit):
        call_command("preflight")
    assert "Refused by Google: 550 5.7.1 listed at google" in capsys.readouterr().out
    page = administrator.get("/sending-ips/").content.decode()
    assert ">Google</span>" in page
    assert "550 5.7.1 listed at google" in page
    assert "provider:" not in page
    assert "tencent" not in page  # that one is over


@pytest.mark.django_db
def test_an_administrator_checks_at_a_click_and_others_only_look(
    simulated: Simulator, administrator: Any, operator: Any
) -> None:
    assert "Not checked" in operator.get("/sending-ips/").content.decode()
    assert operator.post("/sending-ips/check/").status_code == 403
    page = administrator.post("/sending-ips/check/", follow=True).content.decode()
    assert "mail can leave from every sending IP" in page
    assert "In order" in page


@pytest.mark.django_db
def test_mail_of_today_is_counted_by_ip(settings: Any, administrator: Any) -> None:
    settings.SENDING_IPS = ["192.0.2.5", "192.0.2.6"]
    day = quota.local_day(timezone.now())
    preflight.count({"192.0.2.5": (3, 2), "192.0.2.9": (1, 1)}, day=day)
    preflight.count({"192.0.2.5": (1, 1)}, day=day)
    preflight.count({"192.0.2.5": (50, 50)}, day=day - dt.timedelta(days=1))
    assert preflight.counted(["192.0.2.5", "192.0.2.6"], day=day) == {"192.0.2.5": (4, 3), "192.0.2.6": (0, 0)}
    assert preflight.counted([""], day=day) == {"": (5, 4)}
    assert "3 taken at 4 attempts" in administrator.get("/sending-ips/").content.decode()


def test_every_finding_has_words() -> None:
    source = Path(preflight.__file__).read_text()
    values = dict.fromkeys(("name", "ip", "host", "port", "said", "there"), "x")
    for code in set(re.findall(r'"((?:ehlo|reverse|port|dns)_[a-z_]+)"', source)):
        assert words(preflight.Finding("ehlo", "ok", code, values)).seen
