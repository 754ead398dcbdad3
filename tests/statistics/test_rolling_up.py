"""Changes are appended as they happen, and folded into sums by quarter-hour."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from console import ids
from delivery.models import Delta, Folded, Statistic, Total
from delivery.models.status import Reason, Status
from delivery.services import rollup
from delivery.services.columns import COLUMNS, of_change, of_outcome
from delivery.services.deltas import Deltas, Of, quarter
from tests.factories.delivery import TemplateFactory

AT = dt.datetime(2026, 11, 21, 10, 7, tzinfo=dt.UTC)


def of(at: dt.datetime = AT, *, domain: int = 5, version: int = 0, label: str = "") -> Of:
    return Of(ids.id_at(at) + 17, 1, 2, domain, version, label)


def append(what: Of, **columns: int) -> None:
    changed = Deltas()
    changed.add(what, **columns)
    changed.write()


def sums() -> list[tuple[Any, ...]]:
    """(quarter, receiving domain, label, opens, clicks); receiving domain 0: over all."""
    columns = ("at", "label", "opens", "clicks")
    over_all = [(at, 0, *rest) for at, *rest in Total.objects.order_by("at", "label").values_list(*columns)]
    by_domain = Statistic.objects.order_by("pk").values_list("at", "receiving_domain_id", *columns[1:])
    return [*over_all, *by_domain]


# --- the columns


@pytest.mark.parametrize(
    ("status", "reason", "wanted"),
    [
        ("sending", "", {"requested"}),
        ("held", "", {"requested"}),
        ("sent", "", {"requested", "paid"}),
        ("delivered", "", {"requested", "paid", "delivered"}),
        ("invalid", "blacklist", {"requested", "rejected"}),
        ("invalid", "unsubscribe", {"requested", "rejected"}),
        ("invalid", "not_exist", {"requested", "paid", "invalid"}),
        ("invalid", "format_error", {"requested", "paid", "invalid"}),
        ("invalid", "spam", {"requested", "paid", "spam"}),
        ("invalid", "rejected", {"requested", "paid", "other"}),
        ("invalid", "ip_or_domain", {"requested", "other"}),
        ("invalid", "server_error", {"requested", "other"}),
        ("soft_bounce", "other", {"requested", "paid", "other"}),
        ("soft_bounce", "not_exist", {"requested", "paid", "invalid"}),
        ("control_group", "", set()),
        ("cancelled", "", set()),
    ],
)
def test_what_a_message_counts_as(status: str, reason: str, wanted: set[str]) -> None:
    assert {name for name, count in zip(COLUMNS, of_outcome(status, reason, False), strict=True) if count} == wanted


def test_every_end_is_counted_in_one_column_and_mail_that_is_free_is_not_paid() -> None:
    ends = COLUMNS.index("rejected"), *(COLUMNS.index(name) for name in ("invalid", "spam", "other", "delivered"))
    for reason in Reason.values:
        for status in (Status.INVALID, Status.SOFT_BOUNCE):
            assert sum(of_outcome(status, reason, False)[place] for place in ends) == 1
    assert of_outcome("delivered", "", True)[COLUMNS.index("paid")] == 0


def test_a_late_bounce_takes_the_delivery_back() -> None:
    changed = of_change(("delivered", ""), ("soft_bounce", "not_exist"), False)
    assert {n: c for n, c in zip(COLUMNS, changed, strict=True) if c} == {"delivered": -1, "invalid": 1}
    assert not any(of_change(("sending", ""), ("held", ""), False))


# --- appending and folding


@pytest.mark.django_db
def test_changes_are_added_up_before_they_are_written() -> None:
    changed = Deltas()
    for _time in range(3):
        changed.add(of(), opens=2)
    changed.add(of(AT + dt.timedelta(minutes=7, seconds=59)), clicks=1)
    changed.add(of(AT + dt.timedelta(minutes=8)), clicks=1)
    changed.add(of(label="x"), opens=1)
    changed.add(of(label="x"), opens=-1)
    changed.write()
    ten = dt.datetime(2026, 11, 21, 10, tzinfo=dt.UTC)
    assert list(Delta.objects.order_by("at").values_list("at", "opens", "clicks")) == [
        (ten, 6, 1),
        (ten + dt.timedelta(minutes=15), 0, 1),
    ]
    assert quarter(AT) == ten
    changed.write()
    assert Delta.objects.count() == 2, "nothing is written twice"


@pytest.mark.django_db
def test_sums_stand_by_receiving_domain_and_over_all() -> None:
    ten = quarter(AT)
    append(of(domain=5), opens=1)
    append(of(domain=6), opens=2)
    assert rollup.fold(now=AT) == 2
    append(of(domain=6), opens=3, clicks=1)
    assert rollup.fold(now=AT) == 1
    assert sums() == [(ten, 0, "", 6, 1), (ten, 5, "", 1, 0), (ten, 6, "", 5, 1)]
    assert rollup.fold(now=AT) == 0
    assert not Delta.objects.exists()


@pytest.mark.django_db
def test_versions_of_a_template_count_together() -> None:
    template = TemplateFactory()
    first = template.current_id
    template = TemplateFactory(template=template, source="<p>Another</p>", name=template.name)
    assert template.current_id != first
    append(of(version=first), opens=1)
    append(of(version=template.current_id), opens=1)
    rollup.fold(now=AT)
    assert list(Total.objects.values_list("template_id", "opens")) == [(template.pk, 2)]


@pytest.mark.django_db
def test_it_is_known_up_to_when_everything_is_in_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rollup.folded_at() is None
    rollup.fold(now=AT)
    assert rollup.folded_at() == AT
    monkeypatch.setattr(rollup, "CHUNK", 2)
    monkeypatch.setattr(rollup, "MOST_CHUNKS", 2)
    for number in range(5):
        append(of(label=str(number)), opens=1)
    assert rollup.fold(now=AT + dt.timedelta(minutes=1)) == 4
    assert rollup.folded_at() == AT, "something is left"
    assert rollup.fold(now=AT + dt.timedelta(minutes=2)) == 1
    assert Folded.objects.get().at == AT + dt.timedelta(minutes=2)


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_counted() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        append(of(), opens=1)
        _ = 1 / 0
    assert rollup.fold(now=AT) == 0


@pytest.mark.django_db(transaction=True)
def test_many_may_fold_and_append_at_once() -> None:
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(30):
                append(of(domain=5 + turn % 3, label=str(turn % 2)), opens=1)
                rollup.fold(now=timezone.now())
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    rollup.fold(now=timezone.now())
    assert sum(row[3] for row in sums() if not row[1]) == 120
    assert sum(row[3] for row in sums() if row[1]) == 120
