"""Email tracking data: what recipients did with what was delivered."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.charts import Chart, Limit, Series
from console.registry import register
from delivery.services.statistics import COMPLAINTS_END, COMPLAINTS_MARK, LABELS
from tracking.statistics.page import Period, StatisticsPage


def charts(now: Period, before: Period) -> list[tuple[str, Chart, str]]:
    return [
        (
            _("Opens and clicks"),
            Chart(
                id="opens",
                label=_("Mails opened and clicked, and how often"),
                type="line",
                labels=now.labels,
                series=[
                    Series(name=LABELS["unique_opens"], tone="busy", data=now.of("unique_opens")),
                    Series(name=LABELS["opens"], tone="calm", data=now.of("opens"), dash=(2, 3)),
                    Series(name=LABELS["unique_clicks"], tone="ok", data=now.of("unique_clicks"), dash=(6, 2)),
                    Series(name=LABELS["clicks"], tone="warn", data=now.of("clicks"), dash=(6, 2, 2, 2)),
                ],
            ),
            _("Opened, clicked: mails, each once. Opens, clicks: every time. Those by machines are counted apart."),
        ),
        (
            _("Rates"),
            Chart(
                id="rates",
                label=_("Open rate and click rate, and the open rate of the period before"),
                type="line",
                unit=" %",
                decimals=1,
                labels=now.labels,
                series=[
                    Series(name=LABELS["open_rate"], tone="busy", data=now.of("open_rate")),
                    Series(name=LABELS["click_rate"], tone="ok", data=now.of("click_rate"), dash=(6, 2)),
                    Series(name=_("Open rate before"), tone="calm", data=before.of("open_rate"), dash=(2, 3)),
                ],
            ),
            _("Of the mail delivered. It counts on the day of its request, whenever it is opened."),
        ),
        (
            _("Unsubscriptions and complaints"),
            Chart(
                id="complaints",
                label=_("Rates of unsubscriptions and complaints, with the limits of Gmail and Yahoo"),
                type="line",
                unit=" %",
                decimals=2,
                labels=now.labels,
                series=[
                    Series(
                        name=LABELS["unsubscription_rate"],
                        tone="busy",
                        data=now.of("unsubscription_rate"),
                        dash=(6, 2),
                    ),
                    Series(name=LABELS["complaint_rate"], tone="bad", data=now.of("complaint_rate")),
                ],
                limits=[
                    Limit(name=_("Complaints: wanted under 0.1 %"), at=COMPLAINTS_MARK, tone="warn"),
                    Limit(name=_("Never 0.3 %"), at=COMPLAINTS_END),
                ],
            ),
            _("Gmail and Yahoo want complaints under 0.1 % of what they take, and refuse mail from 0.3 %."),
        ),
    ]


register(
    StatisticsPage(
        name="tracking-data",
        route="statistics/tracking/",
        title=gettext_lazy("Email tracking data"),
        description=gettext_lazy("Rates are of the mail delivered, and of mails, not of times."),
        columns=(
            "delivered",
            "unique_opens",
            "opens",
            "open_rate",
            "unique_clicks",
            "clicks",
            "click_rate",
            "unsubscriptions",
            "unsubscription_rate",
            "complaints",
            "complaint_rate",
            "automatic_opens",
            "automatic_clicks",
        ),
        kpis=(
            ("delivered", ""),
            ("unique_opens", "open_rate"),
            ("unique_clicks", "click_rate"),
            ("unsubscriptions", "unsubscription_rate"),
            ("complaints", "complaint_rate"),
            ("opens", ""),
        ),
        charts=charts,
        order=20,
    )
)
