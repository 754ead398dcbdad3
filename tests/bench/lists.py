"""Every list with a period over a past of any length: page × filter × rows, beside the bare statement of its rows.

Of what is asked, some is common, some rare, some not there at all: what is rare is what makes pages slow.
"""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import ids, paging
from console.lists import Listing, lists
from console.models import Account, ApiUser, User
from console.window import Window
from delivery.models import (
    Callback,
    CallbackEvent,
    Message,
    SenderAddress,
    SenderDomain,
    Task,
    Template,
    TemplateVersion,
)
from tests.bench import world
from tests.bench.bench import Bench
from tracking import history
from tracking.pages.contact import HISTORY

FEW = 100_000
MONTHS = 12
TIMES = 20
DAYS = (7, 30)
PAGE = 20


@dataclass(frozen=True, slots=True)
class Case:
    """`deep`: the page in the middle of the period, as one gets there by turning pages. `pk`: of what the page is."""

    page: str
    days: int
    filters: dict[str, str]
    deep: bool = False
    pk: int | None = None

    def __str__(self) -> str:
        asked = " + ".join(f"{name}={value}" for name, value in self.filters.items())
        return f"{self.page:<17} {self.days or '':>2} {'deep' if self.deep else 'first':<6}{asked}"


@dataclass(frozen=True, slots=True)
class Taken:
    """Milliseconds of the whole page and of the bare statement of its rows, and how many rows the page shows; of what
    is no list, of the page alone."""

    page: float
    bare: float
    rows: int


def part_lists(bench: Bench) -> None:
    """100,000 messages over twelve months, then `--history` of them."""
    client = _client()
    measured: list[list[tuple[Case, Taken]]] = []
    made = 0
    for size in sorted({min(FEW, bench.history), bench.history}):
        begun = time.perf_counter()
        history.make(size - made, months=MONTHS, now=timezone.now(), force=False, tell=lambda _made: None)
        made = size
        _callbacks()
        taken, gigabytes = time.perf_counter() - begun, world.database_bytes() / 2**30
        bench.say(f"  {Message.objects.count():,} messages, made in {taken:.0f} s, {gigabytes:.1f} GB")
        measured.append([(case, _measure(client, case)) for case in _cases()])
    heads = ("few ms", "bare", "rows", "many ms", "bare", "rows", "ratio")
    bench.say(f"  {'page, days, place, filter':<76}" + "".join(f"{head:>8}" for head in heads))
    # Where the long past fills no more of the page than the short one: otherwise there is more to draw.
    ratios, fuller = [], []
    for (_case, few), (case, many) in zip(measured[0], measured[-1], strict=True):
        ratio = many.page / few.page
        if many.bare:
            (ratios if many.rows <= few.rows else fuller).append(ratio)
        figures = "".join(f"{one.page:>8.1f}{one.bare:>8.1f}{one.rows:>8}" for one in (few, many))
        bench.say(f"  {case!s:<76}{figures}{ratio:>8.2f}")
    pages = [taken.page for _case, taken in measured[-1]]
    bench.figures["lists_messages"] = Message.objects.count()
    bench.figures["lists_asked"] = len(pages)
    bench.figures["lists_worst_ms"] = round(max(pages), 1)
    bench.figures["lists_over_200_ms"] = sum(page > 200 for page in pages)
    bench.figures["lists_worst_ratio"] = round(max(ratios), 2)
    bench.figures["lists_over_1.5_times"] = sum(ratio > 1.5 for ratio in ratios)
    bench.figures["lists_fuller"] = len(fuller)
    bench.figures["lists_fuller_over_1.5_times"] = sum(ratio > 1.5 for ratio in fuller)


def _client() -> Client:
    from django.conf import settings
    from django.core.management import call_command

    call_command("collectstatic", verbosity=0, interactive=False)
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(User.objects.create_superuser("history", password="bench-password"))
    return client


