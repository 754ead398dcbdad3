"""Domains, addresses, templates, API users."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from delivery.models import Relay
from delivery.services import domains, quota, relays
from tests.factories.console import ApiUserFactory
from tests.factories.delivery import AddressFactory, DomainFactory, TemplateFactory
from tests.samples import rows, url_of

_added = iter(range(10_000))


@rows("domains")
def domains_listed(n: int) -> None:
    DomainFactory.create_batch(n, records=True)


@rows("tracking-settings")
def switches_listed(n: int) -> None:
    for number in range(n):
        DomainFactory(
            track_opens=bool(number % 3),
            track_clicks=bool(number % 2),
            tracking_host="" if number % 2 else f"track{number}.example.com",
        )


@url_of("tracking-settings-domain")
def switches_of_a_domain() -> dict[str, Any]:
    return {"pk": DomainFactory().pk}


@url_of("domain")
def domain_of_all_states() -> dict[str, Any]:
    """One whose records are in every state, with a second key on its way."""
    domain = domains.add_domain(f"care{next(_added)}.morrowfinch.example")
    domains.rotate_key(domain)
    AddressFactory.create_batch(3, domain=domain)
    spf = domain.records.get(purpose="spf").expected
    for purpose, state, current in (
        ("dkim", "missing", "NXDOMAIN"),
        ("bounce_mx", "differs", "10 mx.others.example"),
        ("bounce_spf", "matches", spf),
        ("dmarc", "matches", "v=DMARC1; p=quarantine; rua=mailto:dmarc@morrowfinch.example"),
        ("spf", "several", f"{spf}\nv=spf1 include:_spf.officemail.example -all"),
        ("tracking", "not_set", "NODATA"),
    ):
        domain.records.filter(purpose=purpose).update(state=state, current=current, checked_at=domain.created_at)
    today = quota.local_day(timezone.now())
    for ago, figures in enumerate(
        [
            {"level": 3, "attempted": 1640, "delivered": 1588, "invalid": 31, "spam": 4, "opens": 702},
            {"level": 2, "attempted": 1000, "delivered": 961, "invalid": 12, "moved": 1, "why": "good"},
            {"level": 3, "attempted": 2000, "delivered": 1700, "invalid": 210, "moved": -1, "why": "invalid"},
        ]
    ):
        domain.days.create(day=today - dt.timedelta(days=ago), **figures)
    relays.set_relay(domain, host="smtp.example.com", port=587, tls=Relay.Tls.STARTTLS, login="posthorn", password="x")
    domain.problem, domain.checked_at = "The DKIM record is gone.", domain.created_at
    domain.save()
    return {"pk": domain.pk}


@url_of("domain-verify", "domain-publish", "domain-delete", "domain-key-new", "domain-level")
def domain() -> dict[str, Any]:
    return {"pk": DomainFactory(records=True).pk}


@url_of("domain-relay", "domain-relay-remove")
def relayed() -> dict[str, Any]:
    domain = DomainFactory(records=True)
    relays.set_relay(domain, host="smtp.example.com", port=587, tls=Relay.Tls.STARTTLS, login="posthorn", password="x")
    return {"pk": domain.pk}


@url_of("domain-key-activate", "domain-key-remove")
def domain_key() -> dict[str, Any]:
    domain = domains.add_domain(f"keys{next(_added)}.example.com")
    return {"pk": domain.pk, "key": domains.rotate_key(domain).pk}


@rows("addresses")
def addresses(n: int) -> None:
    AddressFactory.create_batch(n)


@url_of("address", "address-delete")
def address() -> dict[str, Any]:
    return {"pk": AddressFactory().pk}


@rows("templates")
def templates(n: int) -> None:
    TemplateFactory.create_batch(n)


@url_of("template", "template-edit", "template-delete", "template-test")
def template() -> dict[str, Any]:
    return {"pk": TemplateFactory().pk}


@url_of("template-preview")
def template_preview() -> dict[str, Any]:
    return {"pk": TemplateFactory().current_id}


@rows("api-users")
def api_users(n: int) -> None:
    ApiUserFactory.create_batch(n)


@url_of("api-user", "api-user-edit", "api-user-secret", "api-user-disable", "api-user-enable")
def api_user() -> dict[str, Any]:
    return {"pk": ApiUserFactory().pk}
