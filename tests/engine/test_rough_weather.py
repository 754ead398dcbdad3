"""Mail to servers with moods: each ends as it should, and none is lost or doubled but where no answer was given."""

from __future__ import annotations

from collections import Counter

import pytest

from delivery.models import Attempt, Message, QueuePause, SenderAddress, Waiting
from delivery.simulator.behaviour import MOODY
from delivery.simulator.moods import MOODS
from delivery.simulator.server import Simulator
from tests.engine.world import deliver, fates, started

FINAL = {mood.name: mood for mood in MOODS if mood.final}


def test_mail_arrives_in_rough_weather(outside: Simulator, sender: SenderAddress) -> None:
    if not outside.options.moods:
        pytest.skip("this machine has but one loopback address")
    people = [f"ann{n}@{mood.domain}" for mood in FINAL.values() for n in range(12 if mood.rate else 4)]
    people += [f"{one.local}+{n}@simulator.test" for one in MOODY for n in range(2)]
    task = started(people, sender)
    deliver(idle=1.0)

    assert fates(task) == dict.fromkeys(people, ("delivered", ""))
    assert not Waiting.objects.exists()
    said = Counter(one.recipient for one in outside.accepted() if not one.unsaid)
    unsaid = Counter(one.recipient for one in outside.accepted() if one.unsaid)
    assert said == Counter(people), "the record agrees: once each"
    assert set(unsaid) == {one for one in people if "dropafter" in one}, "only these may arrive twice"
    assert set(unsaid.values()) == {1}

    # Too many connections or mails: their queues were paused, and it cost the mails no attempt.
    paused = QueuePause.objects.filter(limit_group__name__startswith="mx:mx.ratelimit.").count()
    assert paused >= 1
    for one in Message.objects.filter(task=task, recipient__contains="@dropafter."):
        assert [attempt.phase for attempt in Attempt.objects.filter(message_id=one.pk).order_by("number")] == [
            "dot"
        ] * 2
