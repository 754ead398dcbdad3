"""The statistics' pages over the sums that ten million messages of 30 days leave, and what folding costs beside them.

Mail as installations send it: a few programs' trigger mail all day long, campaigns of 100,000 in one go; half of it to
ten large providers, the rest spread over thousands of domains.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.utils import timezone

from console import ids, roles
from console.models import ApiUser, User
from delivery.models import Delta, SenderDomain, Statistic, Summary, Template, Total
from delivery.services import rollup, statistics, templates
from delivery.services.columns import COLUMNS
from delivery.services.deltas import Deltas, Of, quarter
from delivery.services.requests import receiving_domains

MESSAGES = 10_000_000
DAYS = 30
PROGRAMS = 5
TEMPLATES = 8
# Calls a function some times, keeps the median of milliseconds under the name, and gives it.
Measure = Callable[..., float]
CAMPAIGNS_A_DAY = 2
DOMAINS = 8_000


def run(figures: dict[str, Any], measure: Measure) -> None:
    domain = SenderDomain.objects.create(name="statistics.bench.test", verified_at=timezone.now())
    body = templates.save_template(name="Statistics", type=Template.Type.TEXT, summary="", source="Good news")
    users = [ApiUser.objects.create(name=f"program {n}", type=ApiUser.Type.TRIGGER).pk for n in range(PROGRAMS)]
    names = [f"d{n}.statistics.test" for n in range(DOMAINS)]
    known = receiving_domains(names)
    domains = [known[name].id for name in names]
    _fill(domain.pk, users, domains, body.pk)
    for model in (Statistic, Total, Summary):
        figures[f"{model._meta.model_name}_rows"] = model.objects.count()
    month = statistics.between(Total.objects.all(), timezone.now() - dt.timedelta(days=30), timezone.now())
    figures["statistics_messages_30_days"] = month.aggregate(n=Sum("requested"))["n"]
    _pages(figures, measure, domain.pk, body.pk)
    _folding(figures, domain.pk, users[0], domains, body.current_id or 0)


def _fill(sender_domain: int, users: list[int], domains: list[int], template: int) -> None:
    """Straight into the sums, as folding leaves them: half of the mail by programs all day, half by campaigns."""
    since = quarter(timezone.now() - dt.timedelta(days=DAYS))
    daily = MESSAGES // DAYS
    cells = {
        "since": since,
        "days": DAYS,
        "user": users,
        "sender": sender_domain,
        "template": template,
        "templates": TEMPLATES,
        "domains": domains,
        "a_cell": daily // 2 // 96,
        "campaigns": CAMPAIGNS_A_DAY,
        "a_campaign": daily // 2 // CAMPAIGNS_A_DAY,
        "batch": ApiUser.console(ApiUser.Type.BATCH).pk,
    }
    with connection.cursor() as cursor:
        # Each message of a quarter-hour falls to some program, template and domain; what falls together is one row.
        cursor.execute(
            f"""
            INSERT INTO delivery_statistic ({", ".join([*rollup.KEY, *COLUMNS])})
            SELECT domain, at, api_user, %(sender)s, template, label,
                   {", ".join("count(*)" if name in _ALL else "count(*) / 30" for name in COLUMNS)}
            FROM (
                SELECT %(since)s + q * interval '15 minutes' AS at,
                       (%(user)s::bigint[])[1 + floor(random() * cardinality(%(user)s::bigint[]))::int] AS api_user,
                       %(template)s + floor(random() * %(templates)s)::int AS template, '' AS label,
                       (%(domains)s::bigint[])[1 + {_DOMAIN}] AS domain
                FROM generate_series(0, %(days)s * 96 - 1) q, generate_series(1, %(a_cell)s) m
                UNION ALL
                SELECT %(since)s + d * interval '1 day' + interval '9 hours' + c * interval '15 minutes', %(batch)s,
                       %(template)s + c, 'campaign ' || d, (%(domains)s::bigint[])[1 + {_DOMAIN}]
                FROM generate_series(0, %(days)s - 1) d, generate_series(0, %(campaigns)s - 1) c,
                     generate_series(1, %(a_campaign)s) m
            ) mail
            GROUP BY domain, at, api_user, template, label ORDER BY at, domain
            """,
            cells,
        )
        cursor.execute(_derived("delivery_total", rollup.TOTAL_KEY, "delivery_statistic"))
        # From the totals what they can tell: a fraction of the rows.
        for dimension, key in _KEYS.items():
            source = "delivery_statistic" if key.startswith("receiving") else "delivery_total"
            columns = (
                f"(SELECT {int(dimension)} AS dimension, {key} AS key, at, {', '.join(COLUMNS)} FROM {source}) mail"
            )
            cursor.execute(_derived("delivery_summary", rollup.SUMMARY_KEY, columns))
        cursor.execute("ANALYZE delivery_total")
        cursor.execute("ANALYZE delivery_summary")
        cursor.execute("ANALYZE delivery_statistic")
    rollup.fold(now=timezone.now())


def _derived(table: str, key: tuple[str, ...], source: str) -> str:
    sums = ", ".join(f"sum({name})" for name in COLUMNS)
    return (
        f"INSERT INTO {table} ({', '.join(key + COLUMNS)}) SELECT {', '.join(key)}, {sums} FROM {source} "
        f"GROUP BY {', '.join(key)} ORDER BY at, {key[0]}"
    )


_KEYS = {
    Summary.Dimension.ALL: "''",
    Summary.Dimension.API_USER: "api_user_id::text",
    Summary.Dimension.SENDER_DOMAIN: "sender_domain_id::text",
    Summary.Dimension.RECEIVING_DOMAIN: "receiving_domain_id::text",
    Summary.Dimension.TEMPLATE: "template_id::text",
    Summary.Dimension.LABEL: "label",
}
_ALL = ("requested", "delivered", "paid")
# Half to ten domains, the rest with a long tail.
_DOMAIN = (
    "CASE WHEN random() < 0.5 THEN floor(random() * 10)::int "
    "ELSE floor(power(random(), 2) * cardinality(%(domains)s::bigint[]))::int END"
)


def _pages(figures: dict[str, Any], measure: Measure, sender_domain: int, template: int) -> None:
    call_command("collectstatic", verbosity=0, interactive=False)
    settings.ALLOWED_HOSTS = ["*"]
    user = User.objects.create_user("statistics", password="bench-password")
    roles.give(user, roles.VIEWER)
    client = Client()
    client.force_login(user)
    today = timezone.localdate()
    large = "receiving_domain=d3.statistics.test"
    month = f"from={today - dt.timedelta(days=29)}&to={today}"
    worst = 0.0
    for name, url in {
        "sending": f"/statistics/sending/?{month}",
        "tracking": f"/statistics/tracking/?{month}",
        "sending_one_large_domain": f"/statistics/sending/?{month}&{large}",
        "sending_one_sender_domain": f"/statistics/sending/?{month}&sender_domain={sender_domain}",
        "sending_triggers_of_a_template": f"/statistics/sending/?{month}&type=trigger&template={template}",
        "sending_one_domain_and_label": f"/statistics/sending/?{month}&{large}&label=campaign+20",
        "sending_one_domain_and_program": f"/statistics/sending/?{month}&{large}&type=trigger",
        "sending_one_label": f"/statistics/sending/?{month}&label=campaign+20",
        "sending_csv": f"/statistics/sending/figures.csv?{month}",
        "overview": "/",
    }.items():
        assert client.get(url).status_code == 200, url
        worst = max(worst, measure(figures, f"statistics_{name}_ms", lambda url=url: client.get(url).getvalue()))
    figures["statistics_page_ms"] = worst


def _folding(figures: dict[str, Any], sender: int, user: int, domains: list[int], version: int) -> None:
    """A minute's deltas at 1,000 mails a second, and a tenth of that: the cost follows what changed."""
    for name, batches in (("6k", 24), ("60k", 240)):
        for batch in range(batches):
            changed = Deltas()
            for place in range(250):
                domain = domains[(batch * 7 + place * 13) % (40 if place % 2 else len(domains))]
                changed.add(Of(ids.new_id(), user, sender, domain, version, ""), requested=0, delivered=1, paid=1)
            changed.write()
        figures[f"fold_{name}_deltas"] = Delta.objects.count()
        begun = time.perf_counter()
        rollup.fold(now=timezone.now())
        figures[f"fold_{name}_ms"] = round((time.perf_counter() - begun) * 1000, 1)
