"""The page of tracking settings: switches of the account, asked twice, and of sender domains, one or many."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from console.models import Account
from delivery.models import SenderDomain
from tests.factories.delivery import DomainFactory


@pytest.mark.parametrize("what", ["opens", "clicks"])
def test_the_accounts_switch_is_asked_twice_off_and_on(administrator: Client, what: str) -> None:
    url, name = f"/tracking-settings/account/{what}/", Account.current().name
    field = f"track_{what}"
    assert "Mail that was sent before keeps" in administrator.get(url).content.decode()
    assert f"Type <b>{name}</b>" in administrator.post(url).content.decode()
    assert administrator.post(url, {"typed": "yes"}).status_code == 422
    assert getattr(Account.current(), field)
    assert administrator.post(url, {"typed": name}, follow=True).status_code == 200
    assert not getattr(Account.current(), field)
    administrator.post(url)
    assert not getattr(Account.current(), field)
    administrator.post(url, {"typed": name})
    assert getattr(Account.current(), field)


def test_a_domains_switches_are_edited(administrator: Client) -> None:
    domain, other = DomainFactory(), DomainFactory()
    url = f"/tracking-settings/{domain.pk}/"
    assert administrator.post(url, {"track_opens": "on"}).status_code == 302
    domain.refresh_from_db()
    assert (domain.track_opens, domain.track_clicks) == (True, False)
    administrator.post(url, {})
    domain.refresh_from_db()
    assert (domain.track_opens, domain.track_clicks) == (False, False)
    other.refresh_from_db()
    assert (other.track_opens, other.track_clicks) == (True, True)


@pytest.mark.parametrize(
    ("action", "field", "on"),
    [
        ("opens-off", "track_opens", False),
        ("opens-on", "track_opens", True),
        ("clicks-off", "track_clicks", False),
        ("clicks-on", "track_clicks", True),
    ],
)
def test_many_are_set_at_once(administrator: Client, action: str, field: str, on: bool) -> None:
    several = DomainFactory.create_batch(3, **{field: not on})
    administrator.post(f"/tracking-settings/{action}/", {"id": [one.pk for one in several[:2]]})
    assert SenderDomain.objects.filter(**{field: on}).count() == 2
    administrator.post(f"/tracking-settings/{action}/", {"all": "1", "count": "3", "step": "2"})
    assert SenderDomain.objects.filter(**{field: on}).count() == 3


def test_domains_are_searched_and_filtered(viewer: Client) -> None:
    DomainFactory(name="news.example.com", track_clicks=False)
    DomainFactory(name="shop.example.com")

    def names(**params: str) -> list[str]:
        rows: Any = viewer.get("/tracking-settings/", params).context["table"].rows
        return [row.record.name for row in rows]

    assert names(name="news") == ["news.example.com"]
    assert names(clicks="no") == ["news.example.com"]
    assert names(clicks="yes") == ["shop.example.com"]
    assert len(names(opens="yes")) == 2


def test_who_only_sends_sees_and_changes_nothing(operator: Client) -> None:
    domain = DomainFactory()
    text = operator.get("/tracking-settings/").content.decode()
    assert "Turn off…" not in text
    for url in (
        f"/tracking-settings/{domain.pk}/",
        "/tracking-settings/account/opens/",
        "/tracking-settings/opens-off/",
    ):
        assert operator.post(url, {"typed": Account.current().name, "id": [domain.pk]}).status_code == 403
    domain.refresh_from_db()
    assert domain.track_opens
    assert Account.current().track_opens
