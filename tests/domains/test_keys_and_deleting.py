"""Rotation of DKIM keys, and deleting a domain."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.utils import timezone

from console.models import ApiUser
from delivery.models import DkimKey, DnsRecord, SenderDomain
from delivery.services import domains
from delivery.simulator.server import Simulator
from tests.domains.dns import HOUR, NOW


def test_a_new_key_signs_only_once_its_record_was_seen(verified: SenderDomain, outside: Simulator) -> None:
    key = domains.rotate_key(verified)
    assert key.selector == "ph2"
    with pytest.raises(domains.DomainRefused, match="waits for its record"):
        domains.rotate_key(verified)
    with pytest.raises(domains.DomainRefused, match="does not answer"):
        domains.activate_key(key)
    domains.verify(verified, NOW)
    assert verified.verified  # mail does not depend on the new record yet
    domains.publish_in_simulator(verified)
    domains.verify(verified, NOW)
    domains.activate_key(key)
    assert {each.selector: each.active for each in verified.dkim_keys.all()} == {"ph1": False, "ph2": True}
    # From now on the new record is the vital one, and the old may go.
    old = verified.dkim_keys.get(selector="ph1")
    outside.published.withdraw(domains.record_of(old).host)
    for hours in (1, 2, 3):
        assert domains.verify(verified, NOW + hours * HOUR).verified
    domains.remove_key(old)
    assert verified.records.filter(purpose="dkim").count() == 1
    with pytest.raises(domains.DomainRefused, match="signs"):
        domains.remove_key(key)


def test_deleting_takes_addresses_keys_and_records_along(verified: SenderDomain) -> None:
    verified.addresses.create(prefix="hello")
    domains.delete_domain(verified)
    assert not SenderDomain.objects.exists()
    assert not DnsRecord.objects.exists()
    assert not DkimKey.objects.exists()


def test_a_domain_is_not_deleted_while_its_mail_waits(verified: SenderDomain) -> None:
    from delivery.services.templates import send_test
    from tests.factories.delivery import AddressFactory, TemplateFactory

    ApiUser.console("trigger")
    send_test(
        TemplateFactory(),
        sender_address=AddressFactory(domain=verified),
        subject="Test",
        recipient="success@simulator.test",
        values={"name": "Ann", "code": "1"},
        now=timezone.now(),
    )
    with pytest.raises(domains.DomainRefused, match="still waits"):
        domains.delete_domain(verified)


@pytest.mark.django_db(transaction=True)
def test_a_button_pressed_twice_makes_one_key() -> None:
    domain = domains.add_domain("twice.example.com")
    begin = threading.Barrier(2)
    refused: list[str] = []

    def press() -> None:
        try:
            begin.wait()
            domains.rotate_key(domain)
        except domains.DomainRefused as error:
            refused.append(str(error))
        finally:
            connection.close()

    presses = [threading.Thread(target=press) for _press in range(2)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()
    assert len(refused) == 1
    assert domain.dkim_keys.filter(active=False).count() == 1
