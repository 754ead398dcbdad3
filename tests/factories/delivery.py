"""Rows of delivery to test with."""

from __future__ import annotations

from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from delivery.models import DnsRecord, RecipientGroup, SenderAddress, SenderDomain, Template
from delivery.services import templates
from delivery.services.recipient_files import read_recipients
from delivery.services.recipients import import_recipients


class GroupFactory(DjangoModelFactory):
    """A recipient group; `GroupFactory(people=3)` with three people at the simulator's `success@`."""

    class Meta:
        model = RecipientGroup
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Group {n}")

    @factory.post_generation
    def people(self: Any, create: bool, count: int | None, **kwargs: Any) -> None:
        if create and count:
            lines = [f"success+p{n}@simulator.test,Person {n}" for n in range(count)]
            import_recipients(
                self, read_recipients("\n".join(["email,name", *lines]).encode(), "people.csv", limit=None)
            )


class DomainFactory(DjangoModelFactory):
    """A sender domain without a key: enough where nothing is signed. `verified=True`; `records=True` for its four."""

    class Meta:
        model = SenderDomain
        skip_postgeneration_save = True

    class Params:
        verified = factory.Trait(verified_at=factory.LazyFunction(timezone.now))

    name = factory.Sequence(lambda n: f"news{n}.example.com")

    @factory.post_generation
    def records(self: Any, create: bool, wanted: bool | None, **kwargs: Any) -> None:
        if create and wanted:
            state = DnsRecord.State.MATCHES if self.verified else DnsRecord.State.MISSING
            for purpose, type, host in (
                ("dkim", "TXT", f"ph1._domainkey.{self.name}"),
                ("bounce_mx", "MX", self.bounce_host),
                ("bounce_spf", "TXT", self.bounce_host),
                ("dmarc", "TXT", f"_dmarc.{self.name}"),
            ):
                self.records.create(purpose=purpose, type=type, host=host, expected="v=…", state=state)


class AddressFactory(DjangoModelFactory):
    class Meta:
        model = SenderAddress

    domain = factory.SubFactory(DomainFactory, verified=True)
    prefix = factory.Sequence(lambda n: f"news{n}")
    sender_name = "Morrow & Finch"


class TemplateFactory(DjangoModelFactory):
    """Saved as the console does: `TemplateFactory(source="…", type="text")`."""

    class Meta:
        model = Template

    name = factory.Sequence(lambda n: f"Template {n}")
    type = Template.Type.HTML
    summary = ""
    source = "<h1>Hello {{name}}</h1><p><a href='https://shop.example/{{code}}'>Look</a></p>"

    @classmethod
    def _create(cls, model_class: type[Template], *args: Any, **kwargs: Any) -> Template:
        return templates.save_template(**kwargs)
