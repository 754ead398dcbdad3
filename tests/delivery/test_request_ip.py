"""Each message says from which address it was asked for."""

from __future__ import annotations

import datetime as dt

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from delivery.models import Message, Task
from delivery.services import schedules, tasks
from delivery.services.tasks import create_task
from delivery.services.times import Times
from tests.factories.delivery import AddressFactory, GroupFactory
from tests.factories.sending import new_task, template

pytestmark = pytest.mark.django_db


def ips() -> set[str | None]:
    return set(Message.objects.values_list("request_ip", flat=True))


def test_of_batch_mail_it_is_the_address_of_whoever_made_the_task(operator: Client) -> None:
    given = {
        "type": "batch",
        "subject": "News",
        "template": template().pk,
        "sender_address": AddressFactory().pk,
        "group": GroupFactory(people=2).pk,
        "control_percent": "0",
    }
    # Without a proxy of ours, what a client says of itself is nobody's word.
    forged = {"HTTP_X_FORWARDED_FOR": "10.9.9.9"}
    operator.post("/tasks/new/", {**given, "confirmed": "1"}, REMOTE_ADDR="203.0.113.9", **forged)
    tasks.expand(Task.objects.get().pk, now=timezone.now())
    assert ips() == {"203.0.113.9"}


def test_of_a_series_it_is_that_of_whoever_made_the_series() -> None:
    starts = (timezone.now() + dt.timedelta(days=1)).replace(tzinfo=None)
    times = Times(type=Task.Type.RECURRING, starts=starts, every_days=7)
    series = create_task(new_task(request_ip="2001:db8::7", times=times))
    schedules.keep(now=timezone.now() + dt.timedelta(days=2))
    tasks.expand(series.runs.get().pk, now=timezone.now())
    assert ips() == {"2001:db8::7"}


def test_behind_a_proxy_it_is_the_address_that_the_proxy_saw(operator: Client, settings: LazySettings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    given = {
        "subject": "Your order",
        "template": template("<p>Hi</p>").pk,
        "sender_address": AddressFactory().pk,
        "recipients": "ann@example.org",
    }
    answer = operator.post("/regular/", given, HTTP_X_FORWARDED_FOR="10.9.9.9, 203.0.113.9", REMOTE_ADDR="127.0.0.1")
    assert answer.status_code == 302
    assert ips() == {"203.0.113.9"}
