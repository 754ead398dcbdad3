"""What a session does when all is well, or nearly."""

import asyncio
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.engine.session import has_clean_lines, stuffed
from delivery.engine.smtp import NotTried
from tests.engine import smtp_server as faulty
from tests.engine.smtp_server import Server, letter, mail

PLAIN = ("SIZE 10000000", "8BITMIME")
PIPELINING = ("PIPELINING", *PLAIN)


def converse(server: Server, *contents: bytes, **options):
    async def run():
        async with server.running():
            connection = await server.connect()
            exchanges = [await mail(connection, content, **options) for content in contents]
            await connection.quit()
            return exchanges

    return asyncio.run(run())


def test_pipelining_writes_mail_rcpt_and_data_at_once():
    server = Server(extensions=PIPELINING)
    (exchange,) = converse(server, b"hello\r\n")
    assert exchange.reply.code == 250
    assert exchange.reply.enhanced == "2.0.0"
    assert [phase for phase, _ in exchange.conversation] == [
        "connect",
        "greeting",
        "ehlo",
        "mail",
        "rcpt",
        "data",
        "dot",
    ]
    assert server.chunks[1].count(b"\r\n") == 3


def test_without_pipelining_each_command_waits_for_its_answer():
    server = Server(extensions=PLAIN)
    (exchange,) = converse(server, b"hello\r\n")
    assert exchange.reply.code == 250
    assert all(chunk.count(b"\r\n") == 1 for chunk in server.chunks[:4])


@pytest.mark.parametrize("extensions", [PIPELINING, PLAIN], ids=["pipelining", "step by step"])
def test_one_connection_carries_many_messages(extensions):
    server = Server(extensions=extensions)
    exchanges = converse(server, *(b"%d\r\n" % number for number in range(20)))
    assert [exchange.reply.code for exchange in exchanges] == [250] * 20
    assert [body for *_, body in server.accepted] == [b"%d\r\n" % number for number in range(20)]
    assert server.connections == 1
    assert "RSET" not in server.heard


@pytest.mark.parametrize("extensions", [PIPELINING, PLAIN], ids=["pipelining", "step by step"])
@pytest.mark.parametrize("phase", ["mail", "rcpt", "data"])
def test_after_a_refusal_the_session_is_reset_and_goes_on(extensions, phase):
    async def run():
        async with Server({phase: faulty.refuse}, extensions=extensions).running() as server:
            connection = await server.connect()
            refused = await mail(connection)
            server.faults.clear()
            accepted = await mail(connection)
            await connection.quit()
            return server, refused, accepted

    server, refused, accepted = asyncio.run(run())
    assert (refused.reply.phase, refused.reply.code, accepted.reply.code) == (phase, 554, 250)
    assert "RSET" in server.heard
    assert server.connections == 1
    assert len(server.accepted) == 1


def test_data_accepted_after_a_refused_recipient_is_ended_by_a_lone_dot():
    async def run():
        answers = {"rcpt": "550 5.1.1 nobody", "data": "354 go on", "dot": "554 5.5.1 no valid recipients"}
        async with Server(answers=answers, extensions=PIPELINING).running() as server:
            connection = await server.connect()
            refused = await mail(connection)
            server.answers.clear()
            accepted = await mail(connection)
            await connection.quit()
            return server, refused, accepted

    server, refused, accepted = asyncio.run(run())
    assert (refused.reply.phase, refused.reply.enhanced, accepted.reply.code) == ("rcpt", "5.1.1", 250)
    assert len(server.accepted) == 1


def test_no_empty_message_is_left_with_a_server_that_refused_the_sender_only():
    server = Server(answers={"mail": "550 5.7.1 not you", "data": "354 go on"}, extensions=PIPELINING)
    (exchange,) = converse(server, b"hello\r\n")
    assert (exchange.reply.phase, exchange.reply.code) == ("mail", 550)
    assert not server.accepted
    assert b"\r\n.\r\n" not in b"".join(server.chunks)


def test_an_old_server_is_greeted_with_helo():
    server = Server(answers={"ehlo": "502 5.5.1 what?"})
    (exchange,) = converse(server, b"hello\r\n")
    assert exchange.reply.code == 250
    assert "HELO out.example.com" in server.heard
    assert "MAIL FROM:<b+1@bounce.example.com>" in server.heard


def test_the_size_is_declared_and_a_message_too_big_is_not_sent():
    server = Server(extensions=("SIZE 1000",))
    small, big = converse(server, b"x\r\n", b"x" * 998 + b"\r\n" + b"y\r\n")
    assert "MAIL FROM:<b+1@bounce.example.com> SIZE=3" in server.heard
    assert small.reply.code == 250
    assert (big.reply.code, big.reply.enhanced) == (552, "5.3.4")
    assert len(server.accepted) == 1


@pytest.mark.parametrize("offer", ["SIZE", "SIZE 0", "SIZE nonsense"])
def test_a_size_without_a_limit_limits_nothing(offer):
    (exchange,) = converse(Server(extensions=(offer,)), b"x\r\n" * 1000)
    assert exchange.reply.code == 250


def test_eight_bit_bodies_are_declared_where_offered():
    server = Server(extensions=PIPELINING)
    converse(server, "é\r\n".encode(), b"e\r\n")
    assert [line.split()[-1] for line in server.heard if line.startswith("MAIL")] == ["BODY=8BITMIME", "SIZE=3"]


