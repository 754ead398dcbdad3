"""Charts: a specification that charts.js draws, and the same figures as a table for whoever has no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django.utils.formats import number_format

from console.badges import Tone

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

    Text = StrPromise | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line or set of bars. Two series of one chart differ in dash as well as in tone."""

    name: Text
    tone: Tone
    # None: nothing to be said of that label; the line has a gap.
    data: Sequence[float | None]
    dash: tuple[int, ...] = ()
    stepped: bool = False
    type: Literal["", "bar", "line"] = ""

    @property
    def latest(self) -> float | None:
        return next((value for value in reversed(self.data) if value is not None), None)

    @property
    def sum(self) -> float:
        return sum(value for value in self.data if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit drawn as a mark across the chart."""

    name: Text
    at: float
    tone: Tone = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """`{% chart it %}` draws it. id: unique on the page. label: what it shows, read out. labels: of the x axis."""

    id: str
    label: Text
    labels: Sequence[str]
    series: Sequence[Series]
    type: Literal["bar", "line"] = "bar"
    unit: str = ""
    stacked: bool = False
    low: bool = False
    decimals: int = 0
    limits: Sequence[Limit] = ()

    def spec(self) -> dict[str, Any]:
        """What charts.js reads."""
        return {
            "type": self.type,
            "labels": [str(label) for label in self.labels],
            "unit": self.unit,
            "decimals": self.decimals,
            "stacked": self.stacked,
            "series": [
                {
                    "name": str(one.name),
                    "tone": one.tone,
                    "data": list(one.data),
                    "dash": list(one.dash),
                    "stepped": one.stepped,
                    "type": one.type or self.type,
                }
                for one in self.series
            ],
            "limits": [{"name": str(limit.name), "at": limit.at, "tone": limit.tone} for limit in self.limits],
        }

    @property
    def counts(self) -> bool:
        """Whether the points are counts, which come to a sum; of rates and shares the latest is of interest."""
        return not self.unit and not self.decimals

    def legend(self) -> list[tuple[Series, str, str]]:
        """Each series with its sum or its latest value, and its dash as an SVG attribute."""
        return [
            (one, self._text(one.sum if self.counts else one.latest), " ".join(map(str, one.dash)))
            for one in self.series
        ]

    def rows(self) -> list[tuple[str, list[str]]]:
        """The figures as a table: a row for each label."""
        return [
            (str(label), [self._text(one.data[n]) if n < len(one.data) else "–" for one in self.series])
            for n, label in enumerate(self.labels)
        ]

    def _text(self, value: float | None) -> str:
        if value is None:
            return "–"
        return f"{number_format(round(value, self.decimals), self.decimals, force_grouping=True)}{self.unit}"
