"""Opens and clicks of machines are written down, and do not count as a person's."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import ids
from delivery.callbacks import outbox
from delivery.models import Message, Status, Waiting
from delivery.services import quota
from tests.tracking.mail import Sent, send
from tests.tracking.test_automatic import BROWSER, GMAIL_PROXY
from tracking import recording
from tracking.hits import Hit
from tracking.models import Event

LINKS = ["https://shop.example/new?for=Ann&x=1", "https://one.example/", "https://shop.example/sale"]


def delivered(seconds_ago: float = 0, **variables: str) -> Sent:
    sent = send(page="https://one.example/", **variables)
    Waiting.objects.filter(message_id=sent.message.pk).delete()
    at = timezone.now() - dt.timedelta(seconds=seconds_ago)
    Message.objects.filter(pk=sent.message.pk).update(status=Status.DELIVERED, sent_at=at)
    sent.message.refresh_from_db()
    return sent


def hit(sent: Sent, seconds: float, link: str = "", agent: str = BROWSER) -> Hit:
    """So long after delivery."""
    assert sent.message.sent_at
    at = sent.message.sent_at + dt.timedelta(seconds=seconds)
    return Hit(
        ids.id_at(at) + ids.new_id() % 4096, sent.message.pk, "click" if link else "open", link, "192.0.2.1", agent
    )


def rules() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("id").values_list("kind", "automatic"))


def times(sent: Sent) -> tuple[bool, bool, bool]:
    """Opened, opened by a machine, clicked."""
    message = Message.objects.get(pk=sent.message.pk)
    return message.opened_at is not None, message.opened_by_machine_at is not None, message.clicked_at is not None


def test_an_open_at_once_is_a_machines_and_one_later_a_persons(db: None, client: Client) -> None:
    sent = delivered(seconds_ago=0.5)
    client.get(sent.open, HTTP_USER_AGENT=BROWSER)
    assert times(sent) == (False, True, False)
    recording.write([hit(sent, 60)])
    assert times(sent) == (True, True, False)
    assert rules() == [("open", "at_once"), ("open", "")]


def test_what_comes_while_the_mail_is_handed_over_comes_at_once(db: None, client: Client) -> None:
    sent = send()
    Waiting.objects.filter(message_id=sent.message.pk).update(claim_token=5)
    client.get(sent.open, HTTP_USER_AGENT=BROWSER)
    assert times(sent) == (False, True, False)


def test_prefetching_counts_for_nobody(db: None, client: Client) -> None:
    sent = delivered(60)
    for header in ("HTTP_PURPOSE", "HTTP_SEC_PURPOSE", "HTTP_X_MOZ"):
        client.get(sent.open, HTTP_USER_AGENT=BROWSER, **{header: "prefetch"})
        client.get(sent.click(0), HTTP_USER_AGENT=BROWSER, **{header: "prefetch"})
    assert times(sent) == (False, True, False)
    assert {rule for _kind, rule in rules()} == {"prefetch"}


def test_a_proxy_that_fetches_when_people_look_counts_and_is_named(db: None, client: Client) -> None:
    sent = delivered(60)
    client.get(sent.open, HTTP_USER_AGENT=GMAIL_PROXY)
    event = Event.objects.get()
    assert (event.client, event.automatic) == ("Gmail (image proxy)", "")
    assert times(sent) == (True, False, False)


def test_an_event_keeps_what_pages_filter_by(db: None, client: Client) -> None:
    sent = delivered(60)
    client.get(sent.open)
    event, message = Event.objects.get(), sent.message
    assert (event.sender_domain_id, event.receiving_domain_id) == (
        message.sender_domain_id,
        message.receiving_domain_id,
    )
    assert event.sent_at == message.sent_at


def test_a_burst_over_most_links_is_a_machines(db: None) -> None:
    sent = delivered()
    recording.write([hit(sent, 10 + n, link) for n, link in enumerate(LINKS)])
    assert rules() == [("click", "burst")] * 3
    assert times(sent) == (False, False, False)


def test_a_burst_that_comes_in_several_batches_is_taken_back(db: None) -> None:
    sent = delivered()
    for n, link in enumerate(LINKS):
        recording.write([hit(sent, 10 + n, link)])
        assert times(sent)[2] is (n < 2)
    assert rules() == [("click", "burst")] * 3


def test_a_persons_click_beside_a_burst_stays_a_persons(db: None) -> None:
    sent = delivered()
    recording.write([hit(sent, 10 + n, link) for n, link in enumerate(LINKS[:2])])
    persons = hit(sent, 40, LINKS[0])
    recording.write([hit(sent, 12, LINKS[2]), persons])
    assert rules() == [("click", "burst")] * 3 + [("click", "")]
    assert Message.objects.get(pk=sent.message.pk).clicked_at == ids.time_of(persons.id)


def test_what_follows_from_hits_hears_each_first_once_and_what_is_taken_back(db: None, monkeypatch: Any) -> None:
    heard: list[tuple[list[tuple[str, str, bool]], list[tuple[int, bool]]]] = []

    def follow(recorded: Any, taken_back: Any) -> None:
        heard.append(
            (
                [(one.hit.kind, one.automatic, one.first) for one in recorded],
                [(one.clicks, one.unique) for one in taken_back],
            )
        )

    monkeypatch.setattr(recording, "_follow", follow)
    sent = delivered()
    batch = [hit(sent, 5), hit(sent, 6), hit(sent, 7, LINKS[0])]
    recording.write(batch)
    recording.write(batch)
    recording.write([hit(sent, 8, LINKS[1]), hit(sent, 9, LINKS[2])])
    assert heard == [
        ([("open", "", True), ("open", "", False), ("click", "", True)], []),
        ([], []),
        ([("click", "burst", False), ("click", "burst", False)], [(1, True)]),
    ]


def test_a_batch_of_any_size_asks_the_same_number_of_questions(db: None) -> None:
    mails = [delivered() for _n in range(12)]
    recording.write([hit(mails[0], 3, LINKS[0])])
    asked = []
    for few in (mails[1:2], mails[2:]):
        outbox.forget()  # it looks now and then by the clock: each time, here
        with CaptureQueriesContext(connection) as queries:
            recording.write([hit(sent, 4, LINKS[0]) for sent in few] + [hit(sent, 5) for sent in few])
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 12


def test_only_a_persons_first_open_warms_a_domain_up(db: None) -> None:
    sent = send(to="ann@reader.example")
    Waiting.objects.all().delete()
    Message.objects.filter(pk=sent.message.pk).update(status=Status.DELIVERED, sent_at=timezone.now())
    sent.message.refresh_from_db()
    day = quota.open_day(sent.message.sender_domain_id, quota.local_day(timezone.now()))
    assert day is not None
    recording.write([hit(sent, 1), hit(sent, 3), hit(sent, 4)])
    day.refresh_from_db()
    assert day.opens == 1


@pytest.mark.django_db(transaction=True)
def test_a_burst_that_two_processes_write_at_once_is_seen_whole() -> None:
    for _round in range(5):
        sent = delivered()
        start = threading.Barrier(2)

        def write(half: list[Hit], start: threading.Barrier = start) -> None:
            try:
                start.wait()
                recording.write(half)
            finally:
                connection.close()

        clicks = [hit(sent, 10 + n / 10, link) for n, link in enumerate(LINKS)]
        halves = [clicks[:2], clicks[2:]]
        threads = [threading.Thread(target=write, args=[half]) for half in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        of_it = Event.objects.filter(message_id=sent.message.pk)
        assert list(of_it.values_list("automatic", flat=True)) == ["burst"] * 3
        assert times(sent) == (False, False, False)