def _callbacks() -> None:
    """What a callback address was told in the last week."""
    callback, _made = Callback.objects.get_or_create(address=None, defaults={"url": "https://x.test/", "secret": b""})
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO delivery_callbackevent (id, callback_id, message_id, kind, at, detail, state, status_code)
            SELECT id, %s, id, CASE WHEN id %% 3 = 0 THEN 'open' ELSE 'delivered' END, now(), '{}',
                   CASE WHEN id %% 500 = 0 THEN 'given_up' ELSE 'taken' END, 200
            FROM delivery_message WHERE id >= %s ON CONFLICT DO NOTHING
            """,
            [callback.pk, ids.id_at(timezone.now() - dt.timedelta(days=7))],
        )
        cursor.execute(f"VACUUM (ANALYZE) {CallbackEvent._meta.db_table}")


def _cases() -> Iterator[Case]:
    trigger = ApiUser.objects.get(name=history.USERS[ApiUser.Type.TRIGGER]).pk
    seldom = SenderDomain.objects.get(name=f"news{history.SENDER_DOMAINS - 1}.{history.DOMAIN}").pk
    task = Task.objects.order_by("-pk").values_list("pk", flat=True)[0]
    template = Template.objects.order_by("pk").values_list("pk", flat=True)[0]
    label = Task.objects.get(pk=task).label
    rare = f"d{history.RECEIVING_DOMAINS - 2}.{history.DOMAIN}"
    failed = {"status": "invalid"}
    domain, sender, user, idle_template = _idle()
    of_messages: list[dict[str, Any]] = [
        {},
        {"status": "delivered"},
        {"status": "soft_bounce"},
        {"status": "cancelled"},
        {"status": "held"},
        {"status": "sending"},
        {"reason": "not_exist"},
        {"reason": "format_error"},
        {"status": "soft_bounce", "reason": "spam"},
        {"status": "soft_bounce", "reason": "not_exist"},
        {"sender_domain": seldom},
        {"sender_domain": domain},
        {"sender_domain": seldom, **failed},
        {"sender": f"hello@news0.{history.DOMAIN}"},
        {"sender": sender},
        {"receiving_domain": f"d0.{history.DOMAIN}"},
        {"receiving_domain": rare},
        {"receiving_domain": rare, **failed},
        {"label": label},
        {"label": label, **failed},
        {"label": "rare"},
        {"label": "nobody's"},
        {"template": template},
        {"template": idle_template},
        {"api_user": trigger},
        {"api_user": user},
        {"type": "trigger"},
        {"task": task},
        {"recipient": "reader12"},
        {"recipient": "reader12", **failed},
        {"recipient": "nobody"},
    ]
    of_hits: list[dict[str, Any]] = [
        {},
        {"kind": "click"},
        {"automatic": "yes"},
        {"sender_domain": seldom},
        {"sender_domain": domain},
        {"receiving_domain": rare},
        {"receiving_domain": rare, "kind": "click"},
        {"api_user": trigger},
        {"api_user": user},
        {"recipient": "reader120"},
        {"recipient": "reader1"},
        {"recipient": "nobody"},
        {"link": "https://shop.history.test/item/12"},
        {"link": "https://elsewhere.test/"},
        {"sent_from": f"{timezone.now() - dt.timedelta(days=3):%Y-%m-%d}"},
    ]
    old = Task.objects.order_by("pk").values_list("pk", "label")[0]
    of_hits += [{"task": old[0]}, {"label": old[1]}, {"template": template}, {"type": "trigger"}, {"sender": sender}]
    for days in DAYS:
        for filters in of_messages:
            yield Case("messages", days, filters)
        for filters in ({}, failed, {"receiving_domain": f"d0.{history.DOMAIN}"}, {"label": label}):
            yield Case("messages", days, filters, deep=True)
        if "opens-and-clicks" in lists():
            for filters in of_hits:
                yield Case("opens-and-clicks", days, filters)
            yield Case("opens-and-clicks", days, {}, deep=True)
    for filters in ({}, {"kind": "open"}, {"kind": "bounce"}, {"state": "given_up"}, {"state": "waiting"}):
        yield Case("callback-events", 7, filters)
    yield Case("callback-events", 7, {}, deep=True)
    yield Case("contact", 0, {"address": Message.objects.order_by("-pk").values_list("recipient", flat=True)[0]})
    for page in ("home", "tasks", "simulator", "sending-data", "tracking-data", "opens-and-clicks-counts"):
        yield Case(page, 0, {})
    yield Case("task", 0, {}, pk=task)
    yield Case("domain", 0, {}, pk=seldom)


def _idle() -> tuple[int, str, int, int]:
    """A sender domain, its address, an API user and a template of old versions that nothing was sent with lately."""
    domain, _made = SenderDomain.objects.get_or_create(name=f"idle.{history.DOMAIN}")
    address, _made = SenderAddress.objects.get_or_create(domain=domain, prefix="hello")
    user, _made = ApiUser.objects.get_or_create(name="idle", defaults={"type": ApiUser.Type.BATCH})
    template, _made = Template.objects.get_or_create(name="Idle")
    for number in range(1, 11):
        TemplateVersion.objects.get_or_create(
            template=template, number=number, defaults={"type": "text", "source": "Hello", "text": "Hello"}
        )
    return domain.pk, address.address, user.pk, template.pk


def _measure(client: Client, case: Case) -> Taken:
    if case.page not in lists() and case.page != HISTORY.name:
        url = reverse(case.page, args=[case.pk] if case.pk else [])
        return Taken(_median(lambda: _answered(client, url)), 0, 0)
    now, zone = timezone.now(), Account.current().zone
    params = QueryDict(mutable=True)
    params.update({**case.filters, **(Window.days(case.days, zone, now).params() if case.days else {})})
    page = HISTORY if case.page == HISTORY.name else lists()[case.page]
    listing = page.resolve(params, zone, now)
    rows = listing.ordered()
    if case.deep:
        token, rows = _middle(listing, now - dt.timedelta(days=case.days / 2))
        # Without a row to go on from: the last page that has a number.
        params.update({"after": token, "page": "500"})
    url = f"{reverse(case.page)}?{urlencode(params, doseq=True)}"
    found: list[int] = []
    try:
        sql, values = rows[: PAGE + 1].query.sql_with_params()
    except EmptyResultSet:
        # Known to be nothing without asking.
        sql, values = "SELECT WHERE false", ()

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found.append(len(cursor.fetchall()))

    return Taken(_median(lambda: _answered(client, url)), _median(bare), min(PAGE, found[-1]))


def _answered(client: Client, url: str) -> None:
    answer = client.get(url)
    if answer.status_code != 200:
        raise RuntimeError(f"{url}: {answer.status_code}")


def _middle(listing: Listing, moment: dt.datetime) -> tuple[str, Any]:
    """Where one goes on from the first row before the moment, and the rows from there."""
    below = listing.ordered().filter(pk__lt=ids.id_at(moment))
    row = below.first()
    token = paging.token(listing, row) if row is not None else ""
    return token or "", below


def _median(call: Callable[[], None]) -> float:
    call()
    taken = []
    for _n in range(TIMES):
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)
