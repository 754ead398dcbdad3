"""The listener: whom it lets in, what it refuses, and that 250 means stored."""

from __future__ import annotations

import io
import smtplib
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from django.core.management import call_command

from delivery.services import domains
from delivery.tokens import Tokens
from tests.factories.sending import message
from tests.feedback.mails import (
    bounce_host,
    bring,
    complaint,
    listening,
    refusal,
    report,
    return_path,
    talk,
    way_out,
)
from tracking.feedback import limits
from tracking.feedback.limits import Limits
from tracking.feedback.listener import Listener
from tracking.feedback.store import KEPT_BYTES
from tracking.models import FeedbackMail


def test_a_bounce_mail_is_stored_as_it_came(listener: Listener) -> None:
    sent = message()
    mail = report(sent).replace(b"Hello\r\n", b"Hello\r\n.a line with a dot\r\n")
    bring(listener.port, return_path(sent), mail)
    kept = FeedbackMail.objects.get()
    assert bytes(kept.raw) == mail
    assert (kept.envelope_to, kept.envelope_from, kept.size) == (return_path(sent), "", len(mail))
    assert (kept.client_ip, kept.state) == ("127.0.0.1", FeedbackMail.State.WAITING)


def test_the_same_mail_twice_is_one(listener: Listener) -> None:
    sent = message()
    for _time in range(2):
        bring(listener.port, return_path(sent), report(sent))
    # By another way, with other traces and line ends, it is the same mail still.
    again = b"Received: from mx2\r\n by mx1; now\r\nDelivered-To: x@y\r\n" + report(sent)
    bring(listener.port, return_path(sent).upper(), again)
    assert FeedbackMail.objects.count() == 1
    bring(listener.port, return_path(sent), report(sent, number=2))
    assert FeedbackMail.objects.count() == 2


def test_the_same_text_about_two_messages_is_two_mails(listener: Listener) -> None:
    one, two = message(), message()
    bring(listener.port, [return_path(one), return_path(two)], report(one))
    assert set(FeedbackMail.objects.values_list("envelope_to", flat=True)) == {return_path(one), return_path(two)}


def test_upper_case_that_came_on_the_way_does_no_harm(listener: Listener) -> None:
    bring(listener.port, return_path(message()).upper(), b"Subject: x\r\n\r\nx\r\n")
    assert FeedbackMail.objects.count() == 1


@pytest.mark.parametrize(
    "local",
    [
        "b+" + "a" * 32,
        "b+",
        "u+" + "A" * 24,
        "postmaster",
        "hello",
        "b+" + "ü" * 32,
    ],
)
def test_addresses_that_are_not_ours_are_refused(listener: Listener, local: str) -> None:
    sent = message()
    lines = [b"EHLO x", b"MAIL FROM:<> SMTPUTF8", f"RCPT TO:<{local}@{bounce_host(sent)}>".encode(), b"QUIT"]
    said = talk(listener.port, *lines, expect=11)
    assert b"550 5.1.1" in said
    assert not FeedbackMail.objects.exists()


def test_a_token_of_another_key_or_kind_is_refused(listener: Listener) -> None:
    sent = message()
    host = bounce_host(sent)
    foreign = Tokens({1: b"another key of 16+ bytes"})
    from tracking.links import tokens

    for address in (
        f"b+{foreign.bounce(sent.pk)}@{host}",
        f"u+{foreign.unsubscribe(sent.pk)}@{host}",
        f"u+{tokens().open(sent.pk)}@{host}",
        f"b+{tokens().unsubscribe(sent.pk)}@{host}",
    ):
        code, text = refusal(lambda address=address: bring(listener.port, address, b"x"))
        assert (code, text[:5]) == (550, b"5.1.1"), address


def test_a_genuine_token_at_a_host_of_somebody_else_is_refused(listener: Listener) -> None:
    sent = message()
    address = return_path(sent).rpartition("@")[0] + "@elsewhere.example"
    code, text = refusal(lambda: bring(listener.port, address, b"x"))
    assert (code, text[:5]) == (550, b"5.7.1")


