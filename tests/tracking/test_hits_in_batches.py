"""The queue between requests and the database: bounded, in order, and patient while the database is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DataError, OperationalError

from console import ids
from tests.installation import until
from tests.tracking.mail import send
from tracking import hits, recording
from tracking.hits import Hit, Queue
from tracking.models import Event


def hit(number: int) -> Hit:
    return Hit(number, 1, "open")


class Book:
    """Takes what is written; `fails` is raised instead, as long as it is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.fails: Exception | None = None
        self.shut = threading.Event()
        self.shut.set()

    def __call__(self, batch: Sequence[Hit]) -> None:
        assert self.shut.wait(60)
        if self.fails is not None:
            raise self.fails
        self.batches.append([one.id for one in batch])

    @property
    def written(self) -> list[int]:
        return [id for batch in self.batches for id in batch]


@contextmanager
def queue(book: Book, **options: Any) -> Iterator[Queue]:
    made = Queue(book, **{"seconds": 0.05, **options})
    try:
        yield made
    finally:
        book.shut.set()
        book.fails = None
        made.close(30)


def test_hits_are_gathered_and_written_in_order() -> None:
    book = Book()
    with queue(book) as line:
        for number in range(1200):
            line.add(hit(number))
        until(lambda: len(book.written) == 1200, "all written")
    assert book.written == list(range(1200))
    assert max(map(len, book.batches)) <= hits.BATCH
    assert len(book.batches) < 100


def test_at_the_end_all_is_written_and_what_comes_later_at_once() -> None:
    book = Book()
    with queue(book, seconds=600) as line:
        for number in range(700):
            line.add(hit(number))
        line.close(30)
        assert book.written == list(range(700))
        line.add(hit(700))
        assert book.written[-1] == 700


def test_without_seconds_each_is_written_by_whoever_brings_it() -> None:
    book = Book()
    with queue(book, seconds=0) as line:
        line.add(hit(1))
        assert book.batches == [[1]]


def test_while_the_database_is_away_hits_wait_up_to_a_bound(caplog: Any) -> None:
    book = Book()
    book.fails = OperationalError("away")
    with queue(book, most=20) as line:
        line.add(hit(0))
        until(lambda: line._away, "it is seen")
        for number in range(1, 50):
            line.add(hit(number))
        book.fails = None
        until(lambda: len(book.written) == 20, "written when it is back")
        line.add(hit(50))
        until(lambda: len(book.written) == 21, "and what comes then")
    assert book.written == [*range(20), 50]


def test_when_the_writer_cannot_follow_hits_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "PATIENCE", 0.01)
    monkeypatch.setattr(hits, "WAIT_SECONDS", 600)
    book = Book()
    with queue(book) as line:
        book.shut.clear()
        line.add(hit(0))
        time.sleep(0.2)
        late = threading.Thread(target=line.add, args=[hit(1)])
        late.start()
        late.join(0.2)
        assert late.is_alive()
        book.shut.set()
        late.join(60)
        assert not late.is_alive()
        until(lambda: book.written == [0, 1], "both written")


def test_in_a_full_queue_a_hit_is_written_by_whoever_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "WAIT_SECONDS", 0.01)
    book = Book()
    with queue(book, most=3, seconds=600) as line:
        for number in range(4):
            line.add(hit(number))
        assert book.written == [3]
    assert book.written == [3, 0, 1, 2]


def test_one_that_cannot_be_written_does_not_take_the_others_with_it() -> None:
    written: list[int] = []

    def write(batch: Sequence[Hit]) -> None:
        if any(one.id == 2 for one in batch):
            raise DataError("not this one")
        written.extend(one.id for one in batch)

    line = Queue(write, seconds=0.05)
    for number in range(5):
        line.add(hit(number))
    line.close(30)
    assert written == [0, 1, 3, 4]


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_failed_after_it_was_written_is_not_written_twice() -> None:
    message = send().message
    failed: list[int] = []

    def write(batch: Sequence[Hit]) -> None:
        recording.write(batch)
        if not failed:
            failed.append(len(batch))
            raise OperationalError("the connection was lost with the answer to COMMIT")

    line = Queue(write, seconds=0.05)
    for id in ids.new_ids(30):
        line.add(Hit(id, message.pk, "open"))
    line.close(30)
    assert failed
    assert Event.objects.count() == 30


def test_what_was_written_before_is_passed_over_and_the_rest_of_the_batch_written(db: None) -> None:
    message = send().message
    first, second, third = (Hit(id, message.pk, "open") for id in ids.new_ids(3))
    recording.write([first, second])
    recording.write([first, second, third])
    assert set(Event.objects.values_list("pk", flat=True)) == {first.id, second.id, third.id}
