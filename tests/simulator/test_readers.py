"""People and machines who open mail and follow its links: real requests, and a record that says whose they were."""

from __future__ import annotations

import http.server
import smtplib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from delivery.simulator import readers
from delivery.simulator.habits import HABITS, habit_of
from delivery.simulator.record import Visit
from delivery.simulator.server import Simulator, running_simulator
from tests.installation import until


class Site(http.server.ThreadingHTTPServer):
    """Answers everything, and writes down who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, str]] = []
        super().__init__(("127.0.0.1", 0), Page)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Page(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(
            (self.command, self.path, self.headers["User-Agent"], self.headers.get("Sec-Purpose", ""))
        )
        self.send_response(200 if self.path.startswith("/o/") else 302)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def outside(directory: Path, *, reads: bool = True) -> Iterator[Simulator]:
    with running_simulator(directory, readers=reads, reading_pace=0.0) as running:
        yield running


def send(simulator: Simulator, site: str, *recipients: str, links: int = 3) -> None:
    mail = EmailMessage()
    mail["From"], mail["Subject"], mail["Message-ID"] = "us@news.test", "News", "<1@news.test>"
    mail["List-Unsubscribe"] = f"<{site}/u/out>"
    mail.set_content("Hello")
    anchors = "".join(f"<a href='{site}/c/{n}'>Link</a>" for n in range(links))
    mail.add_alternative(
        f"<p>Hello {anchors}<a href='{site}/u/out'>Out</a><a href='https://far.example/'>Far</a>"
        f"<img src='https://far.example/big.png' width='600'><img src='{site}/o/1.gif' width='1' height='1'></p>",
        subtype="html",
        cte="quoted-printable",
    )
    with smtplib.SMTP("127.0.0.1", simulator.smtp_port, timeout=20) as client:
        for recipient in recipients:
            client.sendmail("b+t@bounce.news.test", [recipient], mail.as_bytes(policy=policy.SMTP))


def visits(simulator: Simulator, steps: int) -> list[Visit]:
    until(lambda: len(simulator.visits()) >= steps, "they have visited")
    return simulator.visits()


@pytest.mark.parametrize(
    ("habit", "asked"),
    [
        ("reader", [("GET", "/o/1.gif")]),
        ("webmail", [("GET", "/o/1.gif")]),
        ("clicker", [("GET", "/o/1.gif"), ("GET", "/c/0")]),
        ("scanner", [("GET", "/o/1.gif"), ("GET", "/c/0"), ("GET", "/c/1"), ("GET", "/c/2")]),
        ("gateway", [("GET", "/c/0"), ("GET", "/c/1"), ("GET", "/c/2")]),
        ("prober", [("HEAD", "/o/1.gif"), ("HEAD", "/c/0"), ("HEAD", "/c/1"), ("HEAD", "/c/2")]),
        ("fetcher", [("GET", "/o/1.gif")]),
        ("prefetcher", [("GET", "/o/1.gif")]),
    ],
)
def test_each_habit_does_what_it_says(tmp_path: Path, site: Site, habit: str, asked: list[tuple[str, str]]) -> None:
    recipient = f"success+{habit}-1@simulator.test"
    with outside(tmp_path) as simulator:
        send(simulator, site.url, recipient)
        found = visits(simulator, len(asked))
    assert [one[:2] for one in site.asked] == asked
    assert {(one.outcome, one.habit, one.recipient, one.message_id) for one in found} == {
        ("given", habit, recipient, "<1@news.test>")
    }
    assert [one.last for one in found] == [False] * (len(asked) - 1) + [True]
    assert {one[3] for one in site.asked} == {"prefetch" if habit == "prefetcher" else ""}


def test_over_few_links_nothing_is_a_burst(tmp_path: Path, site: Site) -> None:
    with outside(tmp_path) as simulator:
        send(simulator, site.url, "success+gateway@simulator.test", links=2)
        send(simulator, site.url, "success+reader@simulator.test")
        (only,) = visits(simulator, 1)
    assert only.habit == "reader"


def test_each_address_keeps_its_habit_and_all_occur() -> None:
    people = [f"success+{number}@simulator.test" for number in range(2000)]
    habits = [habit_of(one) for one in people]
    assert habits == [habit_of(one.upper()) for one in people]
    found = Counter(habit.name if habit else "" for habit in habits)
    assert set(found) == {"", *(habit.name for habit in HABITS)}
    assert 600 < found[""] < 1000
    assert habit_of("success@simulator.test") is None


def test_only_what_stays_delivered_at_the_simulators_own_domain_is_read(tmp_path: Path, site: Site) -> None:
    with outside(tmp_path) as simulator:
        send(
            simulator,
            site.url,
            "success+clicker@d1.sink.test",
            "bouncelater+clicker@simulator.test",
            "success@simulator.test",
            "complaint+reader@simulator.test",
        )
        (only,) = visits(simulator, 1)
    assert only.recipient == "complaint+reader@simulator.test"


def test_nobody_leaves_the_machine_and_without_readers_nobody_reads(tmp_path: Path, site: Site) -> None:
    with outside(tmp_path / "a") as simulator:
        send(simulator, "http://192.0.2.1:1", "success+clicker@simulator.test")
        send(simulator, site.url, "success+reader@simulator.test")
        (only,) = visits(simulator, 1)
    assert only.url.startswith(site.url)
    with outside(tmp_path / "b", reads=False) as simulator:
        send(simulator, site.url, "success+clicker@simulator.test")
        assert not simulator.visits()


def test_when_nobody_answers_the_record_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "RETRIES", (0.01,))
    with outside(tmp_path) as simulator:
        send(simulator, "http://127.0.0.1:1", "success+reader@simulator.test")
        (only,) = visits(simulator, 1)
    assert only.outcome == "failed"


def test_what_waits_to_be_read_is_bounded(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "WAITING_MAX", 2)
    with running_simulator(tmp_path, readers=True, reading_pace=1000.0) as simulator:
        send(simulator, site.url, *[f"success+reader-{n}@simulator.test" for n in range(5)])
        assert simulator.post.readers._waiting == 2
