"""Which links and images stand in a mail: as account, sender domain and API user say when it is composed."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest

from console.models import Account, ApiUser
from delivery.engine import store
from delivery.engine.lane import Ready
from delivery.engine.store import Store
from delivery.models import Message, SenderAddress, SenderDomain
from delivery.services import dkim_keys
from delivery.services.as_sent import mail_as_sent
from tests.engine.world import claim_all, started
from tests.factories.delivery import AddressFactory
from tests.factories.sending import template

HTML = "<p>Hello {{name}}</p><p><a href='https://shop.example/x'>Look</a></p>"


@pytest.fixture
def sender(db: None) -> SenderAddress:
    made: SenderAddress = AddressFactory()
    if not made.domain.dkim_keys.exists():
        dkim_keys.make_key(made.domain, active=True)
    return made


def composed(memory: Store, sender: SenderAddress) -> str:
    """The HTML of a mail that is asked for, claimed and composed now."""
    started(["ann@reader.example"], sender, template=template(HTML))
    [one] = claim_all()
    memory.load([one])
    ready = memory.ready(one)
    assert isinstance(ready, Ready)
    mail = email.message_from_bytes(ready.content, policy=email.policy.default)
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def off(what: str, field: str, sender: SenderAddress) -> None:
    rows: Any = {
        "account": Account.objects.filter(pk=Account.current().pk),
        "domain": SenderDomain.objects.filter(pk=sender.domain_id),
        "api user": ApiUser.objects.filter(pk=ApiUser.console("batch").pk),
    }[what]
    rows.update(**{field: False})


@pytest.mark.parametrize("what", ["account", "domain", "api user"])
def test_each_of_the_three_can_turn_each_of_the_two_off(sender: SenderAddress, what: str, settings: Any) -> None:
    html = composed(Store(), sender)
    assert f"{settings.PUBLIC_URL}/c/" in html
    assert f"{settings.PUBLIC_URL}/o/" in html
    off(what, "track_clicks", sender)
    html = composed(Store(), sender)
    assert 'href="https://shop.example/x"' in html
    assert "/c/" not in html
    assert "/o/" in html
    off(what, "track_opens", sender)
    html = composed(Store(), sender)
    assert "/o/" not in html
    assert "/u/" in html


@pytest.mark.parametrize("what", ["account", "domain", "api user"])
def test_an_engine_at_work_hears_of_it(sender: SenderAddress, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Store()
    assert "/c/" in composed(memory, sender)
    off(what, "track_clicks", sender)
    monkeypatch.setattr(memory, "_fresh_until", 0.0)
    assert store.FRESH_SECONDS <= 5
    assert "/c/" not in composed(memory, sender)


def test_links_carry_the_domains_own_name_once_it_leads_to_us(sender: SenderAddress, settings: Any) -> None:
    settings.PUBLIC_URL = "https://mail.example.com:8443"
    assert "https://mail.example.com:8443/c/" in composed(Store(), sender)
    SenderDomain.objects.filter(pk=sender.domain_id).update(tracking_host="track.news.example")
    html = composed(Store(), sender)
    for kind in "cou":
        assert f"https://track.news.example:8443/{kind}/" in html
    assert "https://mail.example.com" not in html
    shown = mail_as_sent(Message.objects.latest("pk"))
    assert "https://track.news.example:8443/c/" in shown.html
