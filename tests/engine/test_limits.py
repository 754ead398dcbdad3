"""How much of a receiver's patience is used: rules, pace, the rate's line, pauses."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from delivery.engine import shape
from delivery.engine.shape import BadProviders, Limits, Permit
from delivery.models import LimitGroup, QueuePause
from delivery.services import pauses


def test_the_rules_that_are_shipped_can_be_read() -> None:
    default, known = shape.providers()
    assert default.connections > 0
    assert {"google", "microsoft", "yahoo", "tencent"} <= {provider.name for provider in known}


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        (["gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"], "google"),
        (["example-com.mail.protection.outlook.com"], "microsoft"),
        (["hotmail-com.olc.protection.outlook.com"], "microsoft"),
        (["mta5.am0.yahoodns.net"], "yahoo"),
        (["mxbiz1.qq.com", "mxbiz2.qq.com"], "tencent"),
        (["mx.example.org"], None),
        (["aspmx.l.google.com", "mx.example.org"], None),
        ([], None),
    ],
)
def test_a_provider_is_known_by_its_mx_hosts(hosts: list[str], name: str | None) -> None:
    found = shape.provider_of(hosts)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    "text",
    [
        "[[provider]]\nname = 'x'",
        "[[provider]]\nname = 'x'\nmx = ['*']\nconnections = 0",
        "[[provider]]\nname = 'x'\nmx = ['a']\n[[provider]]\nname = 'x'\nmx = ['b']",
        "[default]\nrate = -1",
    ],
)
def test_rules_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadProviders):
        shape.read_providers(text)


@given(st.integers(1, 500), st.integers(1, 40), st.floats(shape.SLOWEST, 1))
def test_parts_of_the_connections_never_exceed_the_whole(connections: int, of: int, pace: float) -> None:
    of = min(of, connections)
    assert Limits(connections).part(of, pace).connections * of <= connections


def test_the_pace_halves_and_creeps_back() -> None:
    pace = shape.slowed(1.0)
    assert pace == 0.5
    assert 0.5 < shape.crept(pace, 3) < 1.0
    assert shape.crept(pace, 60) == 1.0
    for _n in range(50):
        pace = shape.slowed(pace)
    assert pace == shape.SLOWEST


@given(st.floats(0.5, 50), st.lists(st.floats(0, 0.5), min_size=30, max_size=120))
def test_no_second_sees_more_than_the_rate(rate: float, gaps: list[float]) -> None:
    permit = Permit(Limits(rate=rate), until=1e9)
    now, sent = 100.0, []
    for gap in gaps:
        now += gap
        sent.append(now + permit.wait(now))
    for begin in sent:
        assert sum(begin <= moment < begin + 1 - 1e-9 for moment in sent) <= max(1, rate) + 1e-6


@pytest.mark.django_db
def test_too_much_pauses_and_halves_once_however_many_answers_come() -> None:
    group = LimitGroup.objects.create(name="mx:busy.test").pk
    now = timezone.now()
    for _answer in range(20):
        pauses.slow_down(
            group, "127.0.0.2", reason=QueuePause.Reason.QUOTA, said="421 slow down", now=now, pause=pauses.PAUSE
        )
    state = pauses.states([group], now=now)[group, "127.0.0.2"]
    assert (state.pace, state.paused_until, state.reason) == (0.5, now + pauses.PAUSE, "quota")
    assert (group, "127.0.0.3") not in pauses.states([group], now=now), "the other sending IP goes on"


@pytest.mark.django_db
def test_after_the_pause_it_goes_on_slower_and_a_second_time_slower_still() -> None:
    group = LimitGroup.objects.create(name="mx:busy.test").pk
    now = timezone.now()

    def too_much(at: dt.datetime) -> None:
        pauses.slow_down(group, "", reason=QueuePause.Reason.QUOTA, said="421", now=at, pause=pauses.PAUSE)

    too_much(now)
    later = now + pauses.PAUSE
    state = pauses.states([group], now=later)[group, ""]
    assert state.paused_until is None
    assert state.pace == pytest.approx(0.5)
    too_much(later)
    assert pauses.states([group], now=later)[group, ""].pace == pytest.approx(0.25)
    assert pauses.states([group], now=later + dt.timedelta(hours=2))[group, ""].pace == 1.0


@pytest.mark.django_db
def test_recovering_ends_every_pause() -> None:
    group = LimitGroup.objects.create(name="mx:busy.test").pk
    now = timezone.now()
    pauses.pause(group, by="operator", now=now)
    assert pauses.states([group], now=now)[group, ""].paused_until is not None
    pauses.recover(group, now=now)
    assert pauses.states([group], now=now) == {}
