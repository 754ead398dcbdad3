"""The pages of the statistics: figures by the account's days, filters, the period before, and files."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from console.models import Account, ApiUser
from delivery.models import Folded, ReceivingDomain, TemplateVersion
from delivery.services.deltas import Of
from tests.factories.statistics import counted, fold

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 11, 21, 3, 0, tzinfo=dt.UTC)  # noon in Tokyo


@pytest.fixture(autouse=True)
def tokyo() -> Any:
    account = Account.current()
    account.time_zone = "Asia/Tokyo"
    account.save()
    with time_machine.travel(NOW, tick=False):
        yield


def page(client: Client, name: str = "sending", **params: Any) -> Any:
    answer = client.get(f"/statistics/{name}/", params)
    assert answer.status_code == 200
    return answer.context


def lines(context: Any) -> dict[str, dict[str, Any]]:
    """Row → column → value."""
    heads = [str(head) for head in context["heads"]]
    return {
        line.name: dict(zip(heads, (cell.value for cell in line.cells), strict=True))
        for line in [*context["sums"], *context["lines"]]
    }


def test_everything_counts_on_the_day_of_the_request_in_the_accounts_zone(viewer: Client) -> None:
    midnight = dt.datetime(2026, 11, 19, 15, 0, tzinfo=dt.UTC)  # of 20 November in Tokyo
    of = counted(midnight - dt.timedelta(seconds=1), requested=1, delivered=1)
    counted(midnight, of=of, requested=5, delivered=4, rejected=1, paid=4)
    fold()
    found = lines(page(viewer))
    assert found["19 Nov"]["Sends"] == 1
    assert found["20 Nov"] == {
        "Sends": 5,
        "Rejected": 1,
        "Paid": 4,
        "Invalid addresses": 0,
        "Bounces (spam)": 0,
        "Bounces (others)": 0,
        "Deliveries": 4,
        "Delivery rate": 100.0,
    }
    assert found["All"]["Sends"] == 6
    assert found["18 Nov"]["Delivery rate"] is None
    assert len(found) == 7 + 2


def test_an_account_in_a_zone_of_quarter_hours_has_its_days_too(viewer: Client) -> None:
    Account.objects.update(time_zone="Asia/Kathmandu")  # UTC+5:45
    of = counted(dt.datetime(2026, 11, 19, 18, 14, 59, tzinfo=dt.UTC), requested=1)
    counted(dt.datetime(2026, 11, 19, 18, 15, tzinfo=dt.UTC), of=of, requested=7)
    fold()
    found = lines(page(viewer))
    assert (found["19 Nov"]["Sends"], found["20 Nov"]["Sends"]) == (1, 7)


def test_a_day_with_two_hours_alike_has_all_its_mail(viewer: Client) -> None:
    Account.objects.update(time_zone="Europe/Berlin")
    first = dt.datetime(2026, 10, 24, 22, 0, tzinfo=dt.UTC)  # midnight of the 25th, on which clocks go back
    of = counted(first, requested=0)
    for hours in range(25):
        counted(first + dt.timedelta(hours=hours), of=of, requested=1)
    fold()
    found = lines(page(viewer, **{"from": "2026-10-25", "to": "2026-10-25"}))
    assert found["All"]["Sends"] == 25
    assert found["02:00"]["Sends"] == 2
    assert len(found) == 24 + 2
    assert lines(page(viewer, **{"from": "2026-10-24", "to": "2026-10-26"}))["25 Oct"]["Sends"] == 25


def test_rates_are_of_what_they_are_of(viewer: Client) -> None:
    counted(NOW, requested=1000, rejected=200, delivered=600, unique_opens=150, opens=400, complaints=1, clicks=3)
    fold()
    assert lines(page(viewer))["All"]["Delivery rate"] == 75.0
    found = lines(page(viewer, "tracking"))["All"]
    assert (found["Open rate"], found["Opened"], found["Opens"]) == (25.0, 150, 400)
    assert found["Complaint rate"] == pytest.approx(0.1667, abs=0.001)
    text = viewer.get("/statistics/tracking/").content.decode()
    assert "0.17 %" in text
    assert "25.0 %" in text


def test_the_period_before_stands_beside(viewer: Client) -> None:
    of = counted(NOW, requested=150)
    counted(NOW - dt.timedelta(days=7), of=of, requested=100)
    counted(NOW - dt.timedelta(days=14), of=of, requested=1000)
    fold()
    context = page(viewer)
    assert (context["kpis"][0]["count"], context["kpis"][0]["before"], context["kpis"][0]["change"]) == (150, 100, 50)
    assert lines(context)["Before"]["Sends"] == 100
    assert str(context["earlier"]) == "8–14 Nov, 7 days"


def one_of_each(n: int) -> Of:
    """Mail that differs from the others in everything."""
    user = ApiUser.objects.create(name=f"shop {n}", type=["batch", "trigger"][n % 2])
    of = counted(NOW, requested=0)._replace(api_user_id=user.pk, label=f"=label {n}")
    return counted(NOW, to=f"d{n}.example.org", of=of, requested=10**n)


NAMES = ("sender_domain", "receiving_domain", "template", "label", "api_user", "type")


@pytest.mark.parametrize(
    "names", [*((name,) for name in NAMES), ("type", "template"), ("receiving_domain", "label"), NAMES], ids="-".join
)
def test_each_filter_leaves_its_own(names: tuple[str, ...], viewer: Client) -> None:
    made = [one_of_each(n) for n in range(2)]
    fold()
    of = made[1]
    values = {
        "sender_domain": of.sender_domain_id,
        "receiving_domain": ReceivingDomain.objects.get(pk=of.receiving_domain_id).name.upper(),
        "template": TemplateVersion.objects.get(pk=of.version_id).template_id,
        "label": of.label,
        "api_user": of.api_user_id,
        "type": "trigger",
    }
    assert lines(page(viewer))["All"]["Sends"] == 11
    assert lines(page(viewer, **{name: values[name] for name in names}))["All"]["Sends"] == 10


def test_a_domain_that_nothing_was_sent_to_has_no_figures_and_the_way_back_is_offered(viewer: Client) -> None:
    one_of_each(0)
    fold()
    context = page(viewer, receiving_domain="nowhere.example")
    assert context["nothing"] == {"first": False, "wider": context["nothing"]["wider"], "clear": "/statistics/sending/"}
    assert "from=2026-10-23" in context["nothing"]["wider"]


def test_before_the_first_mail_the_page_says_the_next_step(operator: Client) -> None:
    text = operator.get("/statistics/sending/").content.decode()
    assert "No figures yet" in text
    assert "/tasks/new/" in text


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-10-01", "to": "2026-11-15"},
        {"from": "2026-11-15 10:07", "to": "2026-11-15 12:00"},
        {"from": "gestern"},
        {"type": "nonsense"},
        {"sender_domain": "99999999999999999999"},
        {"label": "x" * 65},
    ],
)
def test_what_cannot_be_shown_is_said_and_nothing_is_shown(params: dict[str, str], viewer: Client) -> None:
    one_of_each(0)
    fold()
    answer = viewer.get("/statistics/sending/", params)
    assert answer.status_code == 200
    assert "Nothing is shown" in answer.content.decode()
    assert b"is-invalid" in answer.content or b"invalid-feedback" in answer.content
    assert viewer.get("/statistics/sending/figures.csv", params).status_code == 302


def test_a_quarter_hour_is_the_smallest_period(viewer: Client) -> None:
    of = counted(dt.datetime(2026, 11, 20, 0, 59, tzinfo=dt.UTC), requested=1)
    counted(dt.datetime(2026, 11, 20, 1, 0, tzinfo=dt.UTC), of=of, requested=2)
    counted(dt.datetime(2026, 11, 20, 1, 15, tzinfo=dt.UTC), of=of, requested=4)
    fold()
    found = lines(page(viewer, **{"from": "2026-11-20 10:00", "to": "2026-11-20 10:14"}))
    assert found["All"]["Sends"] == 2


def test_the_pages_say_up_to_when_they_are_and_loudly_when_that_is_long_ago(viewer: Client) -> None:
    one_of_each(0)
    fold()
    text = viewer.get("/statistics/sending/").content.decode()
    assert "Figures up to" in text
    assert "catch up" not in text
    Folded.objects.update(at=NOW - dt.timedelta(minutes=4, seconds=50))
    assert "at most 5 minutes behind" in viewer.get("/statistics/sending/").content.decode()
    Folded.objects.update(at=NOW - dt.timedelta(minutes=12))
    assert "The figures are 12 min behind" in viewer.get("/statistics/sending/").content.decode()


def test_the_figures_go_out_as_files_that_run_nothing(viewer: Client) -> None:
    of = one_of_each(3)
    fold()
    context = page(viewer, label=of.label)
    urls = dict(context["files"])
    answer = viewer.get(urls["csv"])
    assert answer["Content-Disposition"] == 'attachment; filename="sending-data-2026-11-15-2026-11-21.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode("utf-8-sig"))))  # type: ignore[call-overload]
    assert len(rows) == 7
    assert (rows[-1]["Day"], rows[-1]["Sends"], rows[-1]["Label"]) == ("2026-11-21", "1000", "'=label 3")

    answer = viewer.get(urls["xlsx"])
    sheet = load_workbook(io.BytesIO(answer.content)).worksheets[0]
    cells = list(sheet.iter_rows(values_only=True))
    assert cells[0][:2] == ("Day", "Sends")
    assert cells[-1][:2] == ("2026-11-21", 1000)
    assert cells[-1][-1] == "'=label 3"
    assert viewer.get("/statistics/sending/figures.exe").status_code == 404


def test_the_number_of_queries_does_not_grow(viewer: Client) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(viewer, receiving_domain="d0.example.org", type="batch")
        return len(queries)

    one_of_each(0)
    fold()
    before = asked()
    for n in range(1, 6):
        one_of_each(n)
        counted(NOW - dt.timedelta(days=n), requested=n)
    fold()
    assert asked() == before


def test_htmx_gets_the_part_that_changes(viewer: Client) -> None:
    one_of_each(0)
    fold()
    headers = {"HX-Request": "true", "HX-Target": "list"}
    answer = viewer.get("/statistics/sending/?label==label 0", headers=headers)
    assert b"<html" not in answer.content
    assert answer.content.strip().startswith(b'<div id="list"')
    assert "label=" in answer["HX-Push-Url"]
