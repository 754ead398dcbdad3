"""The period of a page: how it is read, where it begins and ends on days that are not 24 hours long."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console import ids
from console.window import Window, WindowError

TOKYO, BERLIN, UTC = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
# Clocks that change at midnight, by half an hour, or skipped a day.
ODD = ["Asia/Beirut", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Africa/Cairo"]
NOW = dt.datetime(2025, 11, 21, 5, 32, tzinfo=dt.UTC)  # 14:32 in Tokyo
zones = st.sampled_from([ZoneInfo(name) for name in [*ODD, "Europe/Berlin", "America/New_York", "UTC", "Asia/Tokyo"]])
days = st.dates(dt.date(2020, 1, 2), dt.date(2030, 12, 1))


def at(*parts: int, zone: ZoneInfo = TOKYO) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=zone)


def test_without_a_period_it_is_the_last_seven_days_of_the_accounts_calendar() -> None:
    window = Window.parse({}, TOKYO, NOW)
    assert (window.start, window.end) == (at(2025, 11, 15), at(2025, 11, 22))
    assert str(window) == "15–21 Nov, 7 days"
    assert window.params() == {"from": "2025-11-15 00:00", "to": "2025-11-21 23:59"}


def test_both_ends_are_included() -> None:
    assert Window.parse({"from": "2025-11-01", "to": "2025-11-02"}, TOKYO, NOW).end == at(2025, 11, 3)
    assert Window.parse({"from": "2025-11-01", "to": "2025-11-01 09:30"}, TOKYO, NOW).end == at(2025, 11, 1, 9, 31)


def test_one_end_gives_seven_days_from_or_up_to_it() -> None:
    assert Window.parse({"from": "2025-11-01"}, TOKYO, NOW).end == at(2025, 11, 8)
    assert Window.parse({"to": "2025-11-07"}, TOKYO, NOW).start == at(2025, 11, 1)


@pytest.mark.parametrize("zone", [UTC, TOKYO, BERLIN, *map(ZoneInfo, ODD)])
@pytest.mark.parametrize("first", ["2025-03-15", "2025-10-10", "2025-11-01", "2024-02-15"])
def test_thirty_days_are_taken_and_31_refused_over_every_change_of_the_clock(zone: ZoneInfo, first: str) -> None:
    begin = dt.date.fromisoformat(first)
    assert Window.parse({"from": first, "to": str(begin + dt.timedelta(days=29))}, zone, NOW).length == 30
    with pytest.raises(WindowError) as refused:
        Window.parse({"from": first, "to": str(begin + dt.timedelta(days=30))}, zone, NOW)
    assert refused.value.errors == {"from": "31 days. Choose at most 30 consecutive days."}


def test_one_minute_over_thirty_days_is_refused() -> None:
    Window.parse({"from": "2025-11-01 12:00", "to": "2025-12-01 11:59"}, TOKYO, NOW)
    with pytest.raises(WindowError):
        Window.parse({"from": "2025-11-01 12:00", "to": "2025-12-01 12:00"}, TOKYO, NOW)


@pytest.mark.parametrize(
    "text", ["yesterday", "2025-13-01", "2025-11-31", "0001-01-01", "9999-12-31", "2025-11-01 25:00"]
)
def test_what_is_no_time_is_said_on_its_field(text: str) -> None:
    with pytest.raises(WindowError) as refused:
        Window.parse({"from": text, "to": text}, TOKYO, NOW)
    assert set(refused.value.errors) == {"from", "to"}


def test_an_end_before_the_beginning_is_said_on_the_end() -> None:
    with pytest.raises(WindowError) as refused:
        Window.parse({"from": "2025-11-02", "to": "2025-11-01"}, TOKYO, NOW)
    assert set(refused.value.errors) == {"to"}


def test_the_day_on_which_the_clock_is_put_back_has_25_hours() -> None:
    window = Window.parse({"from": "2025-10-26", "to": "2025-10-26"}, BERLIN, NOW)
    assert window.end - window.start == dt.timedelta(hours=25)
    assert window.length == 1


def test_an_hour_that_the_clock_shows_twice_belongs_to_the_period_with_both_its_turns() -> None:
    window = Window.parse({"from": "2025-10-26 02:00", "to": "2025-10-26 02:59"}, BERLIN, NOW)
    assert window.end - window.start == dt.timedelta(hours=2)
    half = Window.parse({"from": "2025-10-26 02:00", "to": "2025-10-26 02:29"}, BERLIN, NOW)
    assert half.end - half.start == dt.timedelta(minutes=90)


@given(zones, days)
@example(ZoneInfo("Asia/Beirut"), dt.date(2025, 3, 29))
@example(ZoneInfo("America/Havana"), dt.date(2025, 11, 1))
def test_days_follow_each_other_without_gap_or_overlap(zone: ZoneInfo, day: dt.date) -> None:
    one = Window.parse({"from": str(day), "to": str(day)}, zone, NOW)
    other = day + dt.timedelta(days=1)
    assert one.end == Window.parse({"from": str(other), "to": str(other)}, zone, NOW).start
    assert one.start < one.end


@given(zones, days, st.integers(1, 30), st.integers(0, 1439))
def test_its_parameters_mean_the_same_period_again(zone: ZoneInfo, day: dt.date, length: int, minute: int) -> None:
    last = dt.datetime.combine(day + dt.timedelta(days=length - 1), dt.time(minute // 60, minute % 60))
    window = Window.parse({"from": str(day), "to": f"{last:%Y-%m-%d %H:%M}"}, zone, NOW)
    assert Window.parse(window.params(), zone, dt.datetime(2040, 1, 1, tzinfo=dt.UTC)) == window


@given(days, st.integers(0, 86_399_999))
def test_an_id_lies_in_the_range_of_its_day_and_in_no_other(day: dt.date, milliseconds: int) -> None:
    window = Window.parse({"from": str(day), "to": str(day)}, UTC, NOW)
    moment = window.start + dt.timedelta(milliseconds=milliseconds)
    low, high = window.id_range()
    assert low <= ids.id_at(moment) < high


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_whatever_makes_it_fail_otherwise(first: str, last: str) -> None:
    try:
        Window.parse({"from": first, "to": last}, BERLIN, NOW)
    except WindowError as error:
        assert set(error.errors) <= {"from", "to"}
