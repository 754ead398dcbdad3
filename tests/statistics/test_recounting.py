"""What was added up as it happened is what the rows say, whatever happened; and where it is not, it is put right."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from console import ids
from console.models import ApiUser
from console.partitions import _partitions, ensure, month_start
from delivery.models import Delta, Message, SenderAddress, Status, Summary, Total
from delivery.services import holding, rollup, tasks
from delivery.services.columns import COLUMNS
from delivery.services.outcomes import Correction, correct
from delivery.simulator.moods import MOODS
from delivery.simulator.server import Simulator
from suppression import address
from suppression import services as suppression
from tests.engine.world import deliver, started
from tests.factories.sending import message
from tracking import complaints, recording, unsubscribing
from tracking.hits import Hit
from tracking.models import Event
from tracking.statistics import recount
from tracking.visitors import Visitor

HOUR = dt.timedelta(hours=1)
# In ids: 40 days.
LONG_AFTER = (40 * 86_400_000) << ids.SHIFT


def differences(*, mend: bool = False) -> list[recount.Difference]:
    now = timezone.now()
    return [one for hour in recount.recount(now - 2 * HOUR, now, mend=mend) for one in hour.differences]


def total() -> dict[str, int]:
    """What the pages would show of everything."""
    rows = Total.objects.values_list(*COLUMNS)
    return dict(zip(COLUMNS, (sum(column) for column in zip(*rows, strict=True)), strict=True))


class Meanwhile:
    """Does something again and again beside the test, on a connection of its own, until the test leaves the block."""

    def __init__(self, *work: Callable[[], Any]) -> None:
        self.work, self.stop, self.failed = work, threading.Event(), []  # type: ignore[var-annotated]
        self.threads = [threading.Thread(target=self.run, args=[one]) for one in work]

    def run(self, work: Callable[[], Any]) -> None:
        try:
            while not self.stop.wait(0.02):
                work()
        except Exception as error:  # told by the test
            self.failed.append(error)
        finally:
            connection.close()

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *exc: Any) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.failed


def react(chooser: random.Random) -> None:
    """Recipients and their programs, as often as they like: most hits are repeated, some complain twice."""
    people = list(Message.objects.filter(status=Status.DELIVERED))
    for place, one in enumerate(people):
        # Every third opens it twice, whatever else.
        for _time in range(2 if place % 3 == 0 else 0):
            recording.write([Hit(ids.new_id() + LONG_AFTER, one.pk, "open", "", None, "Mail")])
        for _time in range(chooser.randrange(4)):
            link = chooser.choice(["", "https://a.test/", "https://b.test/", "https://c.test/"])
            agent = chooser.choice(["Mail", "curl/8.4.0"])
            kind: Any = "click" if link else "open"
            # Some come with the mail, the others long after.
            later = chooser.choice([0, LONG_AFTER])
            recording.write([Hit(ids.new_id() + later, one.pk, kind, link, "192.0.2.1", agent)])
        if chooser.random() < 0.2:
            complaints.complain(one, now=timezone.now(), source="report", detail={})
            complaints.complain(one, now=timezone.now(), source="page", detail={})
        if chooser.random() < 0.2:
            for _time in range(2):
                unsubscribing.unsubscribe(one.pk, Visitor(), now=timezone.now())
            if chooser.random() < 0.5:
                unsubscribing.take_back(one.pk, Visitor(), now=timezone.now())


def return_late(chooser: random.Random) -> set[int]:
    """Bounce mails about delivered mail, each of them twice."""
    people = Message.objects.filter(status=Status.DELIVERED).order_by("pk").values_list("pk", flat=True)[::5]
    corrections = [
        Correction(one, Status.SOFT_BOUNCE, chooser.choice(["not_exist", "spam", "other"]), "5.0.0 Returned")
        for one in people
    ]
    for _time in range(2):
        corrected = correct(corrections, now=timezone.now())
    assert not corrected, "the second time changes nothing"
    return set(people)


def test_the_sums_are_what_the_rows_say_after_rough_weather(
    outside: Simulator, sender: SenderAddress, hasty: None
) -> None:
    chooser = random.Random(7)
    blocked = address.parse("success+blocked@simulator.test")
    suppression.unsubscribe(blocked.key, api_user_id=ApiUser.console(ApiUser.Type.BATCH).pk, now=timezone.now())
    people = [blocked.canonical, "suppressionlist@simulator.test"]
    for local in ("success", "bounce", "spam", "blocked", "rejected", "deferred", "full", "dropafter"):
        people += [f"{local}+{n}@simulator.test" for n in range(6)]
    if outside.options.moods:
        people += [f"ann{n}@{mood.domain}" for mood in MOODS if mood.final for n in range(2)]

    found: list[recount.Difference] = []
    with Meanwhile(lambda: rollup.fold(now=timezone.now()), lambda: found.extend(differences())):
        started(people, sender, label="spring", control_percent=20)
        stopped = started(people, sender, label="=never", control_percent=20)
        tasks.stop(stopped, now=timezone.now())
        holding.cancel_task(stopped.pk, now=timezone.now())
        deliver(idle=0.5)
        react(chooser)
        returned = return_late(chooser)
        react(chooser)
    assert found == [], "while mail flowed"
    rollup.fold(now=timezone.now())
    assert not Delta.objects.exists()
    assert differences() == []

    by_status = Counter(Message.objects.values_list("status", flat=True))
    assert by_status[Status.CONTROL_GROUP] and by_status[Status.CANCELLED] and by_status[Status.INVALID]
    shown = total()
    assert shown["requested"] == len(people) * 2 - by_status[Status.CONTROL_GROUP] - by_status[Status.CANCELLED]
    accepted = sum(not one.unsaid for one in outside.accepted())
    assert shown["delivered"] == by_status[Status.DELIVERED] == accepted - len(returned)
    assert returned
    assert shown["rejected"] == Message.objects.filter(reason__in=["blacklist", "unsubscribe"]).count() > 0
    failed = sum(shown[name] for name in ("rejected", "invalid", "spam", "other"))
    assert shown["requested"] == shown["delivered"] + failed, "all of it has ended"
    assert shown["paid"] == 0, "the simulator's costs nothing"
    opens = Event.objects.filter(kind=Event.Kind.OPEN)
    assert shown["opens"] == opens.filter(automatic="").count() > shown["unique_opens"] > 0
    assert shown["automatic_opens"] == opens.exclude(automatic="").count() > 0
    assert shown["unique_clicks"] == Message.objects.exclude(clicked_at=None).count() > 0
    complained = Event.objects.filter(kind=Event.Kind.COMPLAINT)
    assert complained.count() == 2 * shown["complaints"] > 0, "twice by each, and counted once"
    left = Event.objects.filter(kind=Event.Kind.UNSUBSCRIBE).values("message_id").distinct()
    assert shown["unsubscriptions"] == left.count() > 0, "once, taken back or not"


@pytest.mark.django_db(transaction=True)
def test_what_differs_is_found_and_mended() -> None:
    first = message("ann@example.org", label="a")
    for number in range(2):
        message(f"ann{number}@example.org", label="a", version=first.version)
    message("bob@example.com", status=Status.INVALID, reason="not_exist", at=timezone.now() - HOUR)
    wanted = "requested 0 instead of 3, paid 0 instead of 3, delivered 0 instead of 3"
    assert wanted in {one.what for one in differences()}
    assert differences(mend=True)
    assert differences() == [], "with what is not folded yet"
    rollup.fold(now=timezone.now())
    assert differences() == []
    assert total() == dict.fromkeys(COLUMNS, 0) | {"requested": 4, "paid": 4, "delivered": 3, "invalid": 1}

    # What is derived, alone.
    for derived in (Total, Summary):
        derived.objects.update(delivered=77)
        assert len(differences(mend=True)) > 0
        assert differences() == []
    assert total()["delivered"] == 3


@pytest.mark.django_db(transaction=True)
def test_the_command_says_what_differs_and_ends_with_1_until_it_is_mended() -> None:
    assert "nothing to count" in ran()
    message("ann@example.org")
    with pytest.raises(SystemExit):
        ran()
    assert "put right" in ran("--mend")
    said = ran()
    assert "requested 1" in said and "agree" in said
    assert "agree" in ran("--from", "2020-01-01", "--to", f"{timezone.localdate():%Y-%m-%d}")


def ran(*options: str) -> str:
    output = StringIO()
    call_command("recount_statistics", *options, stdout=output, stderr=output)
    return output.getvalue()


@pytest.mark.django_db(transaction=True)
def test_figures_of_mail_that_is_no_longer_kept_stay() -> None:
    long_ago = timezone.now() - dt.timedelta(days=400)
    old = Total.objects.create(at=long_ago, api_user_id=1, sender_domain_id=1, template_id=1, label="", delivered=9)
    message("ann@example.org")
    ran("--mend", "--from", "2020-01-01")
    old.refresh_from_db()
    assert old.delivered == 9


@pytest.mark.django_db(transaction=True)
def test_mail_whose_events_are_no_longer_kept_is_not_counted_again() -> None:
    """Events may be kept for a shorter time than messages: then nobody knows any more who opened what."""
    now = timezone.now()
    this_month = month_start(now)
    before = message("ann@example.org", at=this_month - HOUR)
    assert [one.start for one in recount.recount(this_month - HOUR, now)] == [this_month - HOUR]
    with connection.cursor() as cursor:
        # The oldest there are, whoever else made some.
        for name in _partitions("tracking_event"):
            if name <= f"tracking_event_{before.requested_at:%Y%m}":
                cursor.execute(f"DROP TABLE {name}")
    try:
        assert list(recount.recount(this_month - HOUR, now)) == []
    finally:
        ensure(now)


@pytest.mark.django_db(transaction=True)
def test_two_do_not_mend_at_once() -> None:
    message("ann@example.org")
    begun = recount.recount(timezone.now(), timezone.now() + HOUR, mend=True)
    next(begun)
    refused: list[Exception] = []

    def other() -> None:
        try:
            differences()
        except recount.AnotherRuns as error:
            refused.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(30)
    begun.close()
    assert refused
    assert differences() == []
