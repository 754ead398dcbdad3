"""How much of a receiver's patience is used: rules, pace, the rate's line, pauses."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from delivery.engine import shape
from delivery.engine.shape import BadProviders, Limits, Permit
from delivery.models import LimitGroup, QueuePause
from delivery.services import pauses

PAUSE = dt.timedelta(minutes=Limits().pause_minutes)


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
        "[default]\npause_minutes = 0",
        "[[provider]]\nname = 'x'\nmx = ['a']\nconections = 3",
    ],
)
def test_rules_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadProviders):
        shape.read_providers(text)


def test_a_provider_has_the_defaults_but_for_what_it_says_and_the_console_says_last() -> None:
    _default, [provider] = shape.read_providers(
        "[default]\nconnections = 7\n[[provider]]\nname = 'x'\nmx = ['a']\nretry_minutes = 30"
    )
    assert provider.limits == Limits(connections=7, retry_minutes=30)
    given = {"connections": None, "rate": 0.5, "pause_minutes": 60}
    assert provider.limits.but(given) == Limits(connections=7, rate=0.5, pause_minutes=60, retry_minutes=30)


@given(st.integers(1, 500), st.integers(1, 40), st.floats(shape.SLOWEST, 1))
def test_parts_of_the_connections_never_exceed_the_whole(connections: int, of: int, pace: float) -> None:
    of = min(of, connections)
    assert Limits(connections).part(of, pace).connections * of <= connections


def test_the_pace_creeps_back_to_the_whole_and_no_further() -> None:
    assert 0.5 < shape.crept(0.5, 3) < 1.0
    assert shape.crept(0.5, 60) == 1.0
    assert shape.crept(0.5, -60) == 0.5


def most_in_a_second(sent: list[float]) -> int:
    sent = sorted(sent)
    return max(bisect_left(sent, begin + 1 - 1e-9) - place for place, begin in enumerate(sent))


@given(
    st.floats(0.5, 50),
    st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.3) | st.just(0.0)), min_size=30, max_size=120),
)
def test_no_second_sees_more_than_the_rate(rate: float, steps: list[tuple[float, float]]) -> None:
    """However mail comes, and however late it begins once it may: what is late does not meet what is on time."""
    permit = Permit(Limits(rate=rate), until=1e9)
    now, sent = 100.0, []
    for gap, late in steps:
        now += gap
        if wait := permit.wait(now):
            now += wait + late
        permit.begin(now)
        sent.append(now)
    assert most_in_a_second(sent) <= max(1, rate) + 1e-6


@given(st.floats(1, 60), st.lists(st.tuples(st.floats(0.01, 2), st.integers(0, 3)), min_size=1, max_size=30))
def test_no_second_sees_more_than_the_rate_while_shares_change_hands(
    rate: float, moves: list[tuple[float, int]]
) -> None:
    """Workers come, go and get larger and smaller parts; each sends as fast as its part allows."""
    limits = Limits(connections=20, rate=rate)
    permits = [Permit(limits) for _worker in range(4)]
    sent: list[float] = []
    now = 100.0
    for seconds, who in moves:
        # `who` comes or goes. What must become smaller becomes so at once, what may grow grows then.
        here = [n for n, permit in enumerate(permits) if (permit.until > now) != (n == who)][: limits.parts]
        for n, permit in enumerate(permits):
            of = min(len(here), limits.parts)
            permit.renew(limits.part(of, 1.0), (of, 1e9), now) if n in here else permit.renew(
                limits, (of or 1, 0.0), now
            )
        end = now + seconds
        while any(permit.until > now for permit in permits):
            at, permit = min(((now + p.wait(now), p) for p in permits if p.until > now), key=lambda pair: pair[0])
            if at >= end:
                break
            now = at
            permit.begin(now)
            sent.append(now)
        now = end
    if sent:
        assert most_in_a_second(sent) <= rate + 1e-6


def test_parts_are_of_whole_mails_a_second_and_whole_connections() -> None:
    assert Limits(connections=20).parts == 20
    assert Limits(connections=20, rate=3.5).parts == 3
    assert Limits(connections=20, rate=0.2).parts == 1
    assert Limits(connections=2, rate=50).parts == 2


@pytest.mark.django_db
def test_too_much_pauses_and_halves_once_however_many_answers_come() -> None:
    group = LimitGroup.objects.create(name="mx:busy.test").pk
    now = timezone.now()
    for _answer in range(20):
        pauses.slow_down(group, "127.0.0.2", reason=QueuePause.Reason.QUOTA, said="421 slow down", now=now, pause=PAUSE)
    state = pauses.states([group], now=now)[group, "127.0.0.2"]
    assert (state.pace, state.paused_until, state.reason) == (0.5, now + PAUSE, "quota")
    assert (group, "127.0.0.3") not in pauses.states([group], now=now), "the other sending IP goes on"


@pytest.mark.django_db
def test_after_the_pause_it_goes_on_slower_and_a_second_time_slower_still() -> None:
    group = LimitGroup.objects.create(name="mx:busy.test").pk
    now = timezone.now()

    def too_much(at: dt.datetime) -> None:
        pauses.slow_down(group, "", reason=QueuePause.Reason.QUOTA, said="421", now=at, pause=PAUSE)

    too_much(now)
    later = now + PAUSE
    state = pauses.states([group], now=later)[group, ""]
    assert state.paused_until is None
    assert state.pace == pytest.approx(0.5)
    too_much(later)
    assert pauses.states([group], now=later)[group, ""].pace == pytest.approx(0.25)
    assert pauses.states([group], now=later + dt.timedelta(hours=2))[group, ""].pace == 1.0
    for number in range(2, 20):
        too_much(now + number * PAUSE)
    assert pauses.states([group], now=now + 20 * PAUSE)[group, ""].pace == pytest.approx(shape.SLOWEST)


@pytest.mark.django_db
def test_a_group_is_paused_everywhere_when_no_sending_ip_is_left_to_it(settings: Any) -> None:
    settings.SENDING_IPS = ["127.0.0.2", "127.0.0.3"]
    half, whole, by_hand = (LimitGroup.objects.create(name=f"mx:{name}.test").pk for name in "abc")
    now = timezone.now()
    for group, ip in ((half, "127.0.0.2"), (whole, "127.0.0.2"), (whole, "127.0.0.3")):
        pauses.slow_down(group, ip, reason=QueuePause.Reason.QUOTA, said="421", now=now, pause=PAUSE)
    pauses.pause(by_hand, by="operator", now=now)
    assert set(pauses.everywhere(now=now)) == {whole, by_hand}
    assert pauses.everywhere(now=now + PAUSE) == [by_hand]


@pytest.mark.django_db
def test_recovering_ends_every_pause() -> None:
    group = LimitGroup.objects.create(name="mx:busy.test").pk
    now = timezone.now()
    pauses.pause(group, by="operator", now=now)
    assert pauses.states([group], now=now)[group, ""].paused_until is not None
    pauses.recover(group, now=now)
    assert pauses.states([group], now=now) == {}
