"""What is asked all the time: planned once, and asked again where the connection was lost meanwhile."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction

from console import prepared

SQL = "SELECT 1 + %s"


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_lost_meanwhile_is_made_anew() -> None:
    assert prepared.row(SQL, 1) == (2,)
    _cut()
    assert prepared.row(SQL, 2) == (3,)


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_a_lost_connection_is_told() -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        prepared.row(SQL, 1)
        _cut()
        prepared.row(SQL, 2)


def _cut() -> None:
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.connection.info.backend_pid])
    finally:
        other.close()
