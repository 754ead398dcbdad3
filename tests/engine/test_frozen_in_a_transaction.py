"""An engine that is frozen over a transaction holds nobody up for long, and goes on when it thaws."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connection, transaction

from console.models import Account
from delivery.engine import sessions
from tests.engine.test_crash import in_a_transaction, until


@contextmanager
def frozen_over_the_account() -> Iterator[list[bool]]:
    """Another session, which has locked the account and says nothing more. At the end: whether its connection was
    gone, and whether the next one works."""
    thaw, locked, found = threading.Event(), threading.Event(), list[bool]()

    def work() -> None:
        try:
            try:
                with transaction.atomic():
                    Account.objects.select_for_update().get()
                    locked.set()
                    thaw.wait(60)
                    Account.objects.get()
                found.append(False)
            except DatabaseError:
                found.append(True)
            connection.close()
            found.append(Account.objects.exists())
        finally:
            connection.close()

    session = threading.Thread(target=work)
    session.start()
    try:
        assert locked.wait(60)
        yield found
    finally:
        thaw.set()
        session.join()


@pytest.mark.django_db(transaction=True)
def test_the_locks_of_a_frozen_session_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LEAST_SECONDS", 0.2)
    monkeypatch.setattr(sessions.settings, "LEASE_SECONDS", 0.2)
    Account.current()
    with sessions.bounded(), frozen_over_the_account() as found:
        until(lambda: not in_a_transaction())
        with transaction.atomic():
            Account.objects.select_for_update(nowait=True).get()
    assert found == [True, True]


@pytest.mark.django_db(transaction=True)
def test_other_sessions_may_think_for_longer() -> None:
    with sessions.bounded():
        connection.close()
        assert timeout() == "15s"
    connection.close()
    assert timeout() == "0"


def timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        return str(cursor.fetchone()[0])
