"""Ids: in the order of time, never the same twice, whoever makes them."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from console import ids
from console.ids import EPOCH, MAX_ID, NODES, NoNodeFree, _Generator, id_at, new_id, new_ids, time_of
from console.models import Node
from tests import other_process


@pytest.mark.django_db
def test_ids_ascend_and_name_their_time() -> None:
    before = timezone.now()
    made = [*new_ids(10_000), new_id(), *new_ids(3)]
    after = timezone.now()
    assert made == sorted(set(made))
    assert len(made) == 10_004
    millisecond = dt.timedelta(milliseconds=1)
    assert before - millisecond <= time_of(made[0]) <= time_of(made[-1]) <= after + millisecond
    assert id_at(before - millisecond) <= made[0]
    assert made[-1] < id_at(after + 2 * millisecond)


@pytest.mark.django_db
def test_no_ids_are_no_ids() -> None:
    assert new_ids(0) == []


def test_a_moment_and_its_smallest_id_lead_to_each_other() -> None:
    moment = dt.datetime(2026, 3, 1, 12, 30, 15, 123_000, tzinfo=dt.UTC)
    assert time_of(id_at(moment)) == moment
    assert time_of(id_at(moment) + (1 << 22) - 1) == moment
    assert time_of(id_at(moment) - 1) == moment - dt.timedelta(milliseconds=1)
    assert id_at(EPOCH) == id_at(dt.datetime(1999, 1, 1, tzinfo=dt.UTC)) == 0
    assert 0 < id_at(dt.datetime(2089, 1, 1, tzinfo=dt.UTC)) < MAX_ID
    zoned = dt.datetime(2026, 3, 1, 21, tzinfo=dt.timezone(dt.timedelta(hours=9)))
    assert id_at(zoned) == id_at(dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC))


@pytest.mark.django_db
def test_threads_share_the_ids_of_their_process() -> None:
    new_id()
    found: list[int] = []
    ascending: list[bool] = []

    def work() -> None:
        mine = [one for _n in range(20) for one in new_ids(101)]
        ascending.append(mine == sorted(mine))
        found.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ascending)
    assert len(set(found)) == len(found) == 4 * 20 * 101


@pytest.mark.django_db(transaction=True)
def test_processes_side_by_side_and_their_forks_never_make_the_same() -> None:
    running = [
        other_process.begin({"do": "ids", "count": 20_000}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _n in range(2)
    ]
    answers = [process.communicate(timeout=60) for process in running]
    lines = [json.loads(line) for out, _err in answers for line in out.splitlines()]
    assert len(lines) == 6, answers
    made = [one for line in lines for one in line]
    assert len(set(made)) == len(made) == 2 * 4 * 20_000
    nodes = {one >> 12 & (NODES - 1) for one in made}
    assert len(nodes) == 6


@pytest.mark.django_db(transaction=True)
def test_a_number_stays_leased_when_the_transaction_of_the_first_id_is_rolled_back() -> None:
    first, second = _Generator(), _Generator()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        first.take(1)
        raise ZeroDivisionError
    second.take(1)
    assert first._node != second._node
    assert Node.objects.filter(number=first._node, leased_until__gt=timezone.now()).exists()


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_renewed_and_one_that_was_lost_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = _Generator()
    generator.take(1)
    node = generator._node
    soon = timezone.now() + dt.timedelta(minutes=1)
    Node.objects.filter(number=node).update(leased_until=soon)
    generator._renew_at = 0
    generator.take(1)
    assert generator._node == node
    assert Node.objects.get(number=node).leased_until > soon
    # Another has it now: this one was asleep for hours.
    Node.objects.filter(number=node).update(token="another")
    generator._renew_at = 0
    generator.take(1)
    assert generator._node != node


@pytest.mark.django_db(transaction=True)
def test_when_all_numbers_are_leased_it_is_said() -> None:
    Node.objects.update(leased_until=timezone.now() + dt.timedelta(hours=1))
    with pytest.raises(NoNodeFree, match="1024"):
        _Generator().take(1)
    connection.close()


@pytest.mark.django_db
def test_a_clock_set_back_makes_no_id_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_ids(5)
    real = ids.time.time
    monkeypatch.setattr(ids.time, "time", lambda: real() - 0.02)
    made += new_ids(5)
    assert made == sorted(set(made))


@pytest.mark.django_db(transaction=True)
def test_a_clock_set_back_by_an_hour_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = _Generator()
    before, node = generator.take(5), generator._node
    real = ids.time.time
    monkeypatch.setattr(ids.time, "time", lambda: real() - 3600)
    made: list[int] = []
    thread = threading.Thread(target=lambda: made.extend([*generator.take(5), *generator.take(5)]), daemon=True)
    thread.start()
    thread.join(20)
    # In order among themselves, by the clock as it is now, and under a number that nobody else has.
    assert len(set(made)) == 10
    assert made == sorted(made)
    assert time_of(made[0]) < time_of(before[0]) - dt.timedelta(minutes=59)
    assert generator._node != node
