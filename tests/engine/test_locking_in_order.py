"""Settling locks messages in the order of their ids, as opens, clicks and corrections do: nobody waits in a circle."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery.engine.settle import settle
from delivery.models import Message
from tests.engine.world import claim_all, delivered, started
from tests.factories.delivery import AddressFactory
from tests.installation import until


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        # Within a transaction, what was seen once is seen again.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock' AND query LIKE '%delivery_message%')"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_for_a_message_holds_none_behind_it() -> None:
    started([f"a{n}@reader.example" for n in range(5)], AddressFactory())
    batch = sorted(claim_all(), key=lambda one: -one.message_id)
    first, others = batch[-1].message_id, [one.message_id for one in batch[:-1]]

    def settling() -> None:
        try:
            settle([delivered(one) for one in batch], now=timezone.now())
        finally:
            connection.close()

    thread = threading.Thread(target=settling)
    with transaction.atomic():
        Message.objects.select_for_update(no_key=True).get(pk=first)
        thread.start()
        until(waits_for_a_lock, "settling waits for the first")
        free = Message.objects.select_for_update(no_key=True, skip_locked=True).filter(pk__in=others)
        assert {one.pk for one in free} == set(others)
    thread.join(30)
    assert set(Message.objects.values_list("status", flat=True)) == {"delivered"}
