"""A sender domain's own name for links: used once it leads to us under a good certificate, and only for recipients."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from django.test import Client

from delivery.models import SenderDomain
from delivery.services import domains, tracking_hosts
from delivery.simulator.server import Simulator
from tests.domains.dns import NOW, publish, states
from tests.tracking.mail import send
from tracking.models import Event

HOST = "track.news.morrowfinch.example"


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    tracking_hosts.names.forget()


def checked(domain: SenderDomain) -> str:
    domains.verify(domain, NOW)
    domain.refresh_from_db()
    return domain.tracking_host


@contextmanager
def https_server(authority: trustme.CA, *names: str) -> Iterator[int]:
    """Does the handshake, and no more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_without_tls_the_record_alone_decides(domain: SenderDomain, outside: Simulator, settings: Any) -> None:
    settings.PUBLIC_URL = "http://posthorn.example"
    assert checked(domain) == ""
    publish(outside, HOST, "CNAME", "posthorn.example")
    assert checked(domain) == HOST
    settings.DNS_SERVERS = ["127.0.0.1:9"]
    assert checked(domain) == HOST, "no answer says nothing"
    settings.DNS_SERVERS = [f"127.0.0.1:{outside.dns_port}"]
    publish(outside, HOST, "CNAME", "elsewhere.example")
    assert checked(domain) == ""


@pytest.mark.parametrize(("names", "good"), [([HOST], True), (["posthorn.example"], False)])
def test_with_tls_the_certificate_has_to_name_it(
    domain: SenderDomain, outside: Simulator, settings: Any, tmp_path: Path, names: list[str], good: bool
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    settings.TLS_CA_FILE = str(tmp_path / "ca.pem")
    publish(outside, HOST, "CNAME", "posthorn.example")
    publish(outside, "posthorn.example", "A", "127.0.0.1")
    with https_server(authority, *names) as port:
        settings.PUBLIC_URL = f"https://posthorn.example:{port}"
        assert checked(domain) == (HOST if good else "")
        assert states(domain)["tracking"] == "matches"
    assert checked(domain) == (HOST if good else ""), "a server that can't be reached says nothing"


def test_a_domain_that_was_added_before_there_was_a_name_gets_its_record(
    db: None, outside: Simulator, settings: Any
) -> None:
    settings.PUBLIC_URL = "http://192.0.2.7:8000"
    domain = domains.add_domain("shop.morrowfinch.example")
    assert "tracking" not in states(domain)
    settings.PUBLIC_URL = "https://posthorn.example"
    domains.verify(domain, NOW)
    assert domain.records.get(purpose="tracking").expected == "posthorn.example"


def test_under_a_tracking_host_only_what_stands_in_mail_is_answered(
    db: None, client: Client, administrator: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["posthorn.example", ".morrowfinch.example"]
    settings.PUBLIC_URL = "https://posthorn.example"
    SenderDomain.objects.create(name="news.morrowfinch.example", tracking_host=HOST)
    sent = send()
    there: dict[str, Any] = {"headers": {"host": HOST}}
    assert client.get(sent.open, **there).status_code == 200
    assert client.get(sent.click(2), **there)["Location"] == "https://shop.example/sale"
    assert "Stop these emails" in client.get(sent.unsubscribe, **there).content.decode()
    assert client.post(sent.unsubscribe, {"List-Unsubscribe": "One-Click"}, **there).status_code == 200
    assert client.head("/static/posthorn.css", **there).status_code == 200
    assert Event.objects.count() == 3
    for path in ("/", "/sign-in/", "/email-status/", "/admin/", "/healthz", "/nothing"):
        assert administrator.get(path, **there).status_code == 404
        assert administrator.get(path, headers={"host": f"{HOST}:443"}).status_code == 404
    assert administrator.get("/email-status/", headers={"host": "posthorn.example"}).status_code == 200


def test_a_name_that_leads_nowhere_is_still_refused(db: None, administrator: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["posthorn.example"]
    for path in ("/email-status/", send().unsubscribe):
        assert administrator.get(path, headers={"host": HOST}).status_code == 400


def test_over_plain_http_recipients_are_led_to_tls(db: None, client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["posthorn.example"], True
    settings.PUBLIC_URL = "https://posthorn.example"
    SenderDomain.objects.create(name="news.morrowfinch.example", tracking_host=HOST)
    answer = Client().get(send().open, headers={"host": HOST})
    assert answer.status_code == 301
    assert answer["Location"].startswith("https://posthorn.example/o/")
