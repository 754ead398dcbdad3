"""Servers with moods: each does what its line of the table says, and what it did is on record."""

from __future__ import annotations

import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.resolver
import pytest

from delivery.engine.classify import classify_text
from delivery.simulator import tally
from delivery.simulator.behaviour import MOODY, Mailboxes
from delivery.simulator.moods import MOODS, parse_limits
from delivery.simulator.server import Simulator, running_simulator
from tests.simulator.conftest import Send

BY_NAME = {mood.name: mood for mood in MOODS}
MAIL = b"Message-ID: <1@sender.test>\r\nSubject: x\r\n\r\nHello\r\n"

if not Simulator(Path("unused")).options.moods:
    pytest.skip("this machine has but one loopback address", allow_module_level=True)


@contextmanager
def calling(simulator: Simulator, name: str, source: str = "127.0.0.1") -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(
        BY_NAME[name].host, simulator.smtp_port, "sender.test", timeout=20, source_address=(source, 0)
    ) as client:
        yield client


def once(client: smtplib.SMTP, recipient: str) -> tuple[int, str]:
    """One mail; the answer that decided."""
    client.ehlo_or_helo_if_needed()
    for step in (
        lambda: client.mail("b+1@bounce.sender.test"),
        lambda: client.rcpt(recipient),
        lambda: client.data(MAIL),
    ):
        code, text = step()
        if code >= 400:
            return code, text.decode()
    return code, text.decode()


@pytest.mark.parametrize("mood", MOODS, ids=lambda mood: mood.name)
def test_each_mood_is_a_site_of_its_own(simulator: Simulator, resolver: dns.resolver.Resolver, mood) -> None:
    assert str(resolver.resolve(mood.domain, "MX")[0]) == f"10 {mood.mx}."
    assert str(resolver.resolve(mood.mx, "A")[0]) == mood.host
    assert simulator.mailboxes.serves(mood.domain)


@pytest.mark.parametrize("name", ["ratelimit.gmail", "ratelimit.qq", "ratelimit.outlook", "limited"])
def test_more_messages_in_a_second_than_it_takes_are_put_off_in_its_own_words(simulator: Simulator, name: str) -> None:
    mood = BY_NAME[name]
    simulator.post.tally._clock = lambda: 1000.0  # all in one second
    with calling(simulator, name) as client:
        said = [once(client, f"a{number}@{mood.domain}") for number in range(mood.rate + 1)]
    assert [code for code, _text in said] == [250] * mood.rate + [mood.hurried.code]
    found = classify_text("{} {}".format(*said[-1]))
    assert (found.outcome, found.reason, found.scope) == ("deferred", "ip_or_domain", "site")


@pytest.mark.parametrize("name", ["ratelimit.gmail", "ratelimit.qq", "ratelimit.outlook", "limited"])
def test_more_connections_than_it_takes_are_turned_away_in_its_own_words(simulator: Simulator, name: str) -> None:
    mood = BY_NAME[name]
    open_ = [
        socket.create_connection((mood.host, simulator.smtp_port), timeout=20) for _number in range(mood.connections)
    ]
    try:
        assert all(one.recv(200).startswith(b"220") for one in open_)
        with socket.create_connection((mood.host, simulator.smtp_port), timeout=20) as one_more:
            said = one_more.recv(500).decode()
        other = socket.create_connection((mood.host, simulator.smtp_port), 20, ("127.0.0.3", 0))
        open_.append(other)
        assert other.recv(200).startswith(b"220"), "each client is counted apart"
    finally:
        for one in open_:
            one.close()
    found = classify_text(said, "greeting")
    assert (found.outcome, found.reason, found.scope) == ("deferred", "ip_or_domain", "site")
    assert simulator.peaks[mood.domain, "127.0.0.1"].connections == mood.connections + 1
    assert simulator.peaks[mood.domain, "127.0.0.3"].connections == 1


def test_a_session_ends_with_421_after_so_many_messages(simulator: Simulator) -> None:
    with calling(simulator, "midsession") as client:
        codes = [once(client, f"a{number}@midsession.moods.test")[0] for number in range(6)]
    assert codes == [250] * 5 + [421]


