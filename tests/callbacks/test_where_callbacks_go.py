"""Never into our own network: by the URL, by DNS, by a redirect, or by an answer of DNS that changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from console.outbound import is_public
from delivery.callbacks import sending
from delivery.models import Callback
from delivery.services import callbacks
from tests.callbacks.receiver import Receiver
from tests.engine.dns_server import DnsServer

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        *["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"],
        *["::1", "fe80::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1"],
        *["2002:7f00:1::1"],
        *["224.0.0.1", "255.255.255.255", "::"],
    ],
)
def test_addresses_that_are_not_of_the_open_internet_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *[
            "ftp://shop.example/",
            "shop.example/x",
            "https://",
            "https://user:secret@shop.example/",
            "javascript:alert(1)",
        ],
        *["https://shop.example/#part", "https://shop.example:22/", "https://shop.example:99999/", "http://[::1/"],
        *["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest", "http://localhost/", "http://a b/"],
    ],
)
def test_urls_that_can_never_be_told_are_refused_when_they_are_typed(url: str) -> None:
    with pytest.raises(callbacks.CallbackRefused):
        callbacks.check_url(url)


@pytest.mark.parametrize("port", ["", ":80", ":443", ":8080", ":8081", ":8082"])
def test_the_allowed_ports_are_taken(port: str) -> None:
    assert callbacks.check_url(f" https://shop.example{port}/events ") == f"https://shop.example{port}/events"


def test_a_name_that_leads_to_loopback_is_not_connected_to(
    server: Callable[..., Receiver], told_to: Callable[..., Callback], settings: Any
) -> None:
    receiver = server()
    settings.CALLBACK_ALLOWED_NETWORKS = []
    zone = {("hooks.example", "A"): ["8.8.8.8"]}
    with DnsServer(zone) as dns:
        settings.DNS_SERVERS = [dns.address]
        callback = told_to(f"http://hooks.example:{receiver.server_port}/")
        # Between the look at the URL and the connection, DNS says something else.
        zone["hooks.example", "A"] = ["127.0.0.1"]
        told = sending.send_test(callbacks.test_event(callback), now=timezone.now())
    assert not told.taken
    assert "not a public address" in told.answer.problem
    assert receiver.connections == 0


def test_a_name_is_looked_up_and_connected_to_by_that_very_address(
    server: Callable[..., Receiver], told_to: Callable[..., Callback], settings: Any
) -> None:
    receiver = server()
    with DnsServer({("hooks.example", "A"): ["127.0.0.1"]}) as dns:
        settings.DNS_SERVERS = [dns.address]
        callback = told_to(f"http://hooks.example:{receiver.server_port}/x?y=1")
        assert sending.send_test(callbacks.test_event(callback), now=timezone.now()).taken
        assert [name for name, kind in dns.asked if kind == "A"] == ["hooks.example"]
    assert receiver.asked[0][0]["Host"] == f"hooks.example:{receiver.server_port}"


def test_a_name_without_an_address_says_so(told_to: Callable[..., Callback], settings: Any) -> None:
    with DnsServer({("other.example", "A"): ["8.8.8.8"]}) as dns:
        settings.DNS_SERVERS = [dns.address]
        callback = told_to("https://hooks.example/")
        told = sending.send_test(callbacks.test_event(callback), now=timezone.now())
    assert told.answer.problem == "hooks.example has no address"
