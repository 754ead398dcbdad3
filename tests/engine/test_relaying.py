"""Mail of a sender domain with a relay: handed over encrypted and logged in, `sent`, and patient with the relay."""

from __future__ import annotations

import email
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from django.utils import timezone

from delivery.engine import run
from delivery.models import (
    Attempt,
    DomainDay,
    IpDay,
    LimitGroup,
    Message,
    QueuePause,
    Relay,
    SenderAddress,
    Standing,
    Status,
    Waiting,
)
from delivery.services import domains, pauses, relays, standing
from delivery.simulator.server import Simulator, running_simulator
from tests.engine.smtp_server import Server, serving
from tests.engine.world import deliver, fates, started, taken

PEOPLE = [f"person{n}@nowhere{n % 3}.example" for n in range(9)]  # domains that no DNS of this world knows


class Box:
    """What a relay took."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        assert session.ssl and session.authenticated
        self.mails.append(envelope)
        return "250 2.0.0 queued"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA, settings: Any, tmp_path: Path) -> ssl.SSLContext:
    """Of a server called localhost, whose authority this installation trusts."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    settings.TLS_CA_FILE = str(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def through(sender: SenderAddress, port: int, **changed: Any) -> Relay:
    """One connection at a time: our server keeps the state of one."""
    values = {"host": "localhost", "port": port, "tls": Relay.Tls.NONE, "check_certificate": False, **changed}
    relay = relays.set_relay(sender.domain, **values)
    LimitGroup.objects.filter(name=f"relay:{relay.host}").update(connections=1)
    return relay


def statuses() -> set[str]:
    return set(Message.objects.values_list("status", flat=True))


def test_a_relay_takes_everything_encrypted_and_logged_in_and_the_mail_is_sent(
    sender: SenderAddress, context: ssl.SSLContext
) -> None:
    box = Box()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=lambda _server, _session, _envelope, _way, data: AuthResult(
            success=(data.login, data.password) == (b"posthorn", b"secret")
        ),
    )
    controller.start()
    try:
        through(sender, port, tls=Relay.Tls.STARTTLS, check_certificate=True, login="posthorn", password="secret")
        task = started(PEOPLE, sender)
        report = deliver()
    finally:
        controller.stop()

    assert fates(task) == dict.fromkeys(PEOPLE, ("sent", ""))
    assert report.lost == 0
    task.refresh_from_db()
    assert task.ended_at is not None
    assert sorted(one.rcpt_tos[0] for one in box.mails) == sorted(PEOPLE)
    assert all("dkim-signature" in email.message_from_bytes(one.original_content) for one in box.mails)
    for attempt in Attempt.objects.all():
        assert (attempt.outcome, attempt.mx_host, attempt.number) == ("sent", "localhost", 1)
        assert attempt.tls.startswith("TLSv1.")
        assert attempt.certificate.startswith("localhost, issued by ")
        assert attempt.certificate.endswith(", checked")
        assert "secret" not in str(attempt.conversation)
    assert not LimitGroup.objects.filter(name__startswith="mx:").exists()
    warmed = DomainDay.objects.get(domain=sender.domain)
    assert (warmed.attempted, warmed.delivered) == (len(PEOPLE), len(PEOPLE))
    day = IpDay.objects.get()
    assert (day.ip, day.tried, day.taken) == ("127.0.0.1", len(PEOPLE), len(PEOPLE))


def test_a_relay_that_offers_dsn_is_asked_for_failures_under_the_mails_own_token(sender: SenderAddress) -> None:
    with serving(Server(extensions=("PIPELINING", "DSN"))) as server:
        through(sender, server.port)
        started(PEOPLE[:1], sender)
        deliver()
    mail = next(line for line in server.heard if line.startswith("MAIL"))
    token = mail.partition("<b+")[2].partition("@")[0]
    assert mail.endswith(f" RET=HDRS ENVID={token}")
    assert f"RCPT TO:<{PEOPLE[0]}> NOTIFY=FAILURE,DELAY ORCPT=rfc822;{PEOPLE[0]}" in server.heard


def test_a_login_that_the_relay_refuses_costs_no_mail_and_goes_on_once_it_is_mended(sender: SenderAddress) -> None:
    with serving(Server(logins={"posthorn": "secret"})) as server:
        through(sender, server.port, login="posthorn", password="wrong")
        started(PEOPLE[:1], sender)
        run.deliver(seconds=20, idle_seconds=0.5)
        pause = QueuePause.objects.get()
        assert (pause.limit_group.name, pause.reason, pause.pace) == ("relay:localhost", "relay", 1.0)
        assert "535" in pause.said
        assert statuses() == {"sending"}
        assert Waiting.objects.get().attempts == 0
        standing.look(now=timezone.now(), force=True)
        assert Standing.objects.get().pause == pause  # the queue page says why, too

        through(sender, server.port, login="posthorn", password="secret")
        deliver()
    assert statuses() == {"sent"}


