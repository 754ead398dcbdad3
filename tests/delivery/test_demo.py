"""`manage.py demo --exit`: one command from nothing to everybody's fate, and its last line says so in JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from django.core.management import CommandError, call_command

from delivery.management.commands.demo import Command
from suppression.models import Entry
from tests.factories.suppression import EntryFactory
from tests.installation import Installation, until

STATUSES = {"delivered", "invalid", "soft_bounce"}
REASONS = {"not_exist", "spam", "ip_or_domain", "rejected", "other", "blacklist"}


@pytest.fixture
def places() -> Iterator[list[Installation]]:
    with Installation() as first, Installation() as second:
        # Apart by hand: neither listens yet when the other looks for a free port.
        second.port = first.port + 7
        second.environment["POSTHORN_PORT"] = str(second.port)
        for place in (first, second):
            del place.environment["LOG_LEVEL"]
        yield [first, second]


def test_two_demos_side_by_side_send_their_batches_agree_with_the_simulator_and_leave_nothing(
    places: list[Installation],
) -> None:
    recipients = (60, 40)
    demos = [
        place.manage("demo", "--recipients", str(count), "--exit", stdout=subprocess.PIPE)
        for place, count in zip(places, recipients, strict=True)
    ]
    for place, demo, count in zip(places, demos, recipients, strict=True):
        out, _err = demo.communicate(timeout=240)
        assert demo.returncode == 0, place.log()
        lines = out.decode().splitlines()
        # Standard output is the JSON and nothing else.
        assert len(lines) == 1
        result = json.loads(lines[-1])
        assert list(result) == ["requested", "by_status", "by_reason", "seconds"]
        assert result["requested"] == sum(result["by_status"].values()) == count
        assert set(result["by_status"]) <= STATUSES
        assert set(result["by_reason"]) <= REASONS
        assert sum(result["by_reason"].values()) == count - result["by_status"]["delivered"]
        assert result["seconds"] > 0
        said = place.log()
        assert "The simulator's own record agrees" in said
        assert "So do the overview's figures." in said
        assert "Came back: " in said
        assert '"level": "info"' not in said
        until(lambda place=place: not place.processes(), "nothing is left")


@pytest.mark.django_db
def test_the_simulators_addresses_leave_the_bounce_list_for_another_demo() -> None:
    kept = EntryFactory(list=Entry.List.BOUNCE)
    EntryFactory(list=Entry.List.BOUNCE, key="bounce@simulator.test")
    unsubscribed = EntryFactory(list=Entry.List.UNSUBSCRIPTION, key="unsubscribe@simulator.test")
    Command().clean_bounces()
    assert set(Entry.objects.all()) == {kept, unsubscribed}


@pytest.mark.parametrize("recipients", [0, 10_001])
def test_a_demo_says_what_it_cannot_do_before_it_does_anything(recipients: int) -> None:
    with pytest.raises(CommandError, match="1 to 10,000"):
        call_command("demo", recipients=recipients, exit=True)
