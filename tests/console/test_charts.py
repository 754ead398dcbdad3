"""What stands beside a chart's series: the sum of counts, the latest of rates."""

from __future__ import annotations

from console.charts import Chart, Series


def test_the_legend_of_counts_says_what_they_come_to() -> None:
    delivered = Series(name="Delivered", tone="ok", data=[700, 1, 0, None])
    assert Chart(id="a", label="", labels=list("abcd"), series=[delivered]).legend() == [(delivered, "701", "")]


def test_the_legend_of_rates_and_shares_says_the_latest() -> None:
    rate = Series(name="Open rate", tone="busy", data=[30.0, 20.0, None], dash=(6, 2))
    for chart in (
        Chart(id="a", label="", labels=list("abc"), series=[rate], unit=" %"),
        Chart(id="a", label="", labels=list("abc"), series=[rate], decimals=1),
    ):
        [(_series, value, dash)] = chart.legend()
        assert (value[:2], dash) == ("20", "6 2")
