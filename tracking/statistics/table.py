"""The figures as a table, day by day (or hour by hour), with their sum and that of the period before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.services.statistics import RATES, Figures


@dataclass(frozen=True, slots=True)
class Cell:
    """A count (`decimals` 0) or a rate in per cent; None: of nothing."""

    value: float | None
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    cells: list[Cell]
    # A second line below the name.
    under: str = ""


def decimals(name: str) -> int:
    return RATES[name].decimals if name in RATES else 0


def row(name: str, columns: Sequence[str], figures: Figures, *, under: str = "") -> Row:
    return Row(name, [Cell(figures[one], decimals(one)) for one in columns], under)


def values(columns: Sequence[str], figures: Figures) -> list[float | None]:
    """For a file: counts, and rates rounded as they are shown."""
    found: list[float | None] = []
    for name in columns:
        value = figures[name]
        found.append(value if value is None else round(value, decimals(name)) if name in RATES else int(value))
    return found