@pytest.mark.parametrize("host", ["127.0.0.1", "relay.invalid"], ids=["closed", "unknown"])
def test_a_relay_that_cannot_be_reached_is_waited_for(sender: SenderAddress, host: str) -> None:
    with serving(Server()) as server:
        port = server.port
    through(sender, port, host=host)
    started(PEOPLE, sender)
    run.deliver(seconds=20, idle_seconds=0.5)
    assert statuses() == {"sending"}
    assert {one.attempts for one in Waiting.objects.all()} == {0}
    assert QueuePause.objects.get().reason == QueuePause.Reason.RELAY
    assert Attempt.objects.count() <= len(PEOPLE)


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({"rcpt": "554 5.7.1 Relay access denied"}, ("sending", "")),
        ({"mail": "550 5.7.1 You may not send as this address"}, ("sending", "")),
        ({"rcpt": "550 5.1.1 User unknown"}, ("invalid", "not_exist")),
        ({"dot": "554 5.7.1 Message rejected as spam"}, ("invalid", "spam")),
    ],
    ids=["relaying", "sender", "recipient", "content"],
)
def test_what_the_relay_says_against_us_is_told_from_what_it_says_of_the_mail(
    sender: SenderAddress, answers: dict[str, str], status: tuple[str, str]
) -> None:
    with serving(Server(answers=answers)) as server:
        through(sender, server.port)
        task = started(PEOPLE[:1], sender)
        run.deliver(seconds=20, idle_seconds=0.5)
    assert fates(task) == {PEOPLE[0]: status}


def test_without_the_relay_what_waited_for_it_goes_straight(outside: Simulator, sender: SenderAddress) -> None:
    with serving(Server()) as server:
        port = server.port
    through(sender, port, host="127.0.0.1")
    task = started(["somebody@d1.sink.test"], sender)
    run.deliver(seconds=20, idle_seconds=0.5)
    assert statuses() == {"sending"}
    relays.remove(sender.domain)
    deliver()
    assert fates(task) == {"somebody@d1.sink.test": ("delivered", "")}
    assert taken(outside) == {"somebody@d1.sink.test": 1}


def test_mail_that_waited_for_its_own_server_goes_through_a_new_relay(sender: SenderAddress) -> None:
    task = started(PEOPLE[:3], sender)
    with serving(Server()) as server:
        through(sender, server.port)
        deliver()
    assert set(fates(task).values()) == {("sent", "")}


def test_other_domains_and_the_simulator_are_not_relayed(outside: Simulator, sender: SenderAddress) -> None:
    other = domains.add_domain("mail.posthorn.test")
    domains.publish_in_simulator(other)
    domains.verify(other, now=timezone.now())
    other.refresh_from_db()
    neighbour = SenderAddress.objects.create(domain=other, prefix="hi")
    with serving(Server()) as server:
        through(sender, server.port)
        simulated = started(["success@simulator.test"], sender)
        theirs = started(["a@d1.sink.test"], neighbour)
        ours = started(["b@d1.sink.test"], sender)
        deliver()
    assert fates(simulated) == {"success@simulator.test": ("delivered", "")}
    assert fates(theirs) == {"a@d1.sink.test": ("delivered", "")}
    assert fates(ours) == {"b@d1.sink.test": ("sent", "")}
    assert [line for _sender, line, _body in server.accepted] == ["RCPT TO:<b@d1.sink.test>"]


def test_an_operators_pause_of_the_relay_holds_its_mail(sender: SenderAddress) -> None:
    with serving(Server()) as server:
        through(sender, server.port)
        started(PEOPLE[:2], sender)
        group = LimitGroup.objects.get(name="relay:localhost").pk
        pauses.pause(group, by="anna", now=timezone.now())
        run.deliver(seconds=20, idle_seconds=0.5)
        assert (statuses(), server.connections) == ({"sending"}, 0)
        pauses.recover(group, now=timezone.now())
        deliver()
    assert statuses() == {Status.SENT}


# --- TLS to the recipients' own servers


@pytest.fixture
def encrypted(outside: Simulator, settings: Any, tmp_path: Path) -> Iterator[Path]:
    """The outside world with STARTTLS; gives its certificate."""
    directory = tmp_path / "encrypted"
    with running_simulator(directory, tls=True) as simulator:
        settings.MX_PORT = simulator.smtp_port
        yield directory / "certificate.pem"


@pytest.mark.usefixtures("hasty")
def test_where_tls_is_required_a_certificate_that_is_not_good_gets_no_mail(
    encrypted: Path, sender: SenderAddress, settings: Any
) -> None:
    settings.TLS_REQUIRED, settings.TLS_CA_FILE = ["*.other.example", "simulator.*"], ""
    people = ["success@simulator.test", "a@d1.sink.test"]
    task = started(people, sender)
    deliver()
    assert fates(task) == {people[0]: ("invalid", "server_error"), people[1]: ("delivered", "")}
    refused = Attempt.objects.filter(message__recipient=people[0])
    assert {(one.phase, one.rule) for one in refused} == {("tls", "tls_required")}
    assert "certificate verify failed" in refused[0].reply
    free = Attempt.objects.get(message__recipient=people[1])
    assert free.certificate.endswith(", not checked")


def test_where_tls_is_required_a_good_certificate_is_enough(
    encrypted: Path, sender: SenderAddress, settings: Any
) -> None:
    settings.TLS_REQUIRED, settings.TLS_CA_FILE = ["mx.simulator.test"], str(encrypted)
    task = started(["success@simulator.test"], sender)
    deliver()
    assert fates(task) == {"success@simulator.test": ("delivered", "")}
    attempt = Attempt.objects.get()
    assert attempt.certificate.startswith("mx.simulator.test and 1 more, issued by mx.simulator.test, until ")
    assert attempt.certificate.endswith(", checked")


def test_where_tls_is_required_a_server_without_it_gets_no_mail(
    outside: Simulator, sender: SenderAddress, settings: Any
) -> None:
    settings.TLS_REQUIRED = ["*.sink.test"]
    task = started(["a@d1.sink.test"], sender)
    run.deliver(seconds=20, idle_seconds=0.3)
    assert fates(task) == {"a@d1.sink.test": ("sending", "")}
    assert taken(outside) == {}
