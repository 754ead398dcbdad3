"""Exports rest while others need the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from exports import pace


def test_it_rests_the_longer_the_busier_the_machine_is_and_not_where_it_is_calm() -> None:
    assert pace.rest_for(1, 0) == pace.rest_for(1, pace.CALM) == 0
    assert 0 < pace.rest_for(1, 0.8) < pace.rest_for(1, 1) == pytest.approx(pace.MOST_REST)
    assert pace.rest_for(1, 5) == pace.rest_for(1, 1)


@pytest.mark.parametrize(("waited", "rests"), [(3600, True), (0, False)])
def test_what_the_kernel_says_of_the_last_second_counts(
    waited: int, rests: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "cpu"
    said.write_text("some avg10=99.00 avg60=99.00 avg300=99.00 total=1000\nfull avg10=0.00 total=7\n")
    monkeypatch.setattr(pace, "PRESSURE", said)
    monkeypatch.setattr(pace, "WORK_SECONDS", 0.0)
    one, rested = pace.Pace(), list[float]()
    said.write_text(f"some avg10=0.00 avg60=0.00 avg300=0.00 total={1000 + waited * 1_000_000}\n")
    one._looked_at -= pace.LOOK_SECONDS
    monkeypatch.setattr(pace.time, "sleep", rested.append)
    one.rest()
    assert [bool(each) for each in rested] == [rests]


def test_without_the_kernels_word_it_goes_by_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PRESSURE", tmp_path / "nothing")
    monkeypatch.setattr(pace.os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    one = pace.Pace()
    one._look(one._since + 1)
    assert one._pressure > 1


def test_it_has_rested_enough_at_last_however_busy_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one, rested = pace.Pace(), list[float]()
    monkeypatch.setattr(pace, "WORK_SECONDS", -1.0)
    monkeypatch.setattr(pace.time, "sleep", rested.append)
    monkeypatch.setattr(one, "_look", lambda _now: None)
    monkeypatch.setattr(pace, "rest_for", lambda _worked, _pressure: 1.0)
    for _time in range(int(2 * pace.MOST_RESTED_SECONDS)):
        one.rest()
    assert sum(rested) == pace.MOST_RESTED_SECONDS