def test_the_host_of_a_domain_just_added_is_known_soon(listener: Listener) -> None:
    sent = message()
    bring(listener.port, f"fbl@{bounce_host(sent)}", b"Subject: x\r\n\r\nx\r\n")
    domains.add_domain("fresh.example.com")
    deadline = time.monotonic() + 30
    while True:
        try:
            bring(listener.port, "FBL@bounce.fresh.example.com", b"Subject: y\r\n\r\nx\r\n")
            break
        except smtplib.SMTPRecipientsRefused:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert FeedbackMail.objects.count() == 2


def test_reports_and_unsubscriptions_are_taken_too(listener: Listener) -> None:
    sent = message()
    bring(listener.port, f"fbl@{bounce_host(sent)}", b"Subject: abuse\r\n\r\nx\r\n", sender="abuse@example.org")
    bring(listener.port, way_out(sent), b"Subject: unsubscribe\r\n\r\n\r\n", sender=sent.recipient)
    assert FeedbackMail.objects.count() == 2


def test_a_mail_over_the_limit_is_refused_said_before_or_not(emptied: None, settings: Any) -> None:
    settings.FEEDBACK_MAX_BYTES = 300 * 1024
    sent = message()
    big = report(sent) + b"x" * 98 + b"\r\n"
    big += (b"y" * 98 + b"\r\n") * 4000
    with listening() as listener:
        # smtplib says the size with MAIL.
        assert refusal(lambda: bring(listener.port, return_path(sent), big))[0] == 552
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=30) as client:
            client.ehlo()
            client.docmd("MAIL FROM:<>")
            client.docmd(f"RCPT TO:<{return_path(sent)}>")
            assert client.data(big)[0] == 552
            # The session goes on.
            client.sendmail("", return_path(sent), report(sent))
    assert [kept.size for kept in FeedbackMail.objects.all()] == [len(report(sent))]


def test_of_a_long_mail_the_beginning_is_kept(listener: Listener) -> None:
    sent = message()
    mail = report(sent) + (b"z" * 98 + b"\r\n") * 5000
    bring(listener.port, return_path(sent), mail)
    kept = FeedbackMail.objects.get()
    assert bytes(kept.raw) == mail[:KEPT_BYTES]
    assert kept.size == len(mail)