def test_a_busy_server_turns_each_second_connection_away(simulator: Simulator) -> None:
    said = []
    for _number in range(4):
        with socket.create_connection((BY_NAME["busy"].host, simulator.smtp_port), timeout=20) as one:
            said.append(one.recv(200)[:3])
    assert said == [b"220", b"421", b"220", b"421"]


def test_a_slow_server_takes_its_time_for_each_answer(simulator: Simulator) -> None:
    begun = time.monotonic()
    with calling(simulator, "slow") as client:
        assert once(client, "a@slow.moods.test")[0] == 250
        assert client.quit()[0] == 221
    assert time.monotonic() - begun >= 0.3 * 7


def test_greylisting_puts_off_until_some_time_has_passed() -> None:
    now = 0.0
    mailboxes = Mailboxes("simulator.test", lambda domain: False, {"greylist.moods.test": "greylist"}, lambda: now)
    assert mailboxes.at_rcpt("a@greylist.moods.test").code == 451
    now = 1.0
    assert mailboxes.at_rcpt("A@greylist.moods.test").code == 451
    now = 2.0
    assert mailboxes.at_rcpt("a@greylist.moods.test").code == 250


@pytest.mark.parametrize("address", ["a@dropbefore.moods.test", "dropbefore+a@simulator.test"])
def test_a_connection_dropped_before_the_final_dot_takes_no_mail(simulator: Simulator, address: str) -> None:
    host = BY_NAME["dropbefore"].host if "moods" in address else "127.0.0.1"
    for expected in (0, 1):
        with socket.create_connection((host, simulator.smtp_port), timeout=20) as one:
            talk(one, address)
            try:
                one.sendall(MAIL + b".\r\n")
                answer = one.recv(200)
            except ConnectionError:
                answer = b""
        assert answer[:3] == (b"250" if expected else b"")
        assert len(simulator.accepted()) == expected
    assert [entry.outcome for entry in simulator.refused()] == ["deferred"]


@pytest.mark.parametrize("address", ["a@dropafter.moods.test", "dropafter+a@simulator.test"])
def test_a_connection_dropped_after_the_final_dot_took_the_mail_and_the_record_says_so(
    simulator: Simulator, address: str
) -> None:
    host = BY_NAME["dropafter"].host if "moods" in address else "127.0.0.1"
    for _attempt in range(2):
        with socket.create_connection((host, simulator.smtp_port), timeout=20) as one:
            talk(one, address)
            one.sendall(MAIL + b".\r\n")
            try:
                one.recv(200)
            except ConnectionError:
                pass
    assert [entry.unsaid for entry in simulator.accepted()] == [True, False]


def talk(one: socket.socket, address: str) -> None:
    """As far as the answer to DATA."""
    file = one.makefile("rb")
    assert file.readline().startswith(b"220")
    for line in (b"HELO sender.test", b"MAIL FROM:<a@b.test>", f"RCPT TO:<{address}>".encode(), b"DATA"):
        one.sendall(line + b"\r\n")
        assert file.readline()[:1] in b"23"


@pytest.mark.parametrize("name", ["notls", "brokentls"])
def test_starttls_is_offered_and_comes_to_nothing_but_mail_in_the_clear_is_taken(
    simulator: Simulator, name: str
) -> None:
    with calling(simulator, name) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        with pytest.raises((smtplib.SMTPException, OSError)):
            client.starttls()
            client.ehlo()
            raise OSError("not encrypted" if client.docmd("NOOP")[0] != 250 else client.close())
    with calling(simulator, name) as client:
        assert once(client, f"a@{name}.moods.test")[0] == 250


def test_a_listed_address_is_refused_and_no_other(simulator: Simulator) -> None:
    with calling(simulator, "listed", "127.0.0.2") as client:
        code, text = once(client, "a@listed.moods.test")
    assert code == 550
    assert classify_text(f"{code} {text}").scope == "sender"
    with calling(simulator, "listed", "127.0.0.3") as client:
        assert once(client, "a@listed.moods.test")[0] == 250


def test_a_silent_server_says_nothing(simulator: Simulator) -> None:
    with socket.create_connection((BY_NAME["silent"].host, simulator.smtp_port), timeout=0.3) as one:
        one.sendall(b"EHLO x\r\n")
        with pytest.raises(TimeoutError):
            one.recv(100)


