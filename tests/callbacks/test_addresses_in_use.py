"""Callback addresses are changed and deleted while mail ends and while events are sent: neither disturbs the other."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from delivery.callbacks import outbox
from delivery.callbacks.outbox import Happened
from delivery.models import Callback, CallbackEvent, Happening, SenderAddress
from delivery.services import addresses, callbacks, domains
from tests.callbacks.receiver import Receiver
from tests.factories.delivery import AddressFactory
from tests.factories.sending import message

pytestmark = pytest.mark.django_db(transaction=True)


def beside(work: Callable[[], Any]) -> tuple[threading.Thread, list[Exception]]:
    """Begin this in a thread; goes on when it is over or waits for a lock."""
    faults: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as fault:
            faults.append(fault)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    give_up = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < give_up and not somebody_waits():
        time.sleep(0.02)
    return thread, faults


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("what", ["the callback address", "its sender address", "its sender domain"])
def test_mail_that_ends_while_its_callback_address_is_deleted_ends_all_the_same(
    server: Callable[..., Receiver], told_to: Callable[..., Callback], what: str
) -> None:
    address: SenderAddress = AddressFactory()
    callback = told_to(server().url, address)
    one = message(sender=address.address)
    remove = {
        "the callback address": lambda: callbacks.remove(callback),
        "its sender address": lambda: addresses.delete_address(address),
        "its sender domain": lambda: domains.delete_domain(address.domain),
    }[what]
    with transaction.atomic():
        assert outbox.tell([Happened(one.pk, Happening.DELIVERED, timezone.now())]) == 1
        thread, faults = beside(remove)
    thread.join(20)
    assert faults == []
    assert not Callback.objects.exists()
    assert not CallbackEvent.objects.exists()


def test_a_change_leaves_the_lease_and_the_new_secret_alone(
    server: Callable[..., Receiver], told_to: Callable[..., Callback]
) -> None:
    callback = told_to(server().url)
    seen = Callback.objects.get(pk=callback.pk)
    until = timezone.now() + dt.timedelta(minutes=1)
    Callback.objects.update(lease=7, leased_until=until)
    callbacks.rotate(callback, now=timezone.now())
    secret = bytes(Callback.objects.get().secret)
    callbacks.change(seen, url=seen.url, happenings=["bounce"], enabled=True)
    now = Callback.objects.get()
    assert (now.lease, now.leased_until, bytes(now.secret), now.happenings) == (7, until, secret, ["bounce"])
