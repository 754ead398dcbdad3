"""The parts of a limit group that workers hold never add up to more than the whole."""

from __future__ import annotations

import os
import socket
from fractions import Fraction

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from delivery.engine import shares
from delivery.engine.shares import Wish, fitting
from delivery.models import LimitGroup, Share, Worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def group(db: None) -> int:
    return LimitGroup.objects.create(name="mx:shares.test").pk


def ask(worker: int, group: int, *, workers: int, connections: int = 20, opened: int = 0) -> int:
    got = shares.take(worker, {group: Wish(connections, opened, connections)}, workers=workers)
    return got[group].of if group in got else 0


def test_a_lone_worker_has_all_and_makes_room_for_a_second(group: int) -> None:
    assert ask(1, group, workers=1) == 1
    assert ask(2, group, workers=2) == 0, "the first still holds all"
    assert ask(1, group, workers=2) == 2
    assert ask(2, group, workers=2) == 2


def test_room_is_made_only_when_the_connections_have_closed(group: int) -> None:
    assert ask(1, group, workers=1) == 1
    assert ask(1, group, workers=2, opened=11) == 1
    assert ask(1, group, workers=2, opened=10) == 2


def test_no_more_parts_than_connections(group: int) -> None:
    assert ask(1, group, workers=3, connections=1) == 1
    assert ask(2, group, workers=3, connections=1) == 0


def test_the_part_of_a_worker_that_fell_silent_stays_reserved_until_its_connections_must_have_closed(
    group: int,
) -> None:
    assert ask(1, group, workers=2) == 2
    assert ask(2, group, workers=2) == 2
    age(group, 1, seconds=shares.SHARE_LEASE_SECONDS + 60)
    assert ask(2, group, workers=1) == 2, "it may be frozen, with its connections open"
    age(group, 1, seconds=shares.QUARANTINE_SECONDS)
    assert ask(2, group, workers=1) == 1


def test_what_a_worker_gives_back_is_free_at_once(group: int) -> None:
    assert ask(1, group, workers=2) == ask(2, group, workers=2) == 2
    shares.leave([1])
    assert ask(2, group, workers=1) == 1


def test_what_a_killed_process_of_this_machine_held_is_free_at_once(group: int) -> None:
    gone = os.fork()
    if not gone:
        os._exit(0)
    os.waitpid(gone, 0)
    host = socket.gethostname()
    shares.beat(1, f"{host}:1/{gone}")
    shares.beat(2, f"{host}:1/{os.getpid()}")
    shares.beat(3, f"another-host:1/{gone}")
    for worker in (1, 2, 3):
        assert ask(worker, group, workers=3) == 3
    assert shares.reap() == 1
    assert sorted(Worker.objects.values_list("token", flat=True)) == [2, 3]
    assert sorted(Share.objects.values_list("worker_token", flat=True)) == [2, 3]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(0, 20)), max_size=60), st.integers(1, 20))
def test_whatever_comes_and_goes_the_parts_fit(moves: list[tuple[int, int, int]], connections: int) -> None:
    held: dict[int, int] = {}
    for worker, workers, opened in moves:
        others = [part for other, part in held.items() if other != worker]
        part = fitting(others, held.get(worker), Wish(connections, opened, connections), workers=workers)
        if part:
            held[worker] = part
        elif worker in held and opened == 0:
            del held[worker]
        assert sum((Fraction(1, part) for part in held.values()), Fraction(0)) <= 1
        assert sum(max(1, connections // part) for part in held.values()) <= connections


def age(group: int, worker: int, *, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_share SET leased_until = clock_timestamp() - %s * interval '1 second' "
            "WHERE limit_group_id = %s AND worker_token = %s",
            [seconds, group, worker],
        )
