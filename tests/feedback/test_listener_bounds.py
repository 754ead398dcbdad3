"""What a client may cost the listener: commands, time, and mails that wait for the database."""

from __future__ import annotations

import smtplib
import socket
import threading
import time
from typing import Any

import pytest

from tests.factories.sending import message
from tests.feedback.mails import bring, refusal, report, return_path, talk
from tests.installation import until
from tracking.feedback import listener as listening
from tracking.feedback import session, store
from tracking.feedback.limits import Limits
from tracking.feedback.listener import Listener
from tracking.models import FeedbackMail


@pytest.mark.parametrize("command", [b"NOOP", b"RSET", b"EHLO x", b"VRFY x"])
def test_whoever_only_talks_is_sent_away(listener: Listener, command: bytes) -> None:
    said = talk(listener.port, *[command] * (session.MAX_COMMANDS + 5), expect=10_000)
    assert said.rstrip().rpartition(b"\r\n")[2].startswith(b"421 4.7.0")


def test_whoever_sends_empty_lines_is_sent_away(listener: Listener) -> None:
    assert b"421 4.7.0" in talk(listener.port, *[b""] * 50, expect=10_000)


def test_commands_between_mails_are_counted_anew_with_each(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_COMMANDS", 10)
    sent = message()
    with smtplib.SMTP("127.0.0.1", listener.port, timeout=30) as client:
        for number in range(5):
            client.noop()
            client.sendmail("", return_path(sent), report(sent, number=number))
    assert FeedbackMail.objects.count() == 5


def test_a_session_ends_with_its_time_whatever_is_said(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SESSION_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client, client.makefile("rb") as said:
        begun = time.monotonic()
        while not (line := said.readline()).startswith(b"421 4.4.2"):
            assert line[:3] in (b"220", b"250")
            assert time.monotonic() - begun < 30
            time.sleep(0.05)
            client.sendall(b"NOOP\r\n")
        # Its end; or a reset, where a last NOOP was not read any more.
        try:
            assert said.read() == b""
        except ConnectionResetError:
            pass


def test_whoever_says_nothing_is_told_why_it_is_sent_away(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "COMMAND_SECONDS", 0.3)
    assert b"421 4.4.2" in talk(listener.port, expect=10)


def test_a_mail_that_has_begun_in_time_comes_to_its_end(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SESSION_SECONDS", 2.0)
    sent = message()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client, client.makefile("rb") as said:
        client.sendall(f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{return_path(sent)}>\r\nDATA\r\n".encode())
        while not said.readline().startswith(b"354"):
            pass
        time.sleep(2.2)
        client.sendall(report(sent) + b".\r\n")
        assert said.readline().startswith(b"250")
        assert said.readline().startswith(b"421")
    assert FeedbackMail.objects.count() == 1


def test_no_more_mails_wait_for_the_database_than_there_may_be_clients(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    keep = store.keep

    def slow(*given: Any, **more: Any) -> int:
        assert hangs.wait(60)
        return keep(*given, **more)

    monkeypatch.setattr(store, "keep", slow)
    monkeypatch.setattr(listening, "STORE_SECONDS", 0.1)
    listener.limits = Limits(connections=3, each=0, rate_each=0)
    sent = message()
    most = 0
    try:
        for number in range(8):
            # Each gives up and comes again, as one does who is told 451.
            code, _text = refusal(
                lambda number=number: bring(listener.port, return_path(sent), report(sent, number=number))
            )
            assert code == 451
            most = max(most, listener._waiting.qsize())
    finally:
        hangs.set()
    assert most == 3
    monkeypatch.undo()
    until(listener._waiting.empty, "what waited was gone through")
    bring(listener.port, return_path(sent), report(sent, number=9))
    # The first was in hand already; of those whose clients were told to come again none is put down.
    assert FeedbackMail.objects.count() == 2
