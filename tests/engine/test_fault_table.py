"""The fault table: what becomes of a message for each SMTP fault in each phase, from the wire to its status.

D  delivered (of TLS: called again, and delivered in the clear)
X  refused for good
L  later: put off, the attempt counts
W  waits: put off, the attempt does not count, since it was about us or the whole server
.  cannot happen there

Nothing but a 2xx to the final dot is D. A mail that the server took and that we heard nothing of is L: it may arrive
twice.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from delivery.engine.claim import Claimed
from delivery.engine.classify import about_us, classify
from delivery.engine.session import Outgoing
from delivery.engine.settle import decide
from delivery.engine.smtp import SmtpFailed
from delivery.engine.types import Exchange, Phase
from delivery.models import Status
from delivery.simulator.tls import server_context
from tests.engine import smtp_server as faulty
from tests.engine.smtp_server import Hangup, Server, hurried, letter, mail

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
BIG = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 120_000

TABLE = """
                connect greeting ehlo tls mail rcpt data body dot quit
refuse             .       W      W    D   X    X    X    X    X   D
put_off            .       L      L    D   L    L    L    L    L   D
say_421            .       W      W    W   W    W    W    W    W   D
hang               L       L      L    D   L    L    L    L    L   D
close              L       L      L    D   L    L    L    L    L   D
nonsense           .       L      L    D   L    L    L    L    L   D
wrong_number       .       L      L    D   L    L    L    L    L   D
endless_line       .       L      L    D   L    L    L    L    L   D
endless_lines      .       L      L    D   L    L    L    L    L   D
two_minds          .       L      L    D   L    L    L    L    L   D
half_a_reply       .       L      L    D   L    L    L    L    L   D
accept_early       .       .      .    .   .    .    .    L    .   .
take_then_hang     .       .      .    .   .    .    .    .    L   .
take_then_close    .       .      .    .   .    .    .    .    L   .
take_then_garble   .       .      .    .   .    .    .    .    L   .
take_then_halve    .       .      .    .   .    .    .    .    L   .
"""


async def accept_early(server: Server, phase: str) -> None:
    await server.say("250 2.0.0 queued")


def take_then(fault: faulty.Fault) -> faulty.Fault:
    """The server has the mail, and we do not hear of it."""

    async def taken(server: Server, phase: str) -> None:
        server.accepted.append(("", "", b""))
        await fault(server, phase)

    return taken


FAULTS = {
    "accept_early": accept_early,
    "take_then_hang": take_then(faulty.hang),
    "take_then_close": take_then(faulty.close),
    "take_then_garble": take_then(faulty.nonsense),
    "take_then_halve": take_then(faulty.half_a_reply),
}


def cells() -> list[tuple[str, str, str]]:
    head, *rows = TABLE.strip().splitlines()
    return [
        (fault, phase, cell)
        for fault, *found in map(str.split, rows)
        for phase, cell in zip(head.split(), found, strict=True)
        if cell != "."
    ]


def attempt(server: Server, phase: str, tls: Any = "off", *, fault: str = "") -> Exchange:
    timeouts = hurried(phase)
    content = BIG if phase == "body" else b"Subject: x\r\n\r\nhello\r\n"

    async def run() -> Exchange:
        async with server.running():
            with nobody_answers(hangs=fault == "hang") as port:
                server.port = port if phase == "connect" else server.port
                try:
                    connection = await server.connect(timeouts, tls=tls)
                except SmtpFailed as failure:
                    return failure.exchange
            exchange = await mail(connection, content)
            await connection.quit()
            return exchange

    return asyncio.run(run())


@contextmanager
def nobody_answers(*, hangs: bool) -> Iterator[int]:
    """A port that refuses connections, or one whose queue is full, so that they hang."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        if hangs:
            listener.listen(0)
            for _number in range(3):
                caller = stack.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def outcome(exchange: Exchange) -> str:
    """What the engine makes of it: classify, then settle."""
    reply = exchange.reply
    verdict = classify(reply.code, reply.enhanced, reply.text, reply.phase)
    enough = reply.code > 0 and about_us(verdict)
    fields: dict[str, Any] = dict.fromkeys(Claimed.__dataclass_fields__, 0)
    one = Claimed(**{**fields, "answered": False, "expires_at": None})
    done = decide(one, exchange, verdict, now=NOW, retry_hours=72, simulator=False, about_us=enough)
    if done.status == Status.DELIVERED:
        return "D"
    if done.status == Status.INVALID:
        assert done.reason
        return "X"
    assert done.status == Status.SENDING
    return "L" if done.due is not None else "W"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    directory: Path = tmp_path_factory.mktemp("tls")
    return server_context(directory, "mx.example.org")


