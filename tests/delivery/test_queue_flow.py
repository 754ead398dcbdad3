"""What is counted of the queues: at the request, by engines, added up with age, and read as averages."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from django.utils import timezone

from delivery.engine.settle import Settled, settle
from delivery.engine.tally import Tally
from delivery.models import Flow, Queue, Status
from delivery.services import flow
from delivery.services.pauses import wake_group
from tests.engine.world import claim_all, delivered, exchange, started
from tests.factories.delivery import AddressFactory
from tests.factories.queues import counted, queue_with

NOW = dt.datetime(2026, 11, 21, 12, 0, 3, tzinfo=dt.UTC)


def sums(*names: str) -> tuple[int, ...]:
    rows = list(Flow.objects.all())
    return tuple(sum(getattr(row, name) for row in rows) for name in names)


@pytest.mark.django_db
def test_mail_that_joins_a_queue_is_counted_where_it_is_requested() -> None:
    started(["ann@a.test", "bob@a.test", "cid@b.test"], AddressFactory())
    assert sums("joined", "tried", "left") == (3, 0, 0)
    assert sorted(Flow.objects.values_list("joined", flat=True)) == [1, 2]
    assert set(Flow.objects.values_list("queue_id", flat=True)) == set(Queue.objects.values_list("pk", flat=True))


@pytest.mark.django_db
def test_an_engine_counts_what_it_settled_and_writes_each_bucket_once() -> None:
    started([f"p{n}@a.test" for n in range(6)], AddressFactory())
    Flow.objects.all().delete()
    first, second, third, fourth, fifth, sixth = claim_all()
    tally = Tally(7)
    gone = exchange(550, "550 5.1.1 no such user")
    batch = [
        delivered(first),
        Settled(second, Status.INVALID, reason="not_exist", last_reply="550 5.1.1 no", exchange=gone, verdict=None),
        Settled(third, Status.SENDING, due=NOW + dt.timedelta(minutes=5), exchange=exchange(451, "451 later")),
        Settled(fourth, Status.INVALID, reason="unsubscribe"),
        Settled(fifth, Status.SENDING),
    ]
    settle(batch, now=NOW, tally=tally)
    tally.write(now=NOW)
    assert not Flow.objects.exists(), "the bucket is not over"
    tally.write(now=NOW + dt.timedelta(seconds=5))
    tally.write(now=NOW + dt.timedelta(seconds=10))
    names = ("joined", "tried", "left", "sent", "delivered", "bounced", "rejected")
    assert sums(*names) == (0, 3, 3, 2, 1, 1, 1)
    row = Flow.objects.get()
    assert (row.worker, row.at, row.seconds) == (7, NOW.replace(second=0), 5)
    assert row.reply == "550 5.1.1 no"
    settle([delivered(sixth)], now=NOW, tally=tally)
    settle([delivered(sixth)], now=NOW, tally=tally)
    tally.write(now=NOW, everything=True)
    assert sums("delivered") == (2,), "what was lost to somebody else is not counted"


@pytest.mark.django_db
def test_rows_are_added_up_with_age_and_no_count_is_lost() -> None:
    queue = queue_with("a.test")
    for second in range(0, 8 * 3600, 5 * 60):
        counted(queue, at=flow.bucket(NOW - dt.timedelta(seconds=second)), joined=3, delivered=2, worker=second)
    before = sums("joined", "delivered")
    assert flow.fold(now=NOW)
    assert sums("joined", "delivered") == before
    widths = list(Flow.objects.order_by("-at").values_list("seconds", flat=True))
    assert (widths[0], widths[-1]) == (5, 600)
    assert 60 in widths
    assert flow.fold(now=NOW) == 0, "nothing is left to do"
    flow.fold(now=NOW + flow.KEPT + dt.timedelta(hours=9))
    assert sums("joined") == (0,)


@pytest.mark.django_db
@pytest.mark.parametrize(("over", "step"), [(5, 5), (30, 60), (180, 300), (24 * 60, 1800), (7 * 24 * 60, 10_800)])
def test_a_chart_has_every_point_and_all_that_was_counted(over: int, step: int) -> None:
    queue = queue_with("a.test")
    end = flow.last_end(NOW)
    moments = [end - dt.timedelta(seconds=5), end - dt.timedelta(minutes=over) + dt.timedelta(seconds=15)]
    for at in moments:
        counted(queue, at=at, joined=600)
    flow.fold(now=NOW)
    points = flow.points(over=dt.timedelta(minutes=over), step=step, now=NOW)
    assert {later.at - one.at for one, later in itertools.pairwise(points)} == {dt.timedelta(seconds=step)}
    lengths = [min(step, (end - point.at).total_seconds()) for point in points]
    counts = [point.rates["joined"] * length for point, length in zip(points, lengths, strict=True)]
    assert sum(counts) == pytest.approx(1200)


@pytest.mark.django_db
def test_a_chart_may_be_of_some_queues_or_one_sender_domain() -> None:
    one, other = queue_with("a.test"), queue_with("b.test")
    at = flow.last_end(NOW) - dt.timedelta(seconds=5)
    counted(one, at=at, joined=5, sender_domain_id=1)
    counted(other, at=at, joined=10, sender_domain_id=2)

    def last(**asked: object) -> float:
        return flow.points(over=dt.timedelta(minutes=5), step=5, now=NOW, **asked)[-1].rates["joined"]  # type: ignore[arg-type]

    assert (last(), last(queue_ids=[one.pk]), last(sender_domain_id=2), last(queue_ids=[])) == (3.0, 1.0, 2.0, 0.0)


@pytest.mark.django_db
def test_waking_a_group_stops_when_it_has_done_enough() -> None:
    queue = queue_with("a.test", later=3)
    assert wake_group(queue.receiving_domain.limit_group_id, now=timezone.now()) == 3
    assert wake_group(queue.receiving_domain.limit_group_id, now=timezone.now()) == 0
