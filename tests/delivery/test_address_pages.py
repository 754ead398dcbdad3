"""Sender addresses: checked, at most ten a domain, previewed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from delivery.models import SenderAddress, SenderDomain, Task, TaskStatus
from delivery.services import addresses
from tests.factories.delivery import AddressFactory, DomainFactory


@pytest.fixture
def domain(db: None) -> SenderDomain:
    return DomainFactory(name="mail.example.com", verified=True)


def typed(at: SenderDomain, /, **changes: str) -> dict[str, Any]:
    return {"domain": at.pk, "prefix": "news", "sender_name": "Morrow & Finch", **changes}


def test_an_address_is_created_and_changed(administrator: Client, domain: SenderDomain) -> None:
    administrator.post(reverse("address-new"), typed(domain, prefix="News"))
    address = SenderAddress.objects.get()
    assert (address.address, address.sender_name) == ("news@mail.example.com", "Morrow & Finch")
    administrator.post(reverse("address", args=[address.pk]), typed(domain, sender_name="モロウ & フィンチ"))
    address.refresh_from_db()
    assert address.sender_name == "モロウ & フィンチ"
    assert b"news@mail.example.com" in administrator.get(reverse("addresses")).content


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prefix": ""}, "before the @, like news"),
        ({"prefix": "news@mail.example.com"}, "before the @ only"),
        ({"prefix": "new s"}, "space"),
        ({"prefix": ".news"}, "dot"),
        ({"prefix": "a,b"}, "comma"),
        ({"prefix": "ニュース"}, "Use letters a-z"),
        ({"prefix": "x" * 65}, "at most 64"),
        ({"sender_name": "Ann\r\nBcc: all@example.com"}, "one line"),
        ({"sender_name": "{{ user.name }}"}, "unknown syntax"),
        ({"domain": "0"}, "valid choice"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_saved(
    administrator: Client, domain: SenderDomain, wrong: dict[str, str], said: str
) -> None:
    answer = administrator.post(reverse("address-new"), typed(domain, **wrong))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not SenderAddress.objects.exists()


def test_a_domain_has_at_most_ten_and_each_prefix_once(administrator: Client, domain: SenderDomain) -> None:
    AddressFactory.create_batch(9, domain=domain)
    twin = domain.addresses.first()
    assert twin is not None
    answer = administrator.post(reverse("address-new"), typed(domain, prefix=twin.prefix))
    assert "such an address" in answer.content.decode()
    assert administrator.post(reverse("address-new"), typed(domain, prefix="tenth")).status_code == 302
    answer = administrator.post(reverse("address-new"), typed(domain, prefix="eleventh"))
    assert answer.status_code == 422
    assert "has 10 sender addresses" in answer.content.decode()
    # One of the ten can still be changed.
    assert administrator.post(reverse("address", args=[twin.pk]), typed(domain, prefix=twin.prefix)).status_code == 302


def test_the_preview_shows_what_an_inbox_shows(administrator: Client, domain: SenderDomain) -> None:
    text = administrator.get(reverse("address-preview"), typed(domain)).content.decode()
    assert "Morrow &amp; Finch &lt;news@mail.example.com&gt;" in text
    assert "<html" not in text
    nothing = administrator.get(reverse("address-preview"), {"domain": "x" * 30})
    assert "prefix@example.com" in nothing.content.decode()


def test_without_scripts_the_preview_is_asked_by_a_button_and_nothing_is_saved(
    administrator: Client, domain: SenderDomain
) -> None:
    answer = administrator.post(reverse("address-new"), typed(domain, preview="1"))
    assert answer.status_code == 200
    assert "Morrow &amp; Finch &lt;news@mail.example.com&gt;" in answer.content.decode()
    assert not SenderAddress.objects.exists()


def test_an_address_that_a_task_sends_from_stays(administrator: Client, domain: SenderDomain) -> None:
    from console.models import ApiUser

    address = AddressFactory(domain=domain)
    task = Task.objects.create(
        api_user=ApiUser.console("batch"), subject="x", sender_address=address, status=TaskStatus.SENDING
    )
    assert (
        f"Task {task.pk} sends from it"
        in administrator.get(reverse("address-delete", args=[address.pk])).content.decode()
    )
    administrator.post(reverse("address-delete", args=[address.pk]))
    assert SenderAddress.objects.exists()
    with pytest.raises(addresses.AddressRefused):
        addresses.save_address(domain=domain, prefix="other", sender_name="", address=address)
    addresses.save_address(domain=domain, prefix=address.prefix, sender_name="New name", address=address)
    task.ended_at = task.created_at
    task.save()
    administrator.post(reverse("address-delete", args=[address.pk]))
    assert not SenderAddress.objects.exists()