@pytest.mark.parametrize("extensions", [("SMTPUTF8",), PLAIN])
def test_a_non_ascii_mailbox_needs_smtputf8(extensions):
    async def run():
        async with Server(extensions=extensions).running() as server:
            connection = await server.connect()
            exchange = await connection.send(letter(to="用户@例え.jp"))
            await connection.quit()
            return server, exchange.reply

    server, reply = asyncio.run(run())
    if "SMTPUTF8" in extensions:
        assert reply.code == 250
        assert "MAIL FROM:<b+1@bounce.example.com> SMTPUTF8" in server.heard
        assert "RCPT TO:<用户@xn--r8jz45g.jp>" in server.heard
    else:
        assert (reply.code, reply.enhanced) == (553, "5.6.7")
        assert not any(line.startswith("MAIL") for line in server.heard)


def test_an_international_domain_alone_needs_no_smtputf8():
    async def run():
        async with Server(extensions=PLAIN).running() as server:
            connection = await server.connect()
            exchange = await connection.send(letter(to="info@bücher.example"))
            await connection.quit()
            return server, exchange.reply

    server, reply = asyncio.run(run())
    assert reply.code == 250
    assert "RCPT TO:<info@xn--bcher-kva.example>" in server.heard


@pytest.mark.parametrize(
    "address", ["a@b>\r\nRCPT TO:<c@d", "a b@c", "", "a", "a@", "@b", "a@b>", "a\x00@b", '"a\r\n"@b', "a@b c"]
)
def test_an_address_cannot_add_a_command(address):
    async def run():
        async with Server().running() as server:
            connection = await server.connect()
            exchange = await connection.send(letter(to=address))
            await connection.quit()
            return server, exchange.reply

    server, reply = asyncio.run(run())
    assert reply.code == 553
    assert [line.split()[0] for line in server.heard] == ["EHLO", "QUIT"]


def test_a_bare_line_end_never_leaves():
    server = Server()
    exchanges = converse(server, b"a\n.\nMAIL", b"a\r\n\r.\r\n")
    assert [exchange.reply.enhanced for exchange in exchanges] == ["5.6.0", "5.6.0"]
    assert not server.accepted


def test_bodies_arrive_as_they_were_sent():
    bodies = [
        b"",
        b".\r\n",
        b"..\r\n.\r\n...\r\n",
        b"a\r\n.\r\nb\r\n",
        b"no last line end",
        b"x" * 3000 + b"\r\n",
        "日本語 😀\r\n".encode(),
        (b"." + b"y" * 70 + b"\r\n") * 20_000,
    ]
    server = Server()
    exchanges = converse(server, *bodies)
    assert {exchange.reply.code for exchange in exchanges} == {250}
    expected = [body if body.endswith(b"\r\n") or not body else body + b"\r\n" for body in bodies]
    assert [body for *_, body in server.accepted] == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet=".a ", max_size=4), max_size=6))
def test_dots_are_doubled_and_only_the_last_line_ends_the_message(lines):
    content = "".join(line + "\r\n" for line in lines).encode()
    sent = stuffed(content).split(b"\r\n")
    assert sent[-2:] == [b".", b""]
    assert b"." not in sent[:-2]
    assert [line[1:] if line.startswith(b".") else line for line in sent[:-2]] == content.split(b"\r\n")[:-1]


def test_clean_lines_are_told_from_bare_ones():
    assert has_clean_lines(b"a\r\nb\r\n")
    assert not any(has_clean_lines(bad) for bad in (b"a\nb", b"a\rb", b"\r\r\n", b"\n\r", b"\r\n\n"))


def test_a_connection_that_was_closed_while_idle_is_known_as_stale_and_is_no_attempt():
    async def run():
        async with Server().running() as server:
            connection = await server.connect()
            await mail(connection)
            server.writer.close()
            while connection.usable:
                await asyncio.sleep(0.01)
            exchange = await mail(connection)
            await connection.quit()
            return exchange

    exchange = asyncio.run(run())
    assert (exchange.reply.code, exchange.reply.phase, exchange.stale) == (0, "mail", True)


def test_an_idle_connection_that_was_told_421_is_not_usable():
    async def run():
        async with Server().running() as server:
            connection = await server.connect()
            await mail(connection)
            await server.say("421 4.4.2 timeout exceeded")
            while connection.usable:
                await asyncio.sleep(0.01)
            exchange = await mail(connection)
            await connection.quit()
            return exchange

    exchange = asyncio.run(run())
    assert (exchange.reply.code, exchange.stale) == (421, True)


def test_nothing_is_written_when_the_claim_has_run_out():
    async def run():
        async with Server().running() as server:
            connection = await server.connect()
            with pytest.raises(NotTried):
                await mail(connection, may_begin=lambda: False)
            still = connection.usable
            exchange = await mail(connection, may_begin=lambda: True)
            await connection.quit()
            return server, still, exchange

    server, still, exchange = asyncio.run(run())
    assert still
    assert exchange.reply.code == 250
    assert len(server.accepted) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need 127.0.0.2 to be set up first")
def test_the_local_address_is_the_one_asked_for():
    async def run():
        async with Server().running() as server:
            connection = await server.connect(local_ip="127.0.0.2")
            exchange = await mail(connection)
            await connection.quit()
            return exchange

    exchange = asyncio.run(run())
    assert (exchange.local_ip, exchange.remote_ip, exchange.mx_host) == ("127.0.0.2", "127.0.0.1", "mx.example.org")
    assert exchange.seconds >= 0