def test_addresses_that_refuse_do_so_at_servers_with_moods_too(simulator: Simulator) -> None:
    with calling(simulator, "midsession") as client:
        assert once(client, "bounce+1@midsession.moods.test")[0] == 550


@pytest.mark.parametrize("behaviour", MOODY, ids=lambda one: one.local)
def test_moods_by_address_pass(send: Send, behaviour) -> None:
    if behaviour.phase == "rcpt":
        code, text = send(behaviour.address("simulator.test"))
        assert (code, classify_text(f"{code} {text}").outcome) == (behaviour.answer.code, "deferred")


def test_the_latency_is_waited_for_once_a_round_trip(tmp_path: Path) -> None:
    with running_simulator(tmp_path, latency=0.1) as simulator:
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", simulator.smtp_port), timeout=20) as one:
            file = one.makefile("rb")
            file.readline()
            one.sendall(b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<success@simulator.test>\r\nDATA\r\n")
            while not file.readline().startswith(b"354"):
                pass
            one.sendall(MAIL + b".\r\nQUIT\r\n")
            assert file.readline().startswith(b"250")
            assert file.readline().startswith(b"221")
            assert file.readline() == b""
        assert time.monotonic() - begun >= 0.3


def test_tls_works_over_a_line_with_latency(tmp_path: Path) -> None:
    with (
        running_simulator(tmp_path, latency=0.02, tls=True) as simulator,
        smtplib.SMTP("127.0.0.1", simulator.smtp_port, timeout=20) as client,
    ):
        client.starttls()
        assert once(client, "success@simulator.test")[0] == 250


def test_limits_can_be_chosen(tmp_path: Path) -> None:
    with running_simulator(tmp_path, limits=(1, 0)) as simulator, calling(simulator, "limited") as client:
        assert all(once(client, f"a{number}@limited.moods.test")[0] == 250 for number in range(30))
        with socket.create_connection((BY_NAME["limited"].host, simulator.smtp_port), timeout=20) as one_more:
            assert one_more.recv(100).startswith(b"421 4.7.0 mx.simulator.test Error: too many connections from 127")
    assert parse_limits("3/10") == (3, 10)
    for wrong in ("3", "a/b", "-1/2", "3/10/1"):
        with pytest.raises(ValueError):
            parse_limits(wrong)


def test_what_clients_did_in_each_second_is_logged(tmp_path: Path) -> None:
    with running_simulator(tmp_path) as simulator, calling(simulator, "listed", "127.0.0.3") as client:
        for number in range(7):
            once(client, f"a{number}@listed.moods.test")
    with running_simulator(tmp_path) as simulator, smtplib.SMTP("127.0.0.1", simulator.smtp_port) as client:
        for name in ("x.sink.test", "y.sink.test", "x.sites.test"):
            once(client, f"a@{name}")
    seconds = list(tally.read(simulator.peaks_log))
    assert sum(one.messages for one in seconds if (one.group, one.client) == ("listed.moods.test", "127.0.0.3")) == 7
    assert sum(one.messages for one in seconds if one.group == "sink.test") == 3
    assert max(one.connections for one in seconds) == 1


def clock_and_tally() -> tuple[list[float], list[str], tally.Tally]:
    now, lines = [100.0], []
    return now, lines, tally.Tally(lines.extend, lambda: now[0])


def test_a_second_counts_what_is_open_from_before() -> None:
    now, lines, counted = clock_and_tally()
    counted.opened("g", "c")
    assert counted.opened("g", "c") == 2
    counted.closed("g", "c")
    now[0] = 101.5
    assert [counted.message("g", "c") for _n in range(3)] == [1, 2, 3]
    counted.flush()
    assert lines == ["100\tg\tc\t2\t0"]
    now[0] = 102.0
    counted.flush()
    assert lines[1:] == ["101\tg\tc\t1\t3"]
    counted.flush(all_=True)
    assert len(lines) == 2
    assert (counted.peaks()["g", "c"].connections, counted.peaks()["g", "c"].messages) == (2, 3)


def test_groups_without_connections_are_forgotten_when_there_are_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "GROUPS", 10)
    _now, _lines, counted = clock_and_tally()
    counted.opened("stays", "c")
    for number in range(100):
        counted.message(f"g{number}", "c")
    assert len(counted.peaks()) <= 11
    assert ("stays", "c") in counted.peaks()
