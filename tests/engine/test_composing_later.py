"""Mail whose key or template is not at hand just now waits; only what can never be composed ends."""

from __future__ import annotations

import pytest

from delivery.engine import store as stores
from delivery.engine.lane import Ready
from delivery.engine.store import NotReady, Store
from delivery.models import SenderAddress, TemplateVersion
from delivery.simulator.server import Simulator
from tests.engine.world import claim_all, started


@pytest.fixture
def two(outside: Simulator, sender: SenderAddress) -> tuple[Store, list]:
    for name in ("a", "b"):
        started([f"{name}@a.sink.test"], sender)
    return Store(), claim_all()


def test_a_template_that_was_put_out_for_another_is_no_reason_to_end_a_mail(
    two: tuple[Store, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (one, other) = two
    monkeypatch.setattr(stores, "VERSIONS_KEPT", 1)
    store.load([one])
    assert isinstance(store.ready(one), Ready)
    other.version_id = TemplateVersion.objects.create(
        template=TemplateVersion.objects.get(pk=one.version_id).template, number=99, type="text", source="x", text="x"
    ).pk
    store.load([other])
    assert store.ready(one) is NotReady.LATER
    store.load([one])
    assert isinstance(store.ready(one), Ready)


def test_mail_of_a_domain_that_lost_its_verification_in_between_waits(two: tuple[Store, list]) -> None:
    store, (one, _other) = two
    store.load([one])
    store.signers[one.sender_domain_id] = None
    assert store.ready(one) is NotReady.LATER
    assert store.held_by(one) == "domain_unverified"


def test_mail_whose_template_is_gone_ends(two: tuple[Store, list]) -> None:
    store, (one, _other) = two
    one.version_id = 0
    store.load([one])
    assert store.ready(one) is NotReady.UNFIT