def test_a_mail_without_end_is_cut_off(emptied: None, settings: Any) -> None:
    settings.FEEDBACK_MAX_BYTES = 64 * 1024
    sent = message()
    with listening() as listener, socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
        client.sendall(f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{return_path(sent)}>\r\nDATA\r\n".encode())
        with pytest.raises(OSError):
            for _block in range(10_000):
                client.sendall(b"x" * 65_536)
    assert not FeedbackMail.objects.exists()


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 100, 32 * 1024 - 2, 32 * 1024, 70_001])
def test_every_length_comes_through_whatever_the_pieces(listener: Listener, size: int) -> None:
    sent = message()
    text = (b"0123456789.\r\n..\r\n" * (size // 10 + 1))[:size].rstrip(b"\r\n")
    stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in text.split(b"\r\n"))
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
        file = client.makefile("rb")
        client.sendall(f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{return_path(sent)}>\r\nDATA\r\n".encode())
        while not file.readline().startswith(b"354"):
            pass
        data = (stuffed + b"\r\n" if stuffed else b"") + b".\r\nQUIT\r\n"
        for start in range(0, len(data), 1021):
            client.sendall(data[start : start + 1021])
        assert file.readline().startswith(b"250"), size
    kept = FeedbackMail.objects.get()
    assert bytes(kept.raw) == (text + b"\r\n" if text else b"")


def test_connections_over_the_limit_are_sent_away(listener: Listener) -> None:
    listener.limits = Limits(connections=10, each=2, rate_each=0)
    first, second = (smtplib.SMTP("127.0.0.1", listener.port, timeout=30) for _one in range(2))
    assert refusal(lambda: smtplib.SMTP("127.0.0.1", listener.port, timeout=30))[0] == 421
    first.quit()
    deadline = time.monotonic() + 30
    while True:
        try:
            smtplib.SMTP("127.0.0.1", listener.port, timeout=30).quit()
            break
        except smtplib.SMTPConnectError:
            assert time.monotonic() < deadline
    second.quit()


def test_a_client_with_too_many_mails_is_put_off(listener: Listener) -> None:
    clock = [0.0]
    listener.limits = Limits(connections=10, each=0, rate_each=12, clock=lambda: clock[0])
    sent = message()
    for number in range(2):
        bring(listener.port, return_path(sent), report(sent, number=number))
    code, text = refusal(lambda: bring(listener.port, return_path(sent), report(sent, number=3)))
    assert (code, text[:5]) == (450, b"4.7.1")
    clock[0] += 5
    bring(listener.port, return_path(sent), report(sent, number=3))
    assert FeedbackMail.objects.count() == 3


def test_a_loop_of_mails_to_one_address_ends(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PER_ADDRESS", 2)
    listener.limits = Limits(connections=10, each=0, rate_each=0, clock=lambda: 0.0)
    sent = message()
    for number in range(2):
        bring(listener.port, return_path(sent), report(sent, number=number))
    assert refusal(lambda: bring(listener.port, return_path(sent), report(sent, number=3)))[0] == 450
    other = message()
    bring(listener.port, return_path(other), report(other))
    # Feedback loops report on all messages to one address.
    for number in range(4):
        bring(listener.port, f"fbl@{bounce_host(sent)}", b"Subject: %d\r\n\r\nx\r\n" % number)


def test_whoever_talks_nonsense_is_sent_away(listener: Listener) -> None:
    assert b"421 4.7.0" in talk(listener.port, *[b"\xff\x00nonsense"] * 20, expect=100)
    assert b"500 5.5.2" in talk(listener.port, b"x" * 100_000, expect=2)
    assert b"503" in talk(listener.port, b"MAIL FROM:<>", b"QUIT", expect=3)


def test_commands_sent_at_once_are_answered_in_order(listener: Listener) -> None:
    sent = message()
    said = talk(
        listener.port,
        *[b"EHLO x", b"MAIL FROM:<>", f"RCPT TO:<{return_path(sent)}>".encode(), b"DATA"],
        *[b"Subject: x", b"", b"hello", b".", b"QUIT"],
        expect=13,
    )
    assert [line[:3] for line in said.split(b"\r\n")[-6:-1]] == [b"250", b"250", b"354", b"250", b"221"]
    assert FeedbackMail.objects.count() == 1


def test_nothing_said_before_the_handshake_counts_after_it(emptied: None, settings: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    settings.FEEDBACK_TLS_FILE = str(tmp_path / "pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(settings.FEEDBACK_TLS_FILE)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    sent = message()
    with listening() as listener:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=30) as client:
            client._host = "localhost"  # type: ignore[attr-defined]
            client.starttls(context=context)
            client.sendmail("", return_path(sent), report(sent))
        with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as plain:
            plain.sendall(b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<>\r\n")
            said = b""
            while b"220 2.0.0" not in said:
                said += plain.recv(4096)
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(b"RCPT TO:<x@y>\r\n")
                assert secure.recv(4096).startswith(b"503")
    assert FeedbackMail.objects.count() == 1


def test_what_the_database_does_not_take_is_not_acknowledged(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from tracking.feedback import store

    def away(*args: Any, **kwargs: Any) -> int:
        raise OperationalError("gone")

    sent = message()
    monkeypatch.setattr(store, "keep", away)
    assert refusal(lambda: bring(listener.port, return_path(sent), report(sent)))[0] == 451
    monkeypatch.undo()
    bring(listener.port, return_path(sent), report(sent))
    assert FeedbackMail.objects.count() == 1


def test_files_and_the_mail_that_the_listener_had_already(listener: Listener, tmp_path: Path) -> None:
    sent, other = message(), message()
    bring(listener.port, return_path(sent), report(sent))
    for name, mail in {"one": report(sent), "two": complaint(other), "three": complaint(other)}.items():
        (tmp_path / name).write_bytes(mail.replace(b"\r\n", b"\n"))
    said = io.StringIO()
    call_command("ingest_feedback", *sorted(str(path) for path in tmp_path.iterdir()), stdout=said)
    assert "1 stored, 2 known before" in said.getvalue()
    assert FeedbackMail.objects.count() == 2
