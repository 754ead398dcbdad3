"""What an engine may do towards a group, as the shares of others come and go."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from delivery.engine import permits
from delivery.engine.claim import Claimed
from delivery.engine.permits import Permits
from delivery.engine.types import Phase, Verdict
from delivery.models import LimitGroup, QueuePause, Share, Waiting
from tests.engine.world import claim_all, exchange, started
from tests.factories.delivery import AddressFactory

pytestmark = pytest.mark.django_db

IPS = ["127.0.0.2", "127.0.0.3"]


@pytest.fixture
def group(settings: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    settings.SENDING_IPS = IPS
    monkeypatch.setattr(permits, "FRESH_SECONDS", 0.0)
    return LimitGroup.objects.create(name="mx:permits.test", connections=8, rate=6).pk


def parts(group: int) -> dict[int, int]:
    return dict(Share.objects.filter(limit_group=group).values_list("worker_token", "part"))


def test_a_lone_engine_has_all_from_each_ip(group: int) -> None:
    alone = Permits(1)
    assert alone.refresh([group], workers=1) == [group]
    assert [alone.known[group, ip].limits.connections for ip in IPS] == [8, 8]
    assert alone.room(group) > 0


def test_a_part_is_kept_to_before_it_is_given_back(group: int) -> None:
    first, second = Permits(1), Permits(2)
    first.refresh([group], workers=1)
    second.refresh([group], workers=2)
    assert second.stand_by([group]), "the first holds all of it"

    # It keeps to the half at once; the loop may have opened a connection in this very moment.
    first.refresh([group], workers=2)
    assert (first.known[group, IPS[0]].limits.connections, parts(group)) == (4, {1: 1})
    first.known[group, IPS[0]].open = 5
    first.refresh([group], workers=2)
    assert parts(group) == {1: 1}, "not smaller on paper before the fifth has closed"

    first.known[group, IPS[0]].open = 4
    first.refresh([group], workers=2)
    assert parts(group) == {1: 2}
    assert second.refresh([group], workers=2) == [group]
    assert [engine.known[group, ip].limits.connections for engine in (first, second) for ip in IPS] == [4] * 4
    assert not second.stand_by([group])


def test_no_more_parts_than_whole_mails_a_second(group: int) -> None:
    LimitGroup.objects.update(rate=2)
    engines = [Permits(token) for token in (1, 2, 3)]
    for _round in range(3):
        got = [bool(engine.refresh([group], workers=3)) for engine in engines]
    assert got == [True, True, False]
    assert parts(group) == {1: 2, 2: 2}


def test_who_gets_a_part_of_the_rate_waits_until_nobody_else_has_used_it_in_that_second(group: int) -> None:
    engine = Permits(1)
    before = time.monotonic()
    engine.refresh([group], workers=1)
    assert engine.known[group, IPS[0]].wait(before) > 1


def test_too_much_pauses_that_ip_for_as_long_as_the_group_says(group: int) -> None:
    LimitGroup.objects.update(pause_minutes=45)
    engine = Permits(1)
    engine.refresh([group], workers=1)
    [one] = claim_for(group)
    said = exchange(421, "421 4.7.0 Too many messages, slow down", Phase.MAIL)
    said.local_ip = IPS[0]
    write = engine.too_much(one, said, Verdict("deferred", "other", "site", "too_much"))
    assert write is not None
    assert engine.too_much(one, said, Verdict("deferred", "other", "site", "too_much")) is None, "known already"
    write()
    paused = QueuePause.objects.get()
    assert (paused.sending_ip, paused.reason) == (IPS[0], "quota")
    assert paused.paused_until - paused.since == dt.timedelta(minutes=45)
    assert {engine.choose(group) for _mail in range(4)} == {IPS[1]}


def test_too_much_that_was_said_to_no_ip_of_ours_pauses_them_all(group: int) -> None:
    engine = Permits(1)
    engine.refresh([group], workers=1)
    [one] = claim_for(group)
    write = engine.too_much(one, exchange(0, "No answer", Phase.CONNECT), Verdict("deferred", "other", "site", "away"))
    assert write is not None
    assert engine.choose(group) is None
    write()
    assert QueuePause.objects.get().sending_ip == ""


def test_a_listed_ip_rests_for_an_hour(group: int) -> None:
    engine = Permits(1)
    engine.refresh([group], workers=1)
    [one] = claim_for(group)
    said = exchange(554, "554 5.7.1 listed", Phase.RCPT)
    said.local_ip = IPS[0]
    write = engine.too_much(one, said, Verdict("refused", "ip_or_domain", "sender", "listed"))
    assert write is not None
    write()
    paused = QueuePause.objects.get()
    assert (paused.reason, paused.paused_until - paused.since) == ("reputation", dt.timedelta(hours=1))


def claim_for(group: int) -> list[Claimed]:
    started(["ann@a.example"], AddressFactory())
    Waiting.objects.update(limit_group=group)
    return claim_all()


def test_each_group_has_turns_of_its_own_among_the_ips(group: int) -> None:
    other = LimitGroup.objects.create(name="mx:other.test").pk
    engine = Permits(1)
    engine.refresh([group, other], workers=1)
    # Asked one after the other, as they are in each pass.
    chosen = [(engine.choose(group), engine.choose(other)) for _pass in range(4)]
    for found in zip(*chosen, strict=True):
        assert sorted(found) == sorted(IPS * 2)
