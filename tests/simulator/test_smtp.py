from __future__ import annotations

import smtplib
import socket
import ssl
from pathlib import Path

import pytest

from delivery.simulator.server import Simulator, running_simulator
from delivery.simulator.smtp import MAX_COMMAND, MAX_ERRORS, MAX_RECIPIENTS


def talk(port: int, octets: bytes) -> bytes:
    """Write all at once, then read to the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(octets)
        said = b""
        while part := connection.recv(65536):
            said += part
    return said


def codes(said: bytes) -> list[int]:
    return [int(line[:3]) for line in said.split(b"\r\n") if line and line[3:4] == b" "]


def test_ehlo_offers_what_the_server_can_do(client: smtplib.SMTP) -> None:
    assert set(client.esmtp_features) == {"pipelining", "size", "8bitmime", "enhancedstatuscodes", "smtputf8"}


@pytest.mark.parametrize(
    "body",
    [
        b"Subject: x\r\n\r\nplain\r\n",
        b"Subject: x\r\n\r\n.\r\n..\r\n.dot\r\n...\r\nend\r\n",
        b".leading: dot\r\n\r\n\r\n",
        b"",
        b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n",
        b"Subject: x\r\n\r\n" + b"0123456789" * 60 + b"\r\n.\r\nafter a lone dot\r\n" * 2_000,
    ],
)
def test_a_body_comes_through_dot_stuffing_unchanged(client: smtplib.SMTP, simulator: Simulator, body: bytes) -> None:
    client.sendmail("a@sender.test", ["success@simulator.test"], body)
    (entry,) = simulator.accepted()
    # smtplib ends an unended body itself.
    assert simulator.mail(entry) == (body or b"\r\n")
    assert entry.size == len(body or b"\r\n")


def test_everything_may_come_in_one_packet_or_octet_by_octet(simulator: Simulator) -> None:
    conversation = (
        b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<success+1@simulator.test>\r\nRCPT TO:<bounce@simulator.test>\r\nDATA\r\n"
        b".\r\nMAIL FROM:<a@b.test> BODY=8BITMIME SIZE=20\r\nRCPT TO:<spam@simulator.test>\r\nDATA\r\n"
        b"Subject: \xff\r\n\r\n..\r\n.\r\nNOOP\r\nQUIT\r\n"
    )
    expected = [220, 250, 250, 250, 550, 354, 250, 250, 250, 354, 554, 250, 221]
    assert codes(talk(simulator.smtp_port, conversation)) == expected
    with socket.create_connection(("127.0.0.1", simulator.smtp_port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in conversation:
            connection.sendall(bytes((octet,)))
        said = b""
        while part := connection.recv(65536):
            said += part
    assert codes(said) == expected
    assert [entry.recipient for entry in simulator.accepted()] == ["success+1@simulator.test"] * 2


def test_an_endless_line_ends_the_connection(simulator: Simulator) -> None:
    with socket.create_connection(("127.0.0.1", simulator.smtp_port), timeout=20) as connection:
        sent = 0
        with pytest.raises(OSError):
            while sent < 2**30:
                sent += connection.send(b"x" * 65536)
    # What the kernel holds between the two ends is not the server's.
    assert sent < 64 * 2**20
    assert b"500 5.5.2" in talk(simulator.smtp_port, b"y" * (MAX_COMMAND + 1))


def test_an_endless_body_is_read_but_not_kept(tmp_path: Path) -> None:
    with running_simulator(tmp_path, max_size=100_000, keep=True) as simulator:
        head = b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<success@simulator.test>\r\nDATA\r\n"
        body = (b"x" * 76 + b"\r\n") * 50_000
        said = talk(simulator.smtp_port, head + body + b".\r\n" + head[8:] + b"short\r\n.\r\nQUIT\r\n")
        assert codes(said) == [220, 250, 250, 250, 354, 552, 250, 250, 354, 250, 221]
        (entry,) = simulator.accepted()
        assert simulator.mail(entry) == b"short\r\n"


def test_a_mail_too_big_is_refused_when_it_is_announced(client: smtplib.SMTP) -> None:
    limit = int(client.esmtp_features["size"])
    assert client.docmd(f"MAIL FROM:<a@b.test> SIZE={limit + 1}")[0] == 552
    assert client.docmd(f"MAIL FROM:<a@b.test> SIZE={limit}")[0] == 250


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (b"Subject: x\r\n\r\nbare\nfeed\r\n", "550 5.5.2"),
        (b"Subject: x\r\n\r\nbare\rreturn\r\n", "550 5.5.2"),
        (b"Subject: x\r\n\r\n\n.\r\nsmuggled\r\n", "550 5.5.2"),
        (b"Subject: x\r\n\r\n" + b"x" * 999 + b"\r\n", "554 5.6.0"),
        (b"Subject: \xc3\xa9\r\n\r\nx\r\n", "554 5.6.1"),
    ],
)
def test_a_mail_that_strict_servers_refuse_is_refused(simulator: Simulator, body: bytes, reply: str) -> None:
    head = b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<success@simulator.test>\r\nDATA\r\n"
    said = talk(simulator.smtp_port, head + body + b".\r\nQUIT\r\n")
    assert f"\r\n{reply}".encode() in said
    assert simulator.accepted() == []


def test_international_addresses_need_smtputf8(client: smtplib.SMTP, simulator: Simulator) -> None:
    client.command_encoding = "utf-8"
    client.mail("a@b.test")
    assert client.rcpt("用户@sink.test")[0] == 553
    client.rset()
    client.mail("送@b.test", ["SMTPUTF8", "BODY=8BITMIME"])
    assert client.rcpt("用户@d.sink.test")[0] == 250
    assert client.data("Subject: 件名\r\n\r\nx\r\n".encode())[0] == 250
    (entry,) = simulator.accepted()
    assert (entry.sender, entry.recipient) == ("送@b.test", "用户@d.sink.test")


@pytest.mark.parametrize(
    ("commands", "reply"),
    [
        (b"MAIL FROM:<a@b.test>", 503),
        (b"EHLO a\r\nRCPT TO:<success@simulator.test>", 503),
        (b"EHLO a\r\nDATA", 503),
        (b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nDATA", 554),
        (b"EHLO a\r\nMAIL FROM:a@b.test", 501),
        (b"EHLO a\r\nMAIL FROM:<a@b.test> AUTH=<>", 555),
        (b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nMAIL FROM:<a@b.test>", 503),
        (b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<>", 501),
        (b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<a\tb@simulator.test>", 501),
        (b"EHLO", 501),
        (b"XYZZY", 500),
        (b"NOOP\n", 500),
        (b"\xff\xfe", 500),
        (b"EHLO a\r\nSTARTTLS", 502),
    ],
)
def test_a_command_that_does_not_fit_is_refused(simulator: Simulator, commands: bytes, reply: int) -> None:
    end = b"" if commands.endswith(b"\n") else b"\r\n"
    assert codes(talk(simulator.smtp_port, commands + end + b"QUIT\r\n"))[-2:] == [reply, 221]


def test_nonsense_without_end_is_hung_up_on(simulator: Simulator) -> None:
    assert codes(talk(simulator.smtp_port, b"XYZZY\r\n" * (MAX_ERRORS + 1)))[-1] == 421


def test_recipients_of_one_mail_are_bounded(client: smtplib.SMTP) -> None:
    client.mail("a@b.test")
    answers = [client.rcpt(f"r{number}@sink.test")[0] for number in range(MAX_RECIPIENTS + 1)]
    assert answers == [250] * MAX_RECIPIENTS + [452]


def test_a_quoted_local_part_is_read_to_its_end(client: smtplib.SMTP, simulator: Simulator) -> None:
    client.docmd("MAIL FROM:<a@b.test>")
    client.docmd('RCPT TO:<"a>b @c"@sink.test>')
    client.data(b"x\r\n")
    assert simulator.accepted()[0].recipient == '"a>b @c"@sink.test'


def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    with running_simulator(tmp_path, idle=0.2) as simulator:
        assert codes(talk(simulator.smtp_port, b"EHLO a\r\n")) == [220, 250, 421]


class TestStartTLS:
    def test_mail_goes_over_tls_with_the_kept_certificate(self, tmp_path: Path) -> None:
        with running_simulator(tmp_path, tls=True) as simulator:
            context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
            with smtplib.SMTP("127.0.0.1", simulator.smtp_port, timeout=20) as client:
                client.starttls(context=context)
                client.ehlo("sender.test")
                assert "starttls" not in client.esmtp_features
                client.sendmail("a@b.test", ["success@simulator.test"], b"Subject: x\r\n\r\n" + b"x\r\n" * 100_000)
            assert simulator.accepted()[0].size == 14 + 300_000
        with (
            running_simulator(tmp_path, tls=True) as simulator,
            smtplib.SMTP("127.0.0.1", simulator.smtp_port) as client,
        ):
            client.starttls(context=context)

    def test_what_came_before_the_handshake_is_forgotten(self, tmp_path: Path) -> None:
        with (
            running_simulator(tmp_path, tls=True) as simulator,
            socket.create_connection(("127.0.0.1", simulator.smtp_port), timeout=20) as raw,
        ):
            raw.sendall(b"EHLO a\r\n")
            said = b""
            while b"250 " not in said:
                said += raw.recv(65536)
            raw.sendall(b"STARTTLS\r\nMAIL FROM:<injected@b.test>\r\n")
            assert raw.recv(65536).startswith(b"220 ")
            context = ssl.create_default_context(cafile=str(tmp_path / "certificate.pem"))
            with context.wrap_socket(raw, server_hostname="mx.simulator.test") as secure:
                secure.sendall(b"NOOP\r\nMAIL FROM:<a@b.test>\r\nQUIT\r\n")
                said = b""
                while part := secure.recv(65536):
                    said += part
            # EHLO is needed again, and the injected sender got no answer.
            assert codes(said) == [250, 503, 221]

    def test_a_broken_handshake_ends_only_that_connection(self, tmp_path: Path) -> None:
        with running_simulator(tmp_path, tls=True) as simulator:
            with socket.create_connection(("127.0.0.1", simulator.smtp_port), timeout=20) as raw:
                raw.sendall(b"EHLO a\r\nSTARTTLS\r\n")
                said = b""
                while b"Ready to start TLS" not in said:
                    said += raw.recv(65536)
                raw.sendall(b"this is no handshake" * 100)
                try:
                    while raw.recv(65536):
                        pass
                except ConnectionError:
                    pass
            assert codes(talk(simulator.smtp_port, b"QUIT\r\n")) == [220, 221]
