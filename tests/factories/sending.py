"""Tasks, messages and attempts to test with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from console import ids
from console.models import ApiUser
from delivery.models import Attempt, Message, SenderDomain, Status, Template
from delivery.services.requests import Made, Request, Wanted, make_messages, receiving_domains
from delivery.services.tasks import NewTask
from suppression.address import parse
from tests.factories.delivery import AddressFactory, GroupFactory, TemplateFactory


def template(source: str = "<p>Hello {{name}}</p>") -> Template:
    """A template with one variable, `{{name}}`."""
    return TemplateFactory(source=source)


def new_task(**changed: Any) -> NewTask:
    """What a task is made from: a template with `{{name}}` to a group of three who have one."""
    return NewTask(
        **{
            "subject": "News for {{name}}",
            "group": changed.pop("group", None) or GroupFactory(people=3),
            "template": changed.pop("template", None) or template(),
            "sender_address": changed.pop("sender_address", None) or AddressFactory(),
            **changed,
        }
    )


def request_mail(request: Request, wanted: Sequence[Wanted], *, now: dt.datetime) -> Made:
    """Messages as a request makes them, in a transaction of their own."""
    with transaction.atomic():
        return make_messages(request, wanted, now=now)


def message(to: str = "ann@example.org", *, at: dt.datetime | None = None, **changed: Any) -> Message:
    """A message by the console's trigger user, as requested at `at`. Further names are the row's fields."""
    found = parse(to)
    domain = receiving_domains([found.domain])[found.domain]
    fields: dict[str, Any] = {
        "status": Status.DELIVERED,
        "subject": "News",
        "sender": "hello@news.example.com",
        "recipient": found.canonical,
        "receiving_domain_id": domain.id,
        "variables": {"name": "Ann"},
        **changed,
    }
    fields.setdefault("api_user", ApiUser.console(ApiUser.Type.TRIGGER))
    if "version" not in fields:
        fields["version"] = template().current
    if "sender_domain" not in fields:
        fields["sender_domain"] = _domain(fields["sender"].rpartition("@")[2])
    if at is not None:
        fields["id"] = ids.id_at(at) + ids.new_id() % (1 << 22)
    return Message.objects.create(**fields)


def _domain(name: str) -> SenderDomain:
    return SenderDomain.objects.get_or_create(name=name, defaults={"verified_at": timezone.now()})[0]


def attempt(of: Message, number: int = 1, **changed: Any) -> Attempt:
    """A try to deliver the message that ended as `outcome` says: delivered, unless something else is given."""
    fields: dict[str, Any] = {
        "at": of.requested_at + dt.timedelta(minutes=5 * number),
        "seconds": 0.84,
        "outcome": "delivered",
        "phase": "dot",
        "code": 250,
        "enhanced": "2.0.0",
        "reply": "250 2.0.0 OK",
        "mx_host": "mx1.example.org",
        "remote_ip": "192.0.2.7",
        "send_ip": "198.51.100.24",
        "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
        "conversation": [["greeting", "220 mx1.example.org ESMTP"], ["mail", "250 OK"], ["rcpt", "250 OK"]],
        **changed,
    }
    if changed.get("conversation") is None:
        fields["conversation"] = [*fields["conversation"], [fields["phase"], fields["reply"]]]
    return Attempt.objects.create(message=of, number=number, **fields)
