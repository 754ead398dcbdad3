"""Numbers as people read them: grouped, and rounded rather than cut off."""

from __future__ import annotations

from console.templatetags.posthorn import num, percent


def test_numbers_are_grouped_and_rounded() -> None:
    assert num(1284) == "1,284"
    assert num(0.999, 2) == "1.00"
    assert num(12.37, 1) == "12.4"
    assert "–" in str(num(None))


def test_shares_are_rounded() -> None:
    assert percent(18, 42) == "42.9 %"
    assert percent(1, 3) == "33.3 %"
    assert percent(9996, 10_000) == "100.0 %"
    assert percent(0, 0) == "–"
