"""Logging in at a relay, TLS from the first byte, and asking for delivery status notifications."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from delivery.engine import smtp
from delivery.engine.smtp import SmtpFailed, verifying_context
from delivery.engine.types import Exchange
from tests.engine import smtp_server as faulty
from tests.engine.smtp_server import PATIENT, Server, hurried, mail

LOGINS = {"posthorn": "pass wörd"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mx.example.org").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def checked(authority: trustme.CA) -> Iterator[ssl.SSLContext]:
    with authority.cert_pem.tempfile() as path:
        yield verifying_context(path)


def attempt(server: Server, timeouts: Any = PATIENT, extra: dict[str, str] | None = None, **options: Any) -> Exchange:
    options.setdefault("login", ("posthorn", "pass wörd"))

    async def run() -> Exchange:
        async with server.running():
            try:
                connection = await server.connect(timeouts, **options)
            except SmtpFailed as failure:
                return failure.exchange
            exchange = await mail(connection, **(extra or {}))
            await connection.quit()
            return exchange

    return asyncio.run(run())


@pytest.mark.parametrize("ways", [("PLAIN", "LOGIN"), ("LOGIN",), ("CRAM-MD5", "LOGIN")])
def test_a_login_opens_the_relay_and_is_not_written_down(context: Any, checked: Any, ways: tuple[str, ...]) -> None:
    server = Server(tls=context, logins=LOGINS, ways=ways)
    exchange = attempt(server, tls="required", ssl_context=checked)
    assert exchange.reply.code == 250
    assert ("auth", "235 2.7.0 welcome") in exchange.conversation
    assert "wörd" not in str(exchange.conversation)
    verbs = [line.split()[0] for line in server.heard]
    assert verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


def test_tls_from_the_first_byte(context: Any, checked: Any) -> None:
    server = Server(tls=context, implicit=True, logins=LOGINS)
    exchange = attempt(server, tls="implicit", ssl_context=checked)
    assert exchange.reply.code == 250
    assert exchange.tls.startswith("TLSv1.")
    assert exchange.certificate.startswith("mx.example.org, issued by ")
    assert exchange.certificate.endswith(", checked")
    assert "STARTTLS" not in server.heard


def test_a_stranger_with_tls_from_the_first_byte_hears_nothing(context: Any) -> None:
    server = Server(tls=context, implicit=True, logins=LOGINS)
    exchange = attempt(server, tls="implicit", ssl_context=ssl.create_default_context())
    assert (exchange.reply.code, exchange.reply.phase) == (0, "tls")
    assert not server.heard


def test_a_stranger_behind_starttls_hears_no_password(context: Any) -> None:
    server = Server(tls=context, logins=LOGINS)
    exchange = attempt(server, tls="required", ssl_context=ssl.create_default_context())
    assert (exchange.reply.code, exchange.reply.phase) == (0, "tls")
    assert not any(line.startswith("AUTH") for line in server.heard)


def test_no_password_goes_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp.ipaddress.IPv4Address, "is_loopback", False)  # loopback is all that a test has
    server = Server(logins=LOGINS)
    exchange = attempt(server, tls="off")
    assert (exchange.reply.code, exchange.reply.phase) == (0, "auth")
    assert "in the clear" in exchange.reply.text
    assert server.heard == ["EHLO out.example.com"]


def test_on_loopback_it_may() -> None:
    assert attempt(Server(logins=LOGINS), tls="off").reply.code == 250


def test_a_wrong_password_is_told_as_the_relay_told_it() -> None:
    exchange = attempt(Server(logins=LOGINS), tls="off", login=("posthorn", "wrong"))
    assert (exchange.reply.code, exchange.reply.enhanced, exchange.reply.phase) == (535, "5.7.8", "auth")


@pytest.mark.parametrize("server", [Server(), Server(logins=LOGINS, ways=("GSSAPI",))], ids=["none", "unknown"])
def test_a_relay_without_a_way_to_log_in_gets_no_mail(server: Server) -> None:
    exchange = attempt(server, tls="off")
    assert (exchange.reply.code, exchange.reply.phase) == (0, "auth")
    assert not server.accepted


@pytest.mark.parametrize(
    "fault", [faulty.hang, faulty.close, faulty.nonsense, faulty.endless_lines, faulty.put_off, faulty.say_421]
)
def test_faults_while_logging_in_are_seen_there(fault: Any) -> None:
    server = Server({"auth": fault}, logins=LOGINS)
    exchange = attempt(server, hurried("mail"), tls="off")
    assert exchange.reply.phase == "auth"
    assert exchange.reply.code == {faulty.put_off: 450, faulty.say_421: 421}.get(fault, 0)
    assert not server.accepted


def test_an_answer_out_of_turn_is_no_welcome() -> None:
    exchange = attempt(Server(answers={"auth": "250 fine"}, logins=LOGINS), tls="off")
    assert (exchange.reply.code, exchange.reply.phase) == (0, "auth")


# --- delivery status notifications

ASKED = {"notify": "FAILURE,DELAY", "envelope_id": "a+b=c"}


def test_notifications_are_asked_for_where_they_are_offered() -> None:
    server = Server(extensions=("PIPELINING", "SIZE 100000", "DSN"))
    assert attempt(server, tls="off", login=None, extra=ASKED).reply.code == 250
    assert any(line.endswith(" RET=HDRS ENVID=a+2Bb+3Dc") for line in server.heard if line.startswith("MAIL"))
    assert "RCPT TO:<a@example.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a@example.org" in server.heard


@pytest.mark.parametrize(("extensions", "extra"), [(("PIPELINING",), ASKED), (("DSN",), {})])
def test_else_nothing_is_said_of_them(extensions: tuple[str, ...], extra: dict[str, str]) -> None:
    server = Server(extensions=extensions)
    assert attempt(server, tls="off", login=None, extra=extra).reply.code == 250
    assert not any(word in line for line in server.heard for word in ("NOTIFY", "RET=", "ENVID"))
