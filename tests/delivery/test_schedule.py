"""When tasks run and windows are open, over both daylight-saving changes: times of the wall clock, nothing else."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest

from delivery.schedule import SendWindow, local_moment, next_run

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
LORD_HOWE = zoneinfo.ZoneInfo("Australia/Lord_Howe")  # changes by half an hour
TOKYO = zoneinfo.ZoneInfo("Asia/Tokyo")


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def runs(first: str, time: str, every: int, zone: zoneinfo.ZoneInfo, count: int) -> list[str]:
    """Local times of the first runs, each asked for at the moment of the one before it."""
    found: list[str] = []
    after = utc(first) - dt.timedelta(days=2)
    while len(found) < count:
        moment = next_run(dt.date.fromisoformat(first), dt.time.fromisoformat(time), every, zone, after=after)
        assert moment is not None
        found.append(f"{moment.astimezone(zone):%m-%d %H:%M %z}")
        after = moment
    return found


def test_a_weekly_run_keeps_its_local_time_over_the_change_in_spring() -> None:
    assert runs("2026-03-16", "09:00", 7, BERLIN, 3) == ["03-16 09:00 +0100", "03-23 09:00 +0100", "03-30 09:00 +0200"]


def test_a_weekly_run_keeps_its_local_time_over_the_change_in_autumn() -> None:
    assert runs("2026-10-19", "09:00", 7, BERLIN, 3) == ["10-19 09:00 +0200", "10-26 09:00 +0100", "11-02 09:00 +0100"]


def test_a_time_that_the_day_does_not_have_moves_forward_on_that_day_only() -> None:
    assert runs("2026-03-28", "02:30", 1, BERLIN, 3) == ["03-28 02:30 +0100", "03-29 03:30 +0200", "03-30 02:30 +0200"]
    assert local_moment(dt.date(2026, 10, 4), dt.time(2, 15), LORD_HOWE).astimezone(LORD_HOWE).time() == dt.time(2, 45)


def test_a_time_that_the_day_has_twice_is_the_first_and_runs_once() -> None:
    assert runs("2026-10-24", "02:30", 1, BERLIN, 3) == ["10-24 02:30 +0200", "10-25 02:30 +0200", "10-26 02:30 +0100"]


def test_runs_of_a_year_are_every_n_days_without_gap_or_double() -> None:
    first, after = dt.date(2026, 1, 1), utc("2025-12-31T00:00")
    days = []
    for _run in range(120):
        moment = next_run(first, dt.time(0, 0), 3, BERLIN, after=after)
        assert moment is not None
        days.append(moment.astimezone(BERLIN).date())
        after = moment
    assert days == [first + dt.timedelta(days=3 * n) for n in range(120)]


def test_what_was_missed_is_passed_over() -> None:
    found = next_run(dt.date(2026, 1, 5), dt.time(9), 7, TOKYO, after=utc("2026-04-01T12:00"))
    assert found == utc("2026-04-06T00:00")


@pytest.mark.parametrize(("until", "more"), [("2026-01-19", True), ("2026-01-18", False)])
def test_the_last_day_counts_and_nothing_runs_after_it(until: str, more: bool) -> None:
    found = next_run(
        dt.date(2026, 1, 5), dt.time(9), 7, TOKYO, after=utc("2026-01-12T00:00"), until=dt.date.fromisoformat(until)
    )
    assert (found is not None) is more


def test_before_the_first_day_the_first_is_next() -> None:
    found = next_run(dt.date(2026, 5, 1), dt.time(9), 7, TOKYO, after=utc("2026-01-01T00:00"))
    assert found == utc("2026-05-01T00:00")


@pytest.mark.parametrize(
    ("opens", "closes", "clock", "open"),
    [
        ("09:00", "18:00", "08:59:59", False),
        ("09:00", "18:00", "09:00", True),
        ("09:00", "18:00", "17:59:59", True),
        ("09:00", "18:00", "18:00", False),
        ("22:00", "06:00", "23:00", True),
        ("22:00", "06:00", "05:59", True),
        ("22:00", "06:00", "06:00", False),
        ("22:00", "06:00", "12:00", False),
    ],
)
def test_a_window_is_open_from_its_start_up_to_its_end_also_over_midnight(
    opens: str, closes: str, clock: str, open: bool
) -> None:
    window = SendWindow(dt.time.fromisoformat(opens), dt.time.fromisoformat(closes))
    now = dt.datetime.combine(dt.date(2026, 6, 1), dt.time.fromisoformat(clock), BERLIN)
    assert window.is_open(now, BERLIN) is open
    assert window.is_open(now.astimezone(dt.UTC), BERLIN) is open


def test_a_window_opens_by_the_wall_clock_on_the_day_of_a_change() -> None:
    window = SendWindow(dt.time(9), dt.time(18))
    assert window.next_opening(utc("2026-03-28T20:00"), BERLIN) == utc("2026-03-29T07:00")
    assert window.next_opening(utc("2026-10-24T20:00"), BERLIN) == utc("2026-10-25T08:00")
    assert window.next_opening(utc("2026-06-01T07:00"), BERLIN) == utc("2026-06-02T07:00")
