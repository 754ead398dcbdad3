"""Months that are older than they are kept go whole; what is under way, what was counted, and everything else stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from console import environment, ids, locks, partitions, retention
from delivery.models import Attempt, Message, Waiting
from delivery.services.requests import receiving_domains
from tests.factories.sending import attempt, message
from tracking.models import Event

# Real months: those that are still to come must be there for other tests.
NOW = timezone.now()
MONTHS = range(-4, 1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def history(settings: Any) -> Iterator[list[Message]]:
    """A message with an attempt and an event in each of five months, the last of them this one."""
    partitions.ensure(NOW, months_back=max(-offset for offset in MONTHS))
    settings.KEEP_MESSAGES_MONTHS, settings.KEEP_EVENTS_MONTHS = 2, 3
    made = []
    for offset in MONTHS:
        one = message(at=partitions.month_start(NOW, offset) + timedelta(hours=3))
        attempt(one)
        Event.objects.create(id=one.pk + 1, message_id=one.pk, kind=Event.Kind.OPEN)
        made.append(one)
    yield made
    # Other tests find the months that they know, and no older ones.
    with connection.cursor() as cursor:
        for model in partitions.partitioned_models():
            for offset in MONTHS[:-2]:
                cursor.execute(f'DROP TABLE IF EXISTS "{partition(model._meta.db_table, offset)}"')
    partitions.ensure(timezone.now())


def months(model: Any) -> list[int]:
    """How many months ago the rows of this table are from."""
    found = set()
    for pk in model.objects.values_list("pk", flat=True):
        at = ids.time_of(pk if isinstance(pk, int) else pk[0])
        found.add((at.year - NOW.year) * 12 + at.month - NOW.month)
    return sorted(found)


def partition(parent: str, offset: int) -> str:
    return f"{parent}_{partitions.month_start(NOW, offset):%Y%m}"


def test_each_kind_goes_after_its_own_number_of_months(history: list[Message]) -> None:
    retention.prune(now=NOW)
    assert months(Message) == [-2, -1, 0]
    assert months(Attempt) == [-2, -1, 0]
    assert months(Event) == [-3, -2, -1, 0]
    assert retention.prune(now=NOW) == []


def test_without_a_setting_everything_is_kept(history: list[Message], settings: Any) -> None:
    settings.KEEP_MESSAGES_MONTHS = settings.KEEP_EVENTS_MONTHS = 0
    assert retention.prune(now=NOW) == []
    assert months(Message) == list(MONTHS)


def test_no_number_of_months_takes_away_the_present(history: list[Message], settings: Any) -> None:
    settings.KEEP_MESSAGES_MONTHS = settings.KEEP_EVENTS_MONTHS = -1
    out = StringIO()
    call_command("prune", stdout=out)
    assert "Nothing went" in out.getvalue()
    assert months(Message) == list(MONTHS)


def test_a_negative_number_of_months_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_MESSAGES_MONTHS", "-1")
    with pytest.raises(ImproperlyConfigured, match="KEEP_MESSAGES_MONTHS is -1: it must be 0 or more"):
        environment.at_least("KEEP_MESSAGES_MONTHS", default=0)


def test_a_month_with_mail_that_waits_is_kept(history: list[Message]) -> None:
    from delivery.services.requests import _queues

    oldest = history[0]
    domain = receiving_domains(["example.org"])["example.org"]
    Waiting.objects.create(
        message_id=oldest.pk,
        limit_group_id=domain.limit_group_id,
        queue_id=_queues(oldest.api_user_id, {domain.id})[domain.id],
        due=NOW,
        priority=Waiting.Priority.BATCH,
        turn=1,
    )
    retention.prune(now=NOW)
    assert months(Message) == [-4, -2, -1, 0]


def test_a_dry_run_says_what_would_go_and_takes_nothing(
    history: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
    out = StringIO()
    call_command("prune", dry_run=True, stdout=out)
    assert partition("delivery_message", -4) in out.getvalue()
    assert "would go" in out.getvalue()
    assert months(Message) == list(MONTHS)


def test_a_month_that_somebody_reads_for_long_is_left_for_the_next_time(
    history: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr(locks, "TIMEOUT", "200ms")
    known = {"host", "port", "user", "password", "dbname"}
    with psycopg.connect(**{k: v for k, v in connection.get_connection_params().items() if k in known}) as other:
        busy = partition("delivery_message", -4)
        other.execute(f'SELECT * FROM "{busy}"')  # type: ignore[call-overload]
        gone = {one.table for one in retention.prune(now=NOW)}
        assert busy not in gone
        assert partition("delivery_attempt", -4) in gone
    # What was begun is finished.
    assert busy in {one.table for one in retention.prune(now=NOW)}
    assert months(Message) == [-2, -1, 0]


def test_what_was_taken_off_but_not_yet_dropped_when_its_worker_died_goes_the_next_time(history: list[Message]) -> None:
    left = partition("delivery_message", -4)
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON TABLE {left} IS '{retention.GOING}'")
        cursor.execute(f"ALTER TABLE delivery_message DETACH PARTITION {left}")
    assert left in {one.table for one in retention.prune(now=NOW)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [left])
        assert cursor.fetchone() == (None,)
    assert months(Message) == [-2, -1, 0]


def test_what_somebody_took_off_to_keep_is_theirs(history: list[Message]) -> None:
    theirs = partition("delivery_message", -4)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE delivery_message DETACH PARTITION {theirs}")
        try:
            assert theirs not in {one.table for one in retention.prune(now=NOW)}
            cursor.execute(f"SELECT count(*) FROM {theirs}")
            assert cursor.fetchone() == (1,)
        finally:
            cursor.execute(f"DROP TABLE {theirs}")
