"""Who says no between the request and the sending is not mailed, however the address was spelled."""

from __future__ import annotations

import pytest
from django.utils import timezone

from console.models import ApiUser
from delivery.models import SenderAddress
from delivery.simulator.server import Simulator
from suppression import address, services
from tests.engine.world import deliver, fates, started, taken


@pytest.mark.parametrize(("mailed", "said_no"), [("Ann", "aNN"), ("ΝΙΚΟΣ", "νικος"), ("νικος", "ΝΙΚΟΣ")])
def test_an_address_is_stopped_in_whatever_spelling_it_said_no(
    outside: Simulator, sender: SenderAddress, mailed: str, said_no: str
) -> None:
    task = started([f"{mailed}@a.sink.test", "other@a.sink.test"], sender)
    key = address.parse(f"{said_no}@a.sink.test").key
    services.unsubscribe(key, api_user_id=ApiUser.console("batch").pk, now=timezone.now())
    deliver()
    assert fates(task) == {
        f"{mailed}@a.sink.test": ("invalid", "unsubscribe"),
        "other@a.sink.test": ("delivered", ""),
    }
    assert set(taken(outside)) == {"other@a.sink.test"}


@pytest.mark.parametrize("text", ["Ann@Example.org", "ΝΙΚΟΣ@example.org", "νίκος@παράδειγμα.example"])
def test_the_key_of_a_stored_address_is_the_one_that_it_came_in_with(text: str) -> None:
    parsed = address.parse(text)
    assert address.key_of(parsed.canonical) == parsed.key
