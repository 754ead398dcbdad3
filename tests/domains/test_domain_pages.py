"""The pages of sender domains."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from delivery.models import SenderDomain
from delivery.services import domains
from delivery.simulator.server import Simulator
from tests.domains.dns import NOW
from tests.factories.delivery import AddressFactory, DomainFactory


def test_a_domain_is_added_published_in_the_simulator_and_verified(administrator: Client, outside: Simulator) -> None:
    answer = administrator.post(reverse("domain-new"), {"name": "News.Example.com"}, follow=True)
    domain = SenderDomain.objects.get()
    assert domain.name == "news.example.com"
    text = answer.content.decode()
    for record in domain.records.all():
        assert record.host in text
        assert record.expected in text
    assert text.count("Not checked yet") == 6
    answer = administrator.post(reverse("domain-verify", args=[domain.pk]), follow=True)
    assert "4 needed records do not match yet" in answer.content.decode()
    administrator.post(reverse("domain-publish", args=[domain.pk]))
    answer = administrator.post(reverse("domain-verify", args=[domain.pk]), follow=True)
    assert "news.example.com is verified" in answer.content.decode()
    assert "All needed ones match" in answer.content.decode()
    assert "Publish in the simulator" not in answer.content.decode()


def test_a_name_that_is_no_domain_is_said_beside_the_field(administrator: Client) -> None:
    answer = administrator.post(reverse("domain-new"), {"name": "https://example.com"})
    assert answer.status_code == 422
    assert "Enter the domain alone" in answer.content.decode()
    assert not SenderDomain.objects.exists()


def test_what_dns_answers_is_shown_beside_what_is_wanted_with_what_to_do(
    administrator: Client, outside: Simulator
) -> None:
    from tests.domains.dns import publish

    domain = domains.add_domain("news.example.com")
    publish(outside, "bounce.news.example.com", "TXT", "v=spf1 mx ~all", "v=spf1 include:_spf.others.example -all")
    domains.verify(domain, NOW)
    text = administrator.get(reverse("domain", args=[domain.pk])).content.decode()
    assert "Several records" in text
    assert "v=spf1 ip4:192.0.2.5 ip6:2001:db8::5" in text
    assert "Merge them: v=spf1 ip4:192.0.2.5 ip6:2001:db8::5 include:_spf.others.example mx ~all" in text
    assert "There is no such name (NXDOMAIN)" in text


def test_a_dns_server_that_does_not_answer_is_said_and_changes_nothing(administrator: Client, settings: Any) -> None:
    settings.DNS_SERVERS, settings.DNS_TIMEOUT = ["127.0.0.1:9"], 0.2
    domain = DomainFactory(verified=True, records=True)
    answer = administrator.post(reverse("domain-verify", args=[domain.pk]), follow=True)
    assert "DNS does not answer" in answer.content.decode()
    assert SenderDomain.objects.get().verified


def test_a_domain_that_lost_its_record_is_loud(viewer: Client) -> None:
    DomainFactory(problem="The DKIM record is gone.", records=True)
    text = viewer.get(reverse("domains")).content.decode()
    assert "lost its record" in text
    assert "1 domain in trouble" in text


def test_corporate_mail_is_warned_about(viewer: Client) -> None:
    domain = DomainFactory(verified=True, corporate_mail="MX aspmx.officemail.example")
    text = viewer.get(reverse("domain", args=[domain.pk])).content.decode()
    assert "MX aspmx.officemail.example" in text
    assert "Use a subdomain" in text


def test_deleting_needs_the_name(administrator: Client) -> None:
    domain = AddressFactory().domain
    url = reverse("domain-delete", args=[domain.pk])
    assert "Its 1 sender address is deleted too." in administrator.get(url).content.decode()
    assert administrator.post(url, {"typed": "other.example.com"}).status_code == 422
    assert SenderDomain.objects.exists()
    administrator.post(url, {"typed": domain.name})
    assert not SenderDomain.objects.exists()


def test_a_key_is_rotated_on_the_page(administrator: Client, verified: SenderDomain) -> None:
    page = reverse("domain", args=[verified.pk])
    administrator.post(reverse("domain-key-new", args=[verified.pk]))
    key = verified.dkim_keys.get(active=False)
    assert "Not published yet" not in administrator.get(page).content.decode()  # not asked yet
    administrator.post(reverse("domain-publish", args=[verified.pk]))
    administrator.post(reverse("domain-verify", args=[verified.pk]))
    assert "Sign with ph2" in administrator.get(page).content.decode()
    administrator.post(reverse("domain-key-activate", args=[verified.pk, key.pk]))
    key.refresh_from_db()
    assert key.active
    old = verified.dkim_keys.get(active=False)
    administrator.post(reverse("domain-key-remove", args=[verified.pk, old.pk]))
    assert verified.dkim_keys.get() == key


def test_the_private_key_is_on_no_page(administrator: Client, verified: SenderDomain) -> None:
    key = verified.dkim_keys.get()
    kept = bytes(key.private_key)
    for url in (
        reverse("domain", args=[verified.pk]),
        reverse("admin:delivery_senderdomain_change", args=[verified.pk]),
    ):
        answer = administrator.get(url)
        assert answer.status_code == 200
        assert kept[:40] not in answer.content


def test_the_command_checks_all_named_or_due_domains(verified: SenderDomain) -> None:
    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("verify_domains", *arguments, stdout=out)
        return out.getvalue()

    pending = domains.add_domain("other.example.com")
    text = run()
    assert "news.morrowfinch.example: verified" in text
    assert "other.example.com: pending" in text
    assert "ph1._domainkey.other.example.com" in text
    assert "other" not in run("NEWS.morrowfinch.example")
    assert run("--due").strip() == "0 checked"
    with pytest.raises(CommandError, match=r"nowhere\.example"):
        run("nowhere.example")
    pending.refresh_from_db()
    assert pending.checked_at is not None
