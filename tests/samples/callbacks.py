"""Callback addresses and what they were told."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from delivery.models import Callback, CallbackEvent, Happening
from delivery.services import callbacks
from tests.factories.delivery import AddressFactory
from tests.factories.sending import message
from tests.samples import rows, url_of


def _callback() -> Callback:
    return callbacks.add(url="https://shop.example/mail-events", address=AddressFactory(), happenings=Happening.values)[
        0
    ]


def _event(callback: Callback, **changed: Any) -> CallbackEvent:
    now = timezone.now()
    fields: dict[str, Any] = {
        "kind": "bounce",
        "message_id": message().pk,
        "at": now,
        "state": "given_up",
        "attempts": 9,
        "request": '{"event": "bounce", "email": "ann@example.org"}',
        "status_code": 500,
        # Long: there is a phone's width for it.
        "problem": "certificate verify failed: unable to get local issuer certificate (_ssl.c:1016)",
        "answer": "<h1>Out of order</h1>",
        "seconds": 0.21,
        "tried_at": now,
        **changed,
    }
    return CallbackEvent.objects.create(callback=callback, **fields)


@rows("callbacks")
def callbacks_listed(n: int) -> None:
    for _number in range(n):
        _callback()


@rows("callback-events")
def events_listed(n: int) -> None:
    callback = _callback()
    for number in range(n):
        state = ["waiting", "taken", "given_up"][number % 3]
        _event(callback, state=state, **({"status_code": 204, "problem": ""} if state == "taken" else {}))


@url_of("callback", "callback-edit", "callback-secret", "callback-delete")
def callback_in_trouble() -> dict[str, Any]:
    callback = _callback()
    now = timezone.now()
    Callback.objects.filter(pk=callback.pk).update(failing_since=now, suspended_at=now, last_problem="HTTP 500")
    _event(callback)
    return {"pk": callback.pk}


@url_of("callback-test")
def callback_to_test() -> dict[str, Any]:
    callback = _callback()
    # Nobody listens there, and it is not allowed: the answer comes at once.
    Callback.objects.filter(pk=callback.pk).update(url="http://127.0.0.1/")
    return {"pk": callback.pk}


@url_of("callback-event", "callback-event-again")
def event_told() -> dict[str, Any]:
    return {"pk": _event(_callback()).pk}
