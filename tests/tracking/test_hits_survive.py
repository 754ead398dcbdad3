"""Hits that were answered are in the database when the web part ends in order, and almost all when it is killed."""

from __future__ import annotations

import signal

import pytest

from tests.installation import until
from tests.tracking.mail import send
from tests.web import Web
from tracking.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


def test_nothing_that_was_answered_is_lost_on_sigterm() -> None:
    sent = send()
    # So long would they wait, were they not written at the end.
    with Web(HIT_SECONDS="600", WEB_WORKERS="2") as web:
        answered = web.hit([sent.open, sent.click(2)] * 150)
        assert answered == 300
        assert Event.objects.count() == 0
        web.signal(signal.SIGTERM)
        web.process.wait(60)
        assert Event.objects.count() == 300, web.said()
    sent.message.refresh_from_db()
    assert sent.message.opened_at is not None


def test_a_kill_costs_only_what_came_since_the_last_writing() -> None:
    sent = send()
    with Web() as web:
        assert web.hit([sent.open] * 200) == 200
        until(lambda: Event.objects.count() == 200, "all are written without a stop", 30)
        later = web.hit([sent.open] * 40)
        web.signal(signal.SIGKILL)
        web.process.wait(60)
    assert 200 <= Event.objects.count() <= 200 + later


def test_a_worker_that_is_replaced_leaves_nothing_behind() -> None:
    sent = send()
    with Web(HIT_SECONDS="600") as web:
        assert web.hit([sent.open] * 50) == 50
        web.signal(signal.SIGHUP)
        until(lambda: Event.objects.count() == 50, "written by the workers that go", 60)
        assert web.hit([sent.open] * 10) == 10
