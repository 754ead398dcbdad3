"""The event is written in the transaction of what it tells of: neither is there without the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from delivery.callbacks import sending
from delivery.models import Callback, CallbackEvent, Message, SenderAddress
from delivery.services import tasks
from delivery.simulator.server import Simulator
from tests.callbacks.receiver import Receiver
from tests.engine.conftest import hasty, outside, sender  # noqa: F401  (fixtures)
from tests.engine.world import deliver, started


def test_a_batch_to_every_kind_of_mailbox_is_told_as_it_ended(
    outside: Simulator,  # noqa: F811
    sender: SenderAddress,  # noqa: F811
    hasty: None,  # noqa: F811
    server: Callable[..., Receiver],
    told_to: Callable[..., Callback],
) -> None:
    receiver = server()
    told_to(receiver.url)
    people = [f"{local}@simulator.test" for local in ("success", "bounce", "spam", "deferred", "full")]
    started(people, sender)
    deliver(seconds=20)
    assert sending.run(seconds=10) == len(receiver.asked)
    seen: dict[str, list[str]] = {}
    for told in receiver.told():
        seen.setdefault(told["email"].partition("@")[0], []).append(told["event"] + (told["bounceType"] or "")[:4])
    deferred = seen.pop("full")
    assert set(deferred[:-1]) == {"deferred"}
    assert deferred[-1] == "bouncesoft"
    assert seen == {
        "success": ["delivered"],
        "bounce": ["bouncehard"],
        "spam": ["bouncesoft"],
        "deferred": ["deferred", "deferred", "delivered"],
    }


def test_what_is_rolled_back_is_not_told(
    db: None, told_to: Callable[..., Callback], server: Callable[..., Receiver]
) -> None:
    from delivery.callbacks.outbox import ended, tell
    from tests.factories.sending import message

    told_to(server().url)
    with pytest.raises(RuntimeError), transaction.atomic():
        one = message()
        tell([ended(one.pk, "delivered", "", "", timezone.now())])
        raise RuntimeError
    assert not CallbackEvent.objects.exists()
    assert not Message.objects.exists()


def test_whom_a_list_stops_is_told_when_the_rows_are_made(
    transactional_db: None, told_to: Callable[..., Callback], server: Callable[..., Receiver]
) -> None:
    from suppression.models import Entry
    from tests.factories.sending import new_task

    told_to(server().url)
    new: Any = new_task()
    now = timezone.now()
    key = "success+p1@simulator.test"
    Entry.objects.create(list=Entry.List.BLOCK, key=key, created_at=now, latest_at=now)
    tasks.expand(tasks.create_task(new, now=now).pk, now=now)
    event = CallbackEvent.objects.get()
    assert (event.kind, event.detail["cause"]) == ("dropped", "blacklist")
    assert event.message_id == Message.objects.get(recipient=key).pk


def test_a_complaint_and_an_unsubscription_are_told_once(
    db: None, told_to: Callable[..., Callback], server: Callable[..., Receiver]
) -> None:
    from tests.factories.sending import message
    from tracking import complaints, unsubscribing
    from tracking.visitors import Visitor

    told_to(server().url)
    one, now = message(), timezone.now()
    for _again in range(2):
        complaints.complain(one, now=now, source="report", detail={})
        unsubscribing.unsubscribe(one.pk, Visitor(user_agent="Firefox"), now=now)
    assert sorted(event.kind for event in CallbackEvent.objects.all()) == ["spamreport", "unsubscribe"]


def test_opens_and_clicks_of_people_are_told_and_those_of_machines_are_not(
    db: None, told_to: Callable[..., Callback], server: Callable[..., Receiver]
) -> None:
    from console import ids
    from tests.factories.sending import message
    from tracking import recording
    from tracking.hits import Hit

    told_to(server().url)
    one = message()
    first, second, third = ids.new_ids(3)
    recording.write(
        [
            Hit(first, one.pk, "open", user_agent="Firefox"),
            Hit(second, one.pk, "click", "https://a.test/", user_agent="Firefox"),
            Hit(third, one.pk, "open", user_agent="curl/8.4.0"),
        ]
    )
    told = [(event.kind, event.detail) for event in CallbackEvent.objects.order_by("id")]
    assert told == [
        ("open", {"user_agent": "Firefox"}),
        ("click", {"user_agent": "Firefox", "link": "https://a.test/"}),
    ]
