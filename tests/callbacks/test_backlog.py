"""However much waits for a receiver: a batch costs what it holds, and what happened first is told first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import connection
from django.utils import timezone

from console import ids
from delivery.callbacks import sending
from delivery.callbacks.outbox import Happened
from delivery.models import Callback, CallbackEvent, Happening
from tests.callbacks.conftest import happen
from tests.callbacks.receiver import Receiver, fails, takes
from tests.factories.sending import message

pytestmark = pytest.mark.django_db

MANY = 20_000


def backlog(callback: Callback, *, now: dt.datetime) -> None:
    """Four events of each message, the oldest of a tenth of them put off."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_callbackevent (id, callback_id, message_id, kind, at, detail, due)
            SELECT %(first)s + n, %(callback)s, %(first)s + n %% %(messages)s, 'delivered', %(now)s, '{}',
                   %(now)s - interval '1 hour' + n * interval '0.1 second'
                   + CASE WHEN n %% %(messages)s %% 10 = 0 AND n < %(messages)s THEN interval '3 hours'
                          ELSE interval '0' END
            FROM generate_series(1, %(many)s) n
            """,
            {
                "first": ids.id_at(now - dt.timedelta(hours=1)),
                "callback": callback.pk,
                "messages": MANY // 4,
                "many": MANY,
                "now": now,
            },
        )
        cursor.execute("ANALYZE delivery_callbackevent")


def test_a_batch_is_found_by_a_walk_however_much_waits(told_to: Callable[..., Callback]) -> None:
    callback, now = told_to("https://shop.example/events"), timezone.now()
    backlog(callback, now=now)
    for found in (sending._due(callback, now)[: sending.BATCH], sending._never_tried(callback)[:1]):
        plan = found.explain()
        assert "Index Scan using callback_due" in plan, plan
        assert "Sort" not in plan, plan
        assert "Seq Scan" not in plan, plan
    assert len(sending._batch(callback, now)) == sending.BATCH


def test_what_waits_behind_a_failure_is_told_after_it_in_order_whatever_was_due_first(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    receiver = server(fails)
    told_to(receiver.url)
    one, now = message("ann@example.org"), timezone.now()
    happen(*(Happened(one.pk, Happening.CLICK, now) for _click in range(2)))
    assert sending.run(seconds=5, clock=lambda: now) == 1
    assert set(CallbackEvent.objects.values_list("due", flat=True)) == {now + sending.AFTER[0]}
    # One that comes while the first waits for its turn, and one that comes when it is due.
    later = now + sending.AFTER[0] + dt.timedelta(seconds=5)
    for at in (now + dt.timedelta(seconds=5), later):
        happen(Happened(one.pk, Happening.CLICK, at))
    receiver.behave = takes
    sending.run(seconds=5, clock=lambda: later)
    told = [int(told["eventId"]) for told in receiver.told()]
    assert told[1:] == sorted(CallbackEvent.objects.values_list("pk", flat=True))
    assert set(CallbackEvent.objects.values_list("state", flat=True)) == {"taken"}
