"""Domains, addresses, templates, API users."""

from __future__ import annotations

from typing import Any

from delivery.services import domains
from tests.factories.console import ApiUserFactory
from tests.factories.delivery import AddressFactory, DomainFactory, TemplateFactory
from tests.samples import rows, url_of

_added = iter(range(10_000))


@rows("domains")
def domains_listed(n: int) -> None:
    DomainFactory.create_batch(n, records=True)


@url_of("domain", "domain-verify", "domain-publish", "domain-delete", "domain-key-new")
def domain() -> dict[str, Any]:
    return {"pk": DomainFactory(records=True).pk}


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
