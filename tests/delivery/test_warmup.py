"""Levels and caps: when they move, by exactly which figures."""

from __future__ import annotations

import pytest

from delivery.services.warmup import CAPS, Figures, Move, blocked, cap, move

GOOD = {"delivered": 480, "invalid": 10, "spam": 2}


def test_the_caps_are_the_twenty_of_the_table() -> None:
    assert len(CAPS) == 20
    assert [cap(level) for level in (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 20)] == [
        *(500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 100_000, 150_000, 200_000, 300_000, 400_000, 1_000_000)
    ]


@pytest.mark.parametrize(
    ("figures", "level", "moved"),
    [
        ({"attempted": 500, **GOOD}, 1, Move(1, "good")),
        ({"attempted": 350, "delivered": 350}, 1, Move(1, "good")),
        ({"attempted": 349, "delivered": 349}, 1, Move()),
        ({"attempted": 500, **GOOD, "delivered": 460}, 1, Move()),  # 92 % is not more than 92 %
        ({"attempted": 500, **GOOD, "invalid": 25}, 1, Move()),
        ({"attempted": 400, "delivered": 380, "spam": 10}, 1, Move()),
        ({"attempted": 1000, "delivered": 990, "complaints": 1}, 2, Move()),
        ({"attempted": 500, "delivered": 455, "opens": 251}, 1, Move(1, "opens")),
        ({"attempted": 500, "delivered": 450, "opens": 300}, 1, Move()),
        ({"attempted": 500, "delivered": 455, "opens": 250}, 1, Move()),
        ({"attempted": 1_000_000, "delivered": 990_000}, 20, Move()),
        ({"attempted": 400, "delivered": 350, "invalid": 37}, 5, Move(-1, "invalid")),
        ({"attempted": 400, "delivered": 350, "invalid": 36}, 5, Move()),
        ({"attempted": 300, "delivered": 0, "invalid": 300}, 5, Move()),
        ({"attempted": 400, "delivered": 259}, 5, Move(-1, "undelivered")),
        ({"attempted": 400, "delivered": 260}, 5, Move()),
        ({"attempted": 400, "delivered": 370, "spam": 21}, 5, Move(-1, "spam")),
        ({"attempted": 400, "delivered": 400, "complaints": 3}, 5, Move(-1, "complaints")),
        ({"attempted": 400, "delivered": 400, "complaints": 2}, 5, Move()),
        ({"attempted": 400, "delivered": 200}, 1, Move(0, "undelivered")),
        # Opened by many, and yet a list of addresses that do not exist.
        ({"attempted": 500, "delivered": 453, "invalid": 46, "opens": 400}, 1, Move(0, "invalid")),
    ],
)
def test_a_day_moves_the_level_by_its_figures(figures: dict[str, int], level: int, moved: Move) -> None:
    assert move(Figures(**figures), level) == moved


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"attempted": 400, "invalid": 45}, "invalid"),
        ({"attempted": 400, "invalid": 44}, ""),
        ({"attempted": 400, "spam": 61}, "spam"),
        ({"attempted": 400, "spam": 60}, ""),
        ({"attempted": 300, "invalid": 300}, ""),
    ],
)
def test_bad_figures_block_the_rest_of_the_day(figures: dict[str, int], why: str) -> None:
    assert blocked(Figures(**figures)) == why
