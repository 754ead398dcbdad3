"""STARTTLS: taken where offered, done without where it fails, insisted on where required."""

import asyncio
import ssl

import pytest
import trustme

from delivery.engine.smtp import SmtpFailed
from tests.engine import smtp_server as faulty
from tests.engine.smtp_server import PATIENT, Server, hurried, mail


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mx.example.org").configure_cert(context)
    return context


@pytest.fixture
def verifying(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def attempt(server: Server, **options):
    options.setdefault("tls", "opportunistic")
    timeouts = hurried("tls") if server.faults and not options.pop("patient", False) else PATIENT

    async def run():
        async with server.running():
            try:
                connection = await server.connect(timeouts, **options)
            except SmtpFailed as failure:
                return failure.exchange
            exchange = await mail(connection)
            await connection.quit()
            return exchange

    return asyncio.run(run())


def test_tls_is_used_where_offered(server_context):
    server = Server(tls=server_context)
    exchange = attempt(server)
    assert exchange.reply.code == 250
    assert exchange.tls.startswith("TLSv1.")
    assert [line.split()[0] for line in server.heard] == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_big_bodies_go_over_tls_too(server_context):
    async def run():
        async with Server(tls=server_context).running() as server:
            connection = await server.connect(tls="required")
            exchange = await mail(connection, b"x\r\n" * 400_000)
            await connection.quit()
            return server, exchange

    server, exchange = asyncio.run(run())
    assert exchange.reply.code == 250
    assert server.accepted[0][2] == b"x\r\n" * 400_000


def test_off_means_off(server_context):
    exchange = attempt(Server(tls=server_context), tls="off")
    assert (exchange.reply.code, exchange.tls) == (250, "")


def test_a_certificate_is_checked_where_the_caller_wants_it(server_context, verifying):
    assert attempt(Server(tls=server_context), tls="required", ssl_context=verifying).reply.code == 250
    exchange = attempt(Server(tls=server_context), tls="required", ssl_context=ssl.create_default_context())
    assert (exchange.reply.code, exchange.reply.phase) == (0, "tls")


def test_required_tls_that_is_not_offered_sends_nothing():
    server = Server()
    exchange = attempt(server, tls="required")
    assert (exchange.reply.code, exchange.reply.phase) == (0, "tls")
    assert not server.accepted


@pytest.mark.parametrize(
    "injected", [b"250 2.0.0 injected\r\n", b"250-half a reply", b"250-test\r\n250 PIPELINING\r\n"]
)
def test_what_came_before_the_handshake_is_thrown_away(server_context, injected):
    server = Server(tls=server_context, extensions=("SIZE 5000000",))

    async def go_on(server, phase):
        server.writer.write(b"220 go on\r\n" + injected)
        await server.writer.drain()
        await server.writer.start_tls(server.tls)
        server.encrypted, server.buffer = True, b""

    server.faults["tls"] = go_on
    exchange = attempt(server, patient=True)
    assert exchange.reply.code == 250
    assert exchange.tls
    assert "injected" not in str(exchange.conversation)
    assert server.connections == 1
    assert not any(b"MAIL" in chunk and b"RCPT" in chunk for chunk in server.chunks)  # PIPELINING was not believed


@pytest.mark.parametrize("code", ["454 4.7.0 not now", "554 5.7.0 never"])
def test_a_refused_starttls_goes_on_in_plain_unless_required(server_context, code):
    server = Server(tls=server_context, answers={"tls": code})
    exchange = attempt(server)
    assert (exchange.reply.code, exchange.tls, server.connections) == (250, "", 1)
    exchange = attempt(Server(tls=server_context, answers={"tls": code}), tls="required")
    assert (exchange.reply.code, exchange.reply.phase) == (int(code[:3]), "tls")


async def bad_handshake(server, phase):
    await server.say("220 go on")
    await server.say("this is no TLS record at all")


async def silent_handshake(server, phase):
    await server.say("220 go on")
    await asyncio.sleep(30)


async def cut_handshake(server, phase):
    await server.say("220 go on")
    raise faulty.Hangup


TLS_FAULTS = [
    bad_handshake,
    silent_handshake,
    cut_handshake,
    faulty.hang,
    faulty.close,
    faulty.nonsense,
    faulty.endless_line,
    faulty.endless_lines,
]


@pytest.mark.parametrize("fault", TLS_FAULTS, ids=lambda fault: fault.__name__)
def test_a_server_whose_tls_fails_is_called_again_without(server_context, fault):
    server = Server({"tls": fault}, tls=server_context)
    exchange = attempt(server)
    assert (exchange.reply.code, exchange.tls, server.connections) == (250, "", 2)
    assert ("connect", "again, without TLS") in exchange.conversation


@pytest.mark.parametrize("fault", TLS_FAULTS, ids=lambda fault: fault.__name__)
def test_a_server_whose_tls_fails_gets_nothing_where_it_is_required(server_context, fault):
    server = Server({"tls": fault}, tls=server_context)
    exchange = attempt(server, tls="required")
    assert (exchange.reply.code, exchange.reply.phase, server.connections) == (0, "tls", 1)
    assert not server.accepted


def test_421_to_starttls_is_believed(server_context):
    server = Server({"tls": faulty.say_421}, tls=server_context)
    exchange = attempt(server)
    assert (exchange.reply.code, exchange.reply.phase) == (421, "tls")