@pytest.mark.parametrize(("fault", "phase", "cell"), cells(), ids=lambda value: value)
def test_a_fault_has_the_outcome_of_the_table(fault: str, phase: str, cell: str, certificate: ssl.SSLContext) -> None:
    does = FAULTS.get(fault) or getattr(faulty, fault)
    server = Server({phase: does}, tls=certificate if phase == "tls" else None)
    if phase == "ehlo" and fault == "refuse":
        server.faults["helo"] = does
    exchange = attempt(server, phase, "opportunistic" if phase == "tls" else "off", fault=fault)
    assert outcome(exchange) == cell
    delivered = exchange.reply.code == 250 and exchange.reply.phase == "dot"
    assert delivered == (cell == "D")
    if cell == "D":
        assert len(server.accepted) == 1
        assert exchange.tls == ""
    elif not fault.startswith("take_then"):
        assert not server.accepted, "refused or put off, and yet taken"


def test_every_fault_and_every_phase_stands_in_the_table() -> None:
    head, *rows = TABLE.strip().splitlines()
    assert head.split() == [phase.value for phase in Phase if phase not in (Phase.DNS, Phase.AUTH)]
    known = {name for name, does in vars(faulty).items() if inspect.iscoroutinefunction(does)}
    assert {row.split()[0] for row in rows} == (known - {"connect", "mail"}) | FAULTS.keys()


ANNOUNCED = [cell for cell in cells() if cell[1] in ("mail", "rcpt", "data", "body", "dot")]


@pytest.mark.parametrize(("fault", "phase", "cell"), ANNOUNCED, ids=lambda value: value)
def test_a_message_announced_behind_another_fares_no_differently_and_does_it_no_harm(
    fault: str, phase: str, cell: str
) -> None:
    server = Server()
    first = letter(b"Subject: first\r\n\r\nhello\r\n")
    second = letter(BIG if phase == "body" else b"Subject: second\r\n\r\nhello\r\n", to="b@example.org")

    def follow() -> Outgoing:
        # What comes first is on the wire already, but for its body.
        server.faults[phase] = FAULTS.get(fault) or getattr(faulty, fault)
        return second

    async def run() -> tuple[Exchange, Exchange]:
        async with server.running():
            connection = await server.connect(hurried(phase))
            exchanges = await connection.send(first, follow=follow), await connection.send(second)
            await connection.quit()
            return exchanges

    before, exchange = asyncio.run(run())
    if phase == "dot":
        # The fault meets the first; the second has not been tried, or is answered for itself.
        assert outcome(before) == cell
        assert exchange.stale or outcome(exchange) == cell
    else:
        assert outcome(before) == "D"
        # On a connection used before, a server that is gone at MAIL has not been asked: another is, at once.
        assert outcome(exchange) == cell or (exchange.stale and phase == "mail")
    bodies = [body for *_, body in server.accepted if body]
    assert bodies == ([first.content] if phase != "dot" else [])


@pytest.mark.parametrize(
    "fault", ["refuse", "put_off", "say_421", "hang", "close", "nonsense", "two_minds", "half_a_reply"]
)
def test_where_tls_is_required_no_fault_of_it_lets_mail_out_in_the_clear(
    fault: str, certificate: ssl.SSLContext
) -> None:
    server = Server({"tls": getattr(faulty, fault)}, tls=certificate)
    exchange = attempt(server, "tls", "required")
    assert outcome(exchange) in ("L", "W", "X")
    assert not server.accepted
    assert not any(line.startswith("MAIL") for line in server.heard)


def test_a_handshake_that_breaks_is_called_again_in_the_clear(certificate: ssl.SSLContext) -> None:
    async def promise(server: Server, phase: str) -> None:
        await server.say("220 go on")
        raise Hangup

    server = Server({"tls": promise}, tls=certificate)
    exchange = attempt(server, "tls", "opportunistic")
    assert outcome(exchange) == "D"
    assert (server.connections, len(server.accepted)) == (2, 1)


def test_only_a_final_dot_without_an_answer_may_double() -> None:
    """What the server took is D, or its answer was lost after the final dot."""
    for fault, phase, cell in cells():
        if fault.startswith("take_then"):
            assert (phase, cell) == ("dot", "L")
