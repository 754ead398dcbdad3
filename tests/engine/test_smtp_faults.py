"""Every way in which a server can misbehave × every phase: what comes of it; nothing is delivered by mistake."""

import asyncio

import pytest

from delivery.engine.classify import classify
from delivery.engine.smtp import SmtpFailed
from tests.engine import smtp_server as faulty
from tests.engine.smtp_server import PATIENT, Server, hurried, mail

CLEAN = {faulty.refuse: 554, faulty.put_off: 450, faulty.say_421: 421}
BROKEN = [
    faulty.hang,
    faulty.close,
    faulty.nonsense,
    faulty.wrong_number,
    faulty.endless_line,
    faulty.endless_lines,
    faulty.two_minds,
    faulty.half_a_reply,
]
FAULTS = [*CLEAN, *BROKEN]
BIG = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 120_000


def attempt(server: Server, content: bytes = b"Subject: x\r\n\r\nhello\r\n"):
    timeouts = hurried(next(iter(server.faults), "dot"))

    async def run():
        async with server.running():
            try:
                connection = await server.connect(timeouts)
            except SmtpFailed as failure:
                return failure.exchange, None
            exchange = await mail(connection, content)
            usable = connection.usable
            await connection.quit()
            return exchange, usable

    return asyncio.run(run())


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "step by step"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("phase", ["greeting", "ehlo", "mail", "rcpt", "data", "dot"])
def test_a_fault_is_seen_in_its_phase_and_is_no_delivery(phase, fault, pipelining):
    server = Server({phase: fault}, extensions=("PIPELINING", "SIZE") if pipelining else ("SIZE",))
    if phase == "ehlo" and fault is faulty.refuse:
        server.faults["helo"] = fault
    exchange, usable = attempt(server)
    reply = exchange.reply
    assert reply.phase == phase
    assert reply.code == CLEAN.get(fault, 0)
    assert reply.text
    assert not server.accepted
    verdict = classify(reply.code, reply.enhanced, reply.text, reply.phase)
    assert verdict.outcome == ("refused" if fault is faulty.refuse else "deferred")
    if phase not in ("greeting", "ehlo"):
        assert usable == (fault in (faulty.refuse, faulty.put_off))


@pytest.mark.parametrize("fault", [*CLEAN, faulty.hang, faulty.close, faulty.nonsense], ids=lambda f: f.__name__)
def test_a_fault_in_the_middle_of_a_big_body_is_no_delivery_and_ends_the_connection(fault):
    server = Server({"body": fault})
    exchange, usable = attempt(server, BIG)
    assert exchange.reply.phase == "body"
    assert exchange.reply.code == CLEAN.get(fault, 0) or exchange.reply.code == 0
    assert not usable
    assert not server.accepted


def test_an_acceptance_before_the_body_has_ended_is_not_believed():
    async def hasty(server, phase):
        await server.say("250 2.0.0 queued")

    exchange, usable = attempt(Server({"body": hasty}), BIG)
    assert (exchange.reply.code, exchange.reply.phase, usable) == (0, "body", False)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_delivered_mail_stays_delivered_whatever_the_server_says_to_quit(fault):
    server = Server({"quit": fault})
    exchange, _ = attempt(server)
    assert (exchange.reply.code, exchange.reply.phase) == (250, "dot")
    assert len(server.accepted) == 1


def test_nobody_listens():
    async def run():
        server = Server()
        async with server.running():
            pass
        with pytest.raises(SmtpFailed) as failure:
            await server.connect(PATIENT)
        return failure.value.exchange

    exchange = asyncio.run(run())
    assert (exchange.reply.code, exchange.reply.phase) == (0, "connect")
    assert exchange.remote_ip == "127.0.0.1"


def test_a_local_address_that_is_not_ours_is_a_failed_connection():
    async def run():
        async with Server().running() as server:
            with pytest.raises(SmtpFailed) as failure:
                await server.connect(PATIENT, local_ip="192.0.2.1")
            return failure.value.exchange.reply

    assert asyncio.run(run()).phase == "connect"


def test_a_server_that_drips_its_reply_does_not_gain_time():
    async def drip(server, phase):
        for character in b"250 2.1.0 ok and so on for ever":
            server.writer.write(bytes([character]))
            await asyncio.sleep(0.1)

    exchange, _ = attempt(Server({"mail": drip}))
    assert (exchange.reply.code, exchange.reply.phase) == (0, "mail")


def test_a_server_that_speaks_unasked_is_not_listened_to():
    server = Server(answers={"dot": "250 2.0.0 queued\r\n250 2.0.0 queued"})
    exchange, usable = attempt(server)
    assert exchange.reply.code == 250
    assert not usable


def test_control_characters_in_a_reply_are_replaced():
    exchange, _ = attempt(Server(answers={"dot": "550 5.7.1 a\x00b\x1b[31m"}))
    assert exchange.reply.text == "550 5.7.1 a\ufffdb\ufffd[31m"


def test_a_reply_and_a_conversation_are_kept_within_bounds():
    lines = "\r\n".join("550-5.7.1 " + "x" * 500 for _ in range(40)) + "\r\n550 5.7.1 end"
    exchange, _ = attempt(Server(answers={"dot": lines}))
    assert len(exchange.reply.text) == 2000
    assert sum(len(text) for _, text in exchange.conversation) <= 4096


def test_a_cancelled_send_closes_the_socket():
    async def run():
        async with Server({"dot": faulty.hang}).running() as server:
            connection = await server.connect()
            task = asyncio.create_task(mail(connection))
            while "DATA" not in server.heard:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return connection.usable

    assert asyncio.run(run()) is False
