"""The next message is announced together with the body of the one before it, and nothing that befalls the one does
harm to the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from delivery.engine.session import NotTried, Outgoing
from delivery.engine.smtp import Connection
from delivery.engine.types import Exchange
from tests.engine import smtp_server as faulty
from tests.engine.smtp_server import Server, hurried, letter

T = TypeVar("T")
FIRST, SECOND = letter(b"first\r\n", to="a@example.org"), letter(b"second\r\n", to="b@example.org")


def converse(server: Server, talk: Callable[[Connection], Awaitable[T]], **options: object) -> T:
    async def run() -> T:
        async with server.running():
            connection = await server.connect(**options)
            result = await talk(connection)
            await connection.quit()
            return result

    return asyncio.run(run())


async def both(connection: Connection) -> tuple[Exchange, Exchange]:
    first = await connection.send(FIRST, follow=lambda: SECOND)
    return first, await connection.send(SECOND)


def test_a_message_that_follows_is_announced_with_the_body_before_it() -> None:
    server = Server()
    first, second = converse(server, both)
    assert (first.reply.code, second.reply.code) == (250, 250)
    assert [(recipient, body) for _sender, recipient, body in server.accepted] == [
        ("RCPT TO:<a@example.org>", b"first\r\n"),
        ("RCPT TO:<b@example.org>", b"second\r\n"),
    ]
    assert [phase for phase, _ in second.conversation] == ["connect", "mail", "rcpt", "data", "dot"]
    # EHLO; MAIL, RCPT, DATA; the body and what follows; the second body; QUIT
    assert len(server.chunks) == 5
    assert server.chunks[2].endswith(
        b".\r\nMAIL FROM:<b+1@bounce.example.com> SIZE=8\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    )


def test_a_body_of_many_blocks_announces_too() -> None:
    server = Server()
    big = letter(b"x" * 70 * 1000 + b"\r\n")

    async def talk(connection: Connection) -> tuple[Exchange, Exchange]:
        first = await connection.send(big, follow=lambda: SECOND)
        assert connection.announced is SECOND
        return first, await connection.send(SECOND)

    first, second = converse(server, talk)
    assert (first.reply.code, second.reply.code) == (250, 250)
    assert [len(body) for *_, body in server.accepted] == [70_002, 8]


def test_without_pipelining_nothing_is_announced() -> None:
    server = Server(extensions=("8BITMIME",))
    asked: list[int] = []

    async def talk(connection: Connection) -> Exchange:
        return await connection.send(FIRST, follow=lambda: asked.append(1))

    assert converse(server, talk).reply.code == 250
    assert asked == []


@pytest.mark.parametrize("fault", [faulty.refuse, faulty.put_off])
def test_a_refused_body_leaves_the_announced_message_alone(fault: faulty.Fault) -> None:
    server = Server({"dot": fault})

    async def talk(connection: Connection) -> tuple[Exchange, Exchange]:
        first = await connection.send(FIRST, follow=lambda: SECOND)
        server.faults.clear()
        return first, await connection.send(SECOND)

    first, second = converse(server, talk)
    assert first.reply.phase == "dot"
    assert first.reply.code in (554, 450)
    assert second.reply.code == 250
    assert [body for *_, body in server.accepted] == [b"second\r\n"]


@pytest.mark.parametrize("phase", ["mail", "rcpt", "data"])
def test_a_refused_announcement_says_nothing_of_the_message_before_it(phase: str) -> None:
    server = Server()

    async def talk(connection: Connection) -> tuple[Exchange, Exchange, Exchange]:
        async def refuse_second(server: Server, phase: str) -> None:
            await server.say("550 5.1.1 nobody")

        def follow() -> Outgoing:
            server.faults[phase] = refuse_second
            return SECOND

        first = await connection.send(FIRST, follow=follow)
        second = await connection.send(SECOND)
        server.faults.clear()
        return first, second, await connection.send(FIRST)

    first, second, third = converse(server, talk)
    assert (first.reply.code, second.reply.code, third.reply.code) == (250, 550, 250)
    assert second.reply.phase == phase
    assert len(server.accepted) == 2


@pytest.mark.parametrize("fault", [faulty.close, faulty.hang, faulty.nonsense, faulty.half_a_reply, faulty.say_421])
def test_when_the_answer_to_the_dot_fails_the_announced_message_was_not_tried(fault: faulty.Fault) -> None:
    server = Server({"dot": fault})
    first, second = converse(server, both, timeouts=hurried("dot"))
    assert first.reply.phase == "dot"
    assert first.reply.code == (421 if fault is faulty.say_421 else 0)
    assert (second.reply.code, second.reply.phase) == (0, "mail")
    # To be tried at once on another connection, at no cost.
    assert second.stale
    assert server.accepted == []


def test_421_to_the_announcement_is_its_answer() -> None:
    server = Server()

    async def talk(connection: Connection) -> tuple[Exchange, Exchange]:
        def follow() -> Outgoing:
            server.faults["mail"] = faulty.say_421
            return SECOND

        return await connection.send(FIRST, follow=follow), await connection.send(SECOND)

    first, second = converse(server, talk)
    assert (first.reply.code, second.reply.code) == (250, 421)
    assert not second.stale


def test_an_announced_message_whose_time_is_over_is_not_sent() -> None:
    server = Server()

    async def talk(connection: Connection) -> None:
        await connection.send(FIRST, follow=lambda: SECOND)
        with pytest.raises(NotTried):
            await connection.send(SECOND, may_begin=lambda: False)
        assert not connection.usable

    converse(server, talk)
    assert [body for *_, body in server.accepted] == [b"first\r\n"]


def test_nothing_else_is_sent_before_what_was_announced() -> None:
    server = Server()

    async def talk(connection: Connection) -> Exchange:
        await connection.send(FIRST, follow=lambda: SECOND)
        return await connection.send(letter(b"third\r\n"))

    assert converse(server, talk).stale
    assert [body for *_, body in server.accepted] == [b"first\r\n"]


def test_a_server_that_says_more_than_it_was_asked_is_left() -> None:
    server = Server(answers={"dot": "250 2.0.0 ok\r\n250 2.0.0 ok\r\n250 2.0.0 ok\r\n250 2.0.0 ok\r\n250 2.0.0 ok"})

    async def talk(connection: Connection) -> tuple[Exchange, bool]:
        return await connection.send(FIRST, follow=lambda: SECOND), connection.usable

    first, usable = converse(server, talk)
    assert first.reply.code == 250
    assert not usable
