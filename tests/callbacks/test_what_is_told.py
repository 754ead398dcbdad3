"""What a receiver is told: by whose address, in which order, and with which keys and signature."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from delivery.callbacks import outbox, sending
from delivery.callbacks.outbox import Happened
from delivery.models import Callback, CallbackEvent, Happening
from delivery.services import callbacks
from tests.callbacks.conftest import happen
from tests.callbacks.receiver import Receiver
from tests.factories.delivery import AddressFactory
from tests.factories.sending import message

pytestmark = pytest.mark.django_db

KEYS = [
    "event",
    "email",
    "link",
    "bulkId",
    "timestamp",
    "reason",
    "bounceType",
    "username",
    "from",
    "fromDomain",
    "templateId",
    "useragent",
    "subject",
    "messageId",
    "eventId",
    "taskId",
]


def signed_by(secret: str, headers: dict[str, str], body: bytes) -> bool:
    parts = headers["X-Posthorn-Signature"].split(",")
    at = parts[0].removeprefix("t=")
    wanted = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"v1={wanted}" in parts[1:]


def test_the_keys_are_those_that_receivers_parse_already_and_ids_are_text(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    receiver = server()
    callback = told_to(receiver.url)
    one = message("ann@example.org", subject="Spring", sender="hello@news.example.com")
    now = timezone.now()
    happen(
        outbox.ended(one.pk, "invalid", "not_exist", "550 5.1.1 no such user", now),
        Happened(one.pk, Happening.CLICK, now, {"link": "https://shop.example/a", "user_agent": "Firefox"}),
    )
    assert sending.run(seconds=5) == 2
    bounce, click = receiver.told()
    assert list(bounce) == KEYS
    assert bounce == {
        "event": "bounce",
        "email": "ann@example.org",
        "link": "",
        "bulkId": str(one.pk),
        "timestamp": int(now.timestamp()),
        "reason": "550 5.1.1 no such user",
        "bounceType": "hard_bounce",
        "username": one.api_user.name,
        "from": "hello@news.example.com",
        "fromDomain": "news.example.com",
        "templateId": one.version.template_id,
        "useragent": "",
        "subject": "Spring",
        "messageId": str(one.pk),
        "eventId": str(CallbackEvent.objects.get(kind="bounce").pk),
        "taskId": "",
    }
    assert (click["event"], click["link"], click["useragent"]) == ("click", "https://shop.example/a", "Firefox")
    assert all(signed_by(callback.plain, *asked) for asked in receiver.asked)  # type: ignore[attr-defined]
    assert receiver.asked[0][0]["Content-Type"].startswith("application/json")


def test_what_was_not_tried_is_dropped_and_what_came_back_is_a_soft_bounce(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    receiver = server()
    told_to(receiver.url)
    now = timezone.now()
    stopped, returned, fine = (message(f"{name}@example.org") for name in ("a", "b", "c"))
    happen(
        outbox.ended(stopped.pk, "invalid", "blacklist", "Blacklist: Bounce", now),
        outbox.ended(returned.pk, "soft_bounce", "spam", "554 spam", now),
        outbox.ended(fine.pk, "delivered", "", "250 ok", now),
        outbox.ended(fine.pk, "cancelled", "", "", now),
    )
    sending.run(seconds=5)
    found = {told["email"][0]: (told["event"], told["bounceType"]) for told in receiver.told()}
    assert found == {"a": ("dropped", ""), "b": ("bounce", "soft_bounce"), "c": ("delivered", "")}


def test_the_sender_addresss_callback_wins_over_the_accounts(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    whole, own = server(), server()
    told_to(whole.url)
    address = AddressFactory()
    told_to(own.url, address)
    mine, other = message(sender=address.address), message(sender="else@news.example.com")
    now = timezone.now()
    happen(*(Happened(one.pk, Happening.DELIVERED, now) for one in (mine, other)))
    sending.run(seconds=5)
    assert [told["from"] for told in own.told()] == [address.address]
    assert [told["from"] for told in whole.told()] == ["else@news.example.com"]


def test_a_disabled_one_of_a_sender_address_does_not_fall_back_to_the_accounts(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    whole = server()
    told_to(whole.url)
    address = AddressFactory()
    own = told_to(whole.url, address)
    callbacks.change(own, url=own.url, happenings=own.happenings, enabled=False)
    happen(Happened(message(sender=address.address).pk, Happening.DELIVERED, timezone.now()))
    assert not CallbackEvent.objects.exists()


def test_only_the_events_that_were_chosen_are_written_down(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    told_to(server().url, None, "bounce", "click")
    one, now = message(), timezone.now()
    happen(Happened(one.pk, Happening.DELIVERED, now), Happened(one.pk, Happening.CLICK, now))
    assert [event.kind for event in CallbackEvent.objects.all()] == ["click"]


def test_events_of_one_message_go_in_their_order_and_wait_for_the_one_that_failed(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    refused: list[str] = []

    def first_open_fails(handler: Any) -> None:
        event = handler.server.told()[-1]["event"]
        if event == "open" and not refused:
            refused.append(event)
            handler.answer(503)
        else:
            handler.answer(204)

    receiver = server(first_open_fails)
    told_to(receiver.url)
    one, other = message("ann@example.org"), message("bob@example.org")
    now = timezone.now()
    kinds = [Happening.DELIVERED, Happening.OPEN, Happening.CLICK]
    happen(*(Happened(which.pk, kind, now) for kind in kinds for which in (one, other)))
    sending.run(seconds=5)
    late = timezone.now() + sending.AFTER[0]
    sending.run(seconds=5, clock=lambda: late)
    for which in (one, other):
        seen = [told["event"] for told in receiver.told() if told["messageId"] == str(which.pk)]
        assert [name for number, name in enumerate(seen) if name not in seen[:number]] == kinds
    assert len(receiver.asked) == 7
    assert not CallbackEvent.objects.exclude(state="taken").exists()


def test_after_a_rotation_both_secrets_sign_for_a_day(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    receiver = server()
    callback = told_to(receiver.url)
    old = callback.plain  # type: ignore[attr-defined]
    new = callbacks.rotate(callback, now=timezone.now())
    sending.send_test(callbacks.test_event(callback), now=timezone.now())
    later = timezone.now() + (callback.old_secret_until - timezone.now()) * 2  # type: ignore[operator]
    sending.send_test(callbacks.test_event(callback), now=later)
    assert [[signed_by(secret, *asked) for secret in (old, new)] for asked in receiver.asked] == [
        [True, True],
        [False, True],
    ]


def test_nothing_is_written_where_nobody_wants_to_know(db: None, django_assert_num_queries: Any) -> None:
    one, now = message(), timezone.now()
    outbox.wanted()
    with django_assert_num_queries(0):
        outbox.tell([Happened(one.pk, Happening.DELIVERED, now)])
    assert not CallbackEvent.objects.exists()
