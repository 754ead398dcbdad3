"""Setting, changing and removing the relay of a sender domain; its password at rest; what the message page shows."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.utils import timezone

from delivery.engine.types import Hop
from delivery.models import Attempt, Relay
from delivery.services import dkim_keys, pauses, relays
from delivery.timeline import timeline
from tests.factories.delivery import DomainFactory
from tests.factories.sending import message as made

pytestmark = pytest.mark.django_db
GIVEN = {
    "host": "SMTP.Example.com",
    "port": "587",
    "tls": "required",
    "check_certificate": "on",
    "login": "posthorn",
    "password": " secret ",
}


def post(client: Any, domain: Any, **changed: str) -> Any:
    return client.post(f"/domains/{domain.pk}/relay/", {**GIVEN, **changed})


def test_a_relay_is_set_and_its_password_is_neither_kept_in_the_clear_nor_shown(administrator: Any) -> None:
    domain = DomainFactory()
    assert post(administrator, domain).status_code == 302
    relay = Relay.objects.get()
    assert b"secret" not in bytes(relay.password)
    assert relays.hops([domain.pk]) == {
        domain.pk: Hop(587, "required", True, "smtp.example.com", "posthorn", " secret ")
    }
    assert "secret" not in repr(relays.hop_of(relay))
    for path in ("", "relay/"):
        page = administrator.get(f"/domains/{domain.pk}/{path}").content.decode()
        assert "smtp.example.com" in page
        assert "secret" not in page


def test_an_empty_password_keeps_the_one_that_is_there_for_the_same_login_only(administrator: Any) -> None:
    domain = DomainFactory()
    post(administrator, domain)
    assert post(administrator, domain, password="", port="2525").status_code == 302
    assert relays.hops([domain.pk])[domain.pk].password == " secret "
    for changed in ({"host": "elsewhere.example"}, {"login": "other"}):
        answer = post(administrator, domain, password="", **changed)
        assert answer.status_code == 422
        assert "Enter the password again" in answer.content.decode()


def test_without_a_login_the_password_is_forgotten(administrator: Any) -> None:
    domain = DomainFactory()
    post(administrator, domain)
    assert post(administrator, domain, login="", password="").status_code == 302
    assert bytes(Relay.objects.get().password) == b""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tls": "off"}, "must not go in the clear"),
        ({"password": ""}, "needs its password"),
        ({"host": "smtp example"}, "Enter a host name"),
        ({"host": "smtp.example.com:25"}, "Enter a host name"),
        ({"port": "70000"}, "65535"),
    ],
)
def test_what_cannot_work_is_said_before_it_is_kept(administrator: Any, changed: dict[str, str], said: str) -> None:
    answer = post(administrator, DomainFactory(), **changed)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Relay.objects.exists()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "[::1]"])
def test_a_relay_on_this_machine_needs_no_encryption(administrator: Any, host: str) -> None:
    assert post(administrator, DomainFactory(), host=host, tls="off").status_code == 302
    assert not Relay.objects.get().check_certificate


def test_only_administrators_set_relays(operator: Any) -> None:
    domain = DomainFactory()
    assert post(operator, domain).status_code == 403
    assert operator.get(f"/domains/{domain.pk}/relay/").status_code == 403
    assert "Send through a relay" not in operator.get(f"/domains/{domain.pk}/").content.decode()


def test_a_relay_is_removed_after_asking(administrator: Any) -> None:
    domain = DomainFactory()
    assert administrator.get(f"/domains/{domain.pk}/relay/remove/").status_code == 404
    post(administrator, domain)
    assert administrator.get(f"/domains/{domain.pk}/relay/remove/").status_code == 200
    assert Relay.objects.exists()
    administrator.post(f"/domains/{domain.pk}/relay/remove/")
    assert not Relay.objects.exists()


def test_the_domains_page_says_when_the_relay_takes_nothing_until_it_is_set_anew(administrator: Any) -> None:
    domain = DomainFactory()
    post(administrator, domain)
    group, now = relays.limit_group("smtp.example.com"), timezone.now()
    pauses.slow_down(
        group,
        "",
        reason=pauses.QueuePause.Reason.RELAY,
        said="535 5.7.8 no such login",
        now=now,
        pause=pauses.RELAY_PAUSE,
        slower=False,
    )
    assert "535 5.7.8 no such login" in administrator.get(f"/domains/{domain.pk}/").content.decode()
    post(administrator, domain)
    assert not pauses.states([group], now=now)


def test_a_rotation_of_the_keys_covers_the_passwords_of_relays(settings: Any) -> None:
    domain = DomainFactory()
    relay = relays.set_relay(
        domain, host="smtp.example.com", port=587, tls=Relay.Tls.STARTTLS, login="x", password="secret"
    )
    old = settings.DKIM_KEYS
    settings.DKIM_KEYS = {**old, max(old) + 1: secrets.token_bytes(32)}
    dkim_keys.reencrypt()
    settings.DKIM_KEYS = {max(settings.DKIM_KEYS): settings.DKIM_KEYS[max(settings.DKIM_KEYS)]}
    relay.refresh_from_db()
    assert relays.password_of(relay) == "secret"
    settings.DKIM_KEYS = {1: secrets.token_bytes(32)}
    assert relays.hops([domain.pk])[domain.pk].password == ""  # the relay refuses it, and the page shows that


def test_the_message_page_shows_the_hand_over_and_the_certificate(administrator: Any) -> None:
    message = made(status="sent", attempts=1)
    attempt = Attempt.objects.create(
        message_id=message.pk,
        number=1,
        at=timezone.now(),
        seconds=0.2,
        outcome="sent",
        phase="dot",
        code=250,
        reply="250 2.0.0 queued",
        mx_host="smtp.example.com",
        remote_ip="192.0.2.7",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        certificate="smtp.example.com, issued by Example CA, until 2027-01-31, checked",
    )
    entry = timeline(message, [attempt], None)[-1]
    assert entry.title == "Attempt 1: handed to the relay"
    assert "TLS 1.3" in entry.facts
    page = administrator.get(f"/email-status/{message.pk}/").content.decode()
    assert "issued by Example CA" in page
    assert "TLS_AES_256_GCM_SHA384" in page
    assert "Handed to the sender domain" in page
