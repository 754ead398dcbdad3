"""Email sending data: what was requested, and what became of it."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.charts import Chart, Series
from console.registry import register
from delivery.services.statistics import LABELS
from tracking.statistics.page import Period, StatisticsPage


def charts(now: Period, before: Period) -> list[tuple[str, Chart, str]]:
    return [
        (
            _("Sends and deliveries"),
            Chart(
                id="deliveries",
                label=_("Sends and deliveries, and the deliveries of the period before"),
                type="line",
                labels=now.labels,
                series=[
                    Series(name=LABELS["requested"], tone="busy", data=now.of("requested")),
                    Series(name=LABELS["delivered"], tone="ok", data=now.of("delivered"), dash=(6, 2)),
                    Series(name=_("Deliveries before"), tone="calm", data=before.of("delivered"), dash=(2, 3)),
                ],
            ),
            _("Sends: recipients requested, less control group and cancelled."),
        ),
        (
            _("Not delivered"),
            Chart(
                id="failures",
                label=_("Rejected mail, invalid addresses and bounces"),
                type="line",
                labels=now.labels,
                series=[
                    Series(name=LABELS["rejected"], tone="calm", data=now.of("rejected"), dash=(6, 2, 2, 2)),
                    Series(name=LABELS["invalid"], tone="bad", data=now.of("invalid")),
                    Series(name=LABELS["spam"], tone="warn", data=now.of("spam"), dash=(2, 2)),
                    Series(name=LABELS["other"], tone="busy", data=now.of("other"), dash=(8, 3)),
                ],
            ),
            _("Rejected: stopped by a suppression list, and not tried. Bounces (others): every other failure."),
        ),
    ]


register(
    StatisticsPage(
        name="sending-data",
        route="statistics/sending/",
        title=gettext_lazy("Email sending data"),
        description=gettext_lazy(
            "Delivery rate: deliveries of the sends that no list stopped. Paid: what costs a credit; mail to the "
            "simulator costs none."
        ),
        columns=("requested", "rejected", "paid", "invalid", "spam", "other", "delivered", "delivery_rate"),
        kpis=(
            ("requested", ""),
            ("delivered", "delivery_rate"),
            ("invalid", ""),
            ("spam", ""),
            ("other", ""),
            ("rejected", ""),
        ),
        charts=charts,
        order=10,
    )
)
