"""How long entries last: after the n-th hard bounce, for Tencent's mailboxes and others, and after a complaint."""

from __future__ import annotations

import datetime as dt

import pytest

from suppression import expiry

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(("n", "days"), list(enumerate([1, 2, 4, 8, 16, 30, 30, 30, 30, 30], start=1)))
def test_tencent_mailboxes_are_left_alone_twice_as_long_each_time_up_to_30_days(n: int, days: int) -> None:
    assert expiry.bounce_days(n, tencent=True) == days


@pytest.mark.parametrize(("n", "days"), list(enumerate([30, 60, 180, 180, 180, 180, 180, 180, 180, 180], start=1)))
def test_other_mailboxes_are_left_alone_for_30_60_and_then_180_days(n: int, days: int) -> None:
    assert expiry.bounce_days(n, tencent=False) == days


@pytest.mark.parametrize("tencent", [True, False])
def test_from_a_certain_number_on_the_days_no_longer_grow(tencent: bool) -> None:
    steady = expiry.bounce_days(expiry.STEADY_FROM, tencent)
    assert {expiry.bounce_days(n, tencent) for n in (expiry.STEADY_FROM + 1, 1_000, 10**9)} == {steady}


def test_hard_bounces_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        expiry.bounce_days(0, tencent=False)


def test_a_complaint_lasts_180_days_from_the_latest() -> None:
    assert expiry.complaint_expires_at(NOW) == NOW + dt.timedelta(days=180)
