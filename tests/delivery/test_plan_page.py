"""The Plan page: credits, their ledger, quotas and limits; and who may add credits."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import ids
from console.models import Account, ApiUser
from delivery.models import CreditEntry, LimitGroup
from delivery.pages.plan import ledger, paid_by_day
from delivery.services import credits, quota, rollup
from delivery.services.deltas import Deltas, Of
from tests.engine.world import started
from tests.factories.delivery import AddressFactory, DomainFactory

pytestmark = pytest.mark.django_db


def page(client: Client) -> str:
    return client.get("/plan/").content.decode()


def test_credits_are_unlimited_until_somebody_limits_them(administrator: Client) -> None:
    assert "Unlimited" in page(administrator)
    answer = administrator.post("/plan/", {"amount": "1200", "note": "Invoice 7"}, follow=True)
    assert "1,200</span>" in answer.content.decode()
    administrator.post("/plan/", {"amount": "300"})
    assert credits.left() == 1500
    assert [(one.kind, one.delta, one.by, one.note) for one in CreditEntry.objects.order_by("pk")] == [
        ("set", 1200, "administrator", "Invoice 7"),
        ("top_up", 300, "administrator", ""),
    ]
    assert "Invoice 7" in page(administrator)
    administrator.post("/plan/unlimited/")
    assert credits.left() is None


@pytest.mark.parametrize("amount", ["", "ten", "0", "1e99", str(10**13)])
def test_an_amount_that_is_none_is_said_and_changes_nothing(administrator: Client, amount: str) -> None:
    credits.top_up(5, by="Ann", now=timezone.now())
    answer = administrator.post("/plan/", {"amount": amount})
    assert (answer.status_code, credits.left()) == (422, 5)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_administrators_add_credits(request: Any, role: str) -> None:
    client = request.getfixturevalue(role)
    credits.top_up(5, by="Ann", now=timezone.now())
    assert 'name="amount"' not in page(client)
    client.post("/plan/", {"amount": "100"})
    assert client.post("/plan/unlimited/").status_code == 403
    assert credits.left() == 5


def test_the_ledger_sums_mail_by_day_in_the_accounts_zone_and_lists_each_top_up() -> None:
    account = Account.current()
    account.time_zone = "Asia/Tokyo"
    account.save()
    evening = dt.datetime(2026, 3, 2, 14, 59, tzinfo=dt.UTC)
    for at in (evening, evening, evening + dt.timedelta(minutes=1)):
        credits.top_up(100, by="Ann", now=at)
        credits.reserve(10, now=at)
        credits.reserve(5, now=at, task_id=7)
    lines = [(str(line.day), str(line.what), line.delta) for line in ledger(account.time_zone, now=evening)]
    assert lines == [
        ("2026-03-03", "Reserved for requests", -15),
        ("2026-03-03", "Top-up", 100),
        ("2026-03-02", "Reserved for requests", -30),
        ("2026-03-02", "Top-up", 100),
        ("2026-03-02", "Limit set", 100),
    ]


def test_used_up_credits_are_said_loudly_with_what_waits(viewer: Client) -> None:
    credits.top_up(1, by="Ann", now=timezone.now())
    started([f"reader{n}@reader.example" for n in range(4)], AddressFactory())
    text = page(viewer)
    assert "Credits are used up." in text
    assert "3 mails are held." in text


def test_quotas_and_limits_in_force_are_listed(viewer: Client) -> None:
    domain = DomainFactory(name="news.finch.example")
    quota.set_level(domain, 4, now=timezone.now())
    user = ApiUser.console(ApiUser.Type.BATCH)
    user.daily_quota = 4321
    user.save()
    LimitGroup.objects.create(name="mx:mx.small.example", connections=3)
    text = page(viewer)
    for words in ("news.finch.example", "5,000", "0 of 4,321 today", "mx.small.example", "72 hours", "10,000"):
        assert words in text


def test_paid_mail_is_counted_by_the_day_of_its_request_in_the_accounts_zone() -> None:
    account = Account.current()
    account.time_zone = "Asia/Tokyo"
    account.save()
    evening = dt.datetime(2026, 3, 2, 14, 59, tzinfo=dt.UTC)  # a minute before midnight
    changed = Deltas()
    for at, status, reason in (
        (evening, "delivered", ""),
        (evening, "invalid", "blacklist"),
        (evening + dt.timedelta(minutes=1), "soft_bounce", "other"),
        (evening + dt.timedelta(minutes=1), "invalid", "not_exist"),
        (evening + dt.timedelta(minutes=1), "invalid", "ip_or_domain"),
    ):
        changed.moved(Of(ids.id_at(at), 1, 1, 1, 1, ""), None, (status, reason), free=False)
    changed.write()
    rollup.fold(now=evening + dt.timedelta(hours=1))
    shown = paid_by_day(account.zone, now=evening + dt.timedelta(hours=1))
    assert [(str(day), count) for day, count in shown][:3] == [("2026-03-03", 2), ("2026-03-02", 1), ("2026-03-01", 0)]
    assert len(shown) == 7
