"""What is rare is found by an index, and none of them makes delivering dearer."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from delivery.models import CallbackEvent, Message
from tests.factories.sending import message
from tracking.models import Event

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("model", "filters", "condition"),
    [
        (Message, {"status": "cancelled"}, "status = 'cancelled'"),
        (Message, {"reason": "spam"}, "reason = 'spam'"),
        (Message, {"sender_domain_id": 7}, "sender_domain_id = 7"),
        (Message, {"api_user_id": 7}, "api_user_id = 7"),
        (Message, {"sender": "a@example.org"}, "sender = 'a@example.org'"),
        (Message, {"version_id__in": [7, 8, 9]}, "version_id = ANY"),
        (Event, {"sender_domain_id": 7}, "sender_domain_id = 7"),
        (Event, {"receiving_domain_id": 7}, "receiving_domain_id = 7"),
        (CallbackEvent, {"kind__in": ["bounce", "dropped"]}, "kind = ANY"),
    ],
)
def test_what_is_rare_is_looked_up(model: type[Model], filters: dict[str, object], condition: str) -> None:
    with connection.cursor() as cursor:
        # As where a walk costs more.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
    plan = model._default_manager.filter(**filters).order_by().values("pk").explain()
    asked = [line for line in plan.split("\n") if "Index Cond" in line]
    assert asked, plan
    assert all(condition in line for line in asked), plan


def test_links_are_looked_up_by_their_beginning() -> None:
    from tracking.pages.opens_and_clicks import HitFilter

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = HitFilter({"link": "https://shop.example/"}, queryset=Event.objects.all()).qs.order_by().explain()
    assert "~>=~ 'https://shop.example/'" in next(line for line in plan.split("\n") if "Index Cond" in line)


def test_a_delivered_message_is_updated_in_place() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int >= 160000")
        if not cursor.fetchone()[0]:
            pytest.skip("before PostgreSQL 16 a summary of pages is like any other index")
    made, before = message("ann@example.org", status="sending"), _in_place()
    Message.objects.filter(pk=made.pk).update(status="delivered", sent_at=timezone.now())
    assert _in_place() == before + 1


def _in_place() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_stat_get_xact_tuples_hot_updated(inhrelid)) FROM pg_inherits WHERE inhparent = %s::regclass",
            [Message._meta.db_table],
        )
        return int(cursor.fetchone()[0])
