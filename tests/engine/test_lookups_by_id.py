"""Claiming and settling look messages up by their ids, also where the planner is led to believe that a summary of pages
is cheaper: over a past of millions it read all between the first and the last."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from delivery.engine.settle import settle
from tests.engine.world import claim_all, delivered, started
from tests.factories.delivery import AddressFactory


@pytest.mark.django_db
def test_no_summary_of_pages_is_asked() -> None:
    started([f"a{n}@reader.example" for n in range(300)], AddressFactory())
    plans: list[str] = []

    def explained(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "delivery_message" in sql and sql.split()[0] in ("SELECT", "UPDATE", "WITH"):
            execute(f"EXPLAIN {sql}", params, many, context)
            plans.extend(line for (line,) in context["cursor"].fetchall() if " on delivery_message" in line)
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE delivery_message")
        # Few rows are read as they lie; many are not.
        cursor.execute("SET LOCAL enable_seqscan = off")
    with connection.execute_wrapper(explained):
        settle([delivered(one) for one in claim_all()], now=timezone.now())
    # The claim's details, the locks, the update.
    assert len([line for line in plans if "Index Scan" in line]) >= 3, plans
    assert not [line for line in plans if "Bitmap" in line], plans
