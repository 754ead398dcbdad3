"""What comes back from the simulator's addresses, over real SMTP and HTTP, and what its record says of it."""

from __future__ import annotations

import asyncio
import http.server
import re
import smtplib
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from delivery.simulator import letters, returns
from delivery.simulator.behaviour import BEHAVIOURS
from delivery.simulator.letters import SHAPES
from delivery.simulator.server import Simulator, running_simulator
from delivery.simulator.zone import Record
from tests.installation import until

PATH = "b+token@bounce.news.test"


class Desk(socketserver.ThreadingTCPServer):
    """A mail server that writes down what it is brought, in answers of one line."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: Callable[[str], str] = lambda _line: "250 Ok") -> None:
        self.mails: list[tuple[str, str, bytes]] = []
        self.answers = answers
        super().__init__(("127.0.0.1", 0), Visit)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up before the last answer has said all there was."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Visit(socketserver.StreamRequestHandler):
    server: Desk

    def handle(self) -> None:
        self.wfile.write(b"220-desk\r\n220 ready\r\n")
        sender = to = ""
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "MAIL":
                sender = line[11:-1]
            if verb == "RCPT":
                to = line[9:-1]
            if verb == "DATA":
                self.wfile.write(b"354 go on\r\n")
                body = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append((sender, to, body.replace(b"\r\n.", b"\r\n")))
            self.wfile.write(self.server.answers(line).encode() + b"\r\n")


@pytest.fixture
def desk() -> Iterator[Desk]:
    with served(Desk()) as running:
        yield running


@contextmanager
def served(server: Desk) -> Iterator[Desk]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def outside(directory: Path, port: int) -> Iterator[Simulator]:
    with running_simulator(directory, feedback_port=port, feedback_delay=0.0) as running:
        running.published.publish([Record("bounce.news.test", "MX", "10 localhost")])
        yield running


def send(simulator: Simulator, *recipients: str, path: str = PATH, head: str = "") -> None:
    mail = f"From: us@news.test\r\nMessage-ID: <1@news.test>\r\nSubject: News\r\n{head}\r\nHello\r\n.dot\r\n"
    with smtplib.SMTP("127.0.0.1", simulator.smtp_port, timeout=20) as client:
        for recipient in recipients:
            client.sendmail(path, [recipient], mail.encode())


def came_back(simulator: Simulator, count: int = 1) -> list[letters.Returned]:
    until(lambda: len(simulator.returned()) >= count, "it comes back")
    return simulator.returned()  # type: ignore[return-value]


def parsed(mail: bytes) -> EmailMessage:
    found = message_from_bytes(mail, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.mark.parametrize("shape", SHAPES["bounce"])
def test_a_bounce_mail_comes_to_the_return_path_from_nobody(tmp_path: Path, desk: Desk, shape: str) -> None:
    with outside(tmp_path, desk.port) as simulator:
        send(simulator, f"bouncelater+{shape}-1@simulator.test")
        (given,) = came_back(simulator)
    ((sender, to, mail),) = desk.mails
    assert (sender, to) == ("", PATH)
    assert (given.outcome, given.kind, given.shape, given.to) == ("given", "bounce", shape, PATH)
    assert (given.recipient, given.message_id) == (f"bouncelater+{shape}-1@simulator.test", "<1@news.test>")
    assert b"5.1.1" in mail and b"Hello\r\n.dot" in mail
    report = [part for part in parsed(mail).walk() if part.get_content_type() == "message/delivery-status"]
    assert bool(report) == (shape != "qmail")


def test_each_address_has_a_shape_of_its_own_and_all_shapes_come() -> None:
    for kind, names in SHAPES.items():
        seen = [letters.shape(kind, f"x+{n}@simulator.test") for n in range(60)]
        assert seen == [letters.shape(kind, f"X+{n}@simulator.test") for n in range(60)]
        assert set(seen) == set(names)
    assert letters.shape("unsubscription", "unsubscribe+mailto-7@simulator.test") == "mailto"
    assert letters.shape("unsubscription", "unsubscribe+mailtoo@simulator.test") == "oneclick"


@pytest.mark.parametrize("shape", SHAPES["complaint"])
def test_a_complaint_goes_to_the_feedback_loop(tmp_path: Path, desk: Desk, shape: str) -> None:
    recipient = f"complaint+{shape}-1@simulator.test"
    head = f"To: {recipient}\r\nList-Unsubscribe: <https://x.test/u/abc>\r\n"
    with outside(tmp_path, desk.port) as simulator:
        send(simulator, recipient, head=head)
        came_back(simulator)
    ((sender, to, mail),) = desk.mails
    assert (sender, to) == ("staff@simulator.test", "fbl@bounce.news.test")
    report = parsed(mail)
    assert report.get_content_type() == "multipart/report"
    assert [part.get_content_type() for part in report.iter_parts()][1] == "message/feedback-report"
    assert (recipient.encode() in mail) == (shape == "arf")
    assert (PATH.encode() in mail) == (shape != "links")
    assert b"https://x.test/u/abc" in mail


def test_an_automatic_reply_says_that_it_is_one(tmp_path: Path, desk: Desk) -> None:
    with outside(tmp_path, desk.port) as simulator:
        send(simulator, "ooto+rfc3834@simulator.test", "ooto+outlook@simulator.test")
        came_back(simulator, 2)
    for _sender, to, mail in desk.mails:
        assert to == PATH
        assert parsed(mail)["Auto-Submitted"].startswith("auto-")
        assert parsed(mail)["In-Reply-To"] == "<1@news.test>"


def test_unsubscribing_is_a_post_or_a_mail(tmp_path: Path, desk: Desk) -> None:
    posts: list[tuple[str, bytes]] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    page = http.server.HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=page.serve_forever)
    thread.start()
    ways = f"<http://track.news.test:{page.server_port}/u/a?b>,\r\n <mailto:u+tok@bounce.news.test?subject=leave%20me>"
    try:
        with outside(tmp_path, desk.port) as simulator:
            # Links may carry the sender domain's own name.
            simulator.published.publish([Record("track.news.test", "CNAME", "localhost")])
            send(
                simulator,
                "unsubscribe+1@simulator.test",
                "unsubscribe+mailto@simulator.test",
                head=f"List-Unsubscribe: {ways}\r\n",
            )
            came_back(simulator, 2)
    finally:
        page.shutdown()
        thread.join()
        page.server_close()
    assert posts == [("/u/a?b", b"List-Unsubscribe=One-Click")]
    ((sender, to, mail),) = desk.mails
    assert (sender, to) == ("unsubscribe+mailto@simulator.test", "u+tok@bounce.news.test")
    assert parsed(mail)["Subject"] == "leave me"


def test_nothing_leaves_the_machine(tmp_path: Path, desk: Desk) -> None:
    with outside(tmp_path, desk.port) as simulator:
        simulator.published.publish(
            [Record("far.test", "MX", "10 mx.far.test"), Record("mx.far.test", "A", "192.0.2.1")]
        )
        send(simulator, "bouncelater@simulator.test", path="b+t@far.test")
        send(simulator, "bouncelater@simulator.test", path="b+t@nowhere.test")
        send(simulator, "unsubscribe@simulator.test", head="List-Unsubscribe: <http://192.0.2.1/u/x>\r\n")
        send(simulator, "unsubscribe@simulator.test")
        found = came_back(simulator, 4)
    assert {one.outcome for one in found} == {"failed"}
    assert not desk.mails


@pytest.mark.usefixtures("hasty")
def test_a_refusal_is_final_and_a_deferral_is_not(tmp_path: Path) -> None:
    tries: list[str] = []

    def answers(line: str) -> str:
        if not line.startswith("RCPT"):
            return "250 Ok"
        tries.append(line)
        if "no+" in line:
            return "550 5.1.1 no"
        return "450 4.7.1 later" if len(tries) < 3 else "250 Ok"

    with served(Desk(answers)) as desk, outside(tmp_path, desk.port) as simulator:
        send(simulator, "bouncelater@simulator.test", path="b+late@bounce.news.test")
        (late,) = came_back(simulator)
        tried = len(tries)
        send(simulator, "bouncelater@simulator.test", path="no+x@bounce.news.test")
        *_, refused = came_back(simulator, 2)
    assert (late.outcome, tried) == ("given", 3)
    assert (refused.outcome, refused.reply, len(tries)) == ("failed", "550 5.1.1 no", 4)


@pytest.mark.usefixtures("hasty")
def test_when_nobody_takes_it_the_record_says_so(tmp_path: Path, desk: Desk) -> None:
    closed = desk.port
    desk.server_close()
    with outside(tmp_path, closed) as simulator:
        send(simulator, "bouncelater@simulator.test")
        (given,) = came_back(simulator)
    assert given.outcome == "failed"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "RETRIES", (0.01, 0.01))


def test_what_waits_to_be_brought_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "WAITING_MAX", 3)
    with running_simulator(tmp_path, feedback_port=1, feedback_delay=60.0) as simulator:
        # As many as have one in hand, and three that wait.
        until_full = returns.COURIERS + 3
        send(simulator, *[f"bouncelater+{n}@simulator.test" for n in range(until_full + 2)])
        found = came_back(simulator, 2)
    assert {one.reply for one in found} == {"too much to bring back"}


def test_only_what_promises_it_brings_anything_back(tmp_path: Path, desk: Desk) -> None:
    silent = [one.local for one in BEHAVIOURS if not one.feedback and one.answer is None]
    with outside(tmp_path, desk.port) as simulator:
        send(simulator, *[f"{local}@simulator.test" for local in silent], "bouncelater@d1.sink.test")
        send(simulator, "ooto@simulator.test")
        (given,) = came_back(simulator)
    assert given.recipient == "ooto@simulator.test"


def test_a_server_that_talks_without_end_is_left() -> None:

    async def talk() -> str:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _line in range(1000):
                writer.write(b"220-and\r\n")
            writer.close()

        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await returns.deliver("127.0.0.1", port, letters.Letter("", "x@y", b"x"))

    with pytest.raises(returns.NotNow):
        asyncio.run(talk())


def test_the_dot_of_a_line_is_stuffed(tmp_path: Path, desk: Desk) -> None:
    with outside(tmp_path, desk.port) as simulator:
        send(simulator, "bouncelater+rfc3464@simulator.test")
        came_back(simulator)
    assert re.search(rb"\r\n\.dot\r\n", desk.mails[0][2])
