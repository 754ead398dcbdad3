"""Queue status: which queues are shown and how they stand; filters; pausing, recovering, limits; who may."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.models import ApiUser
from delivery.engine import shape
from delivery.models import LookedAt, QueuePause, Standing, Waiting
from delivery.services import flow, pauses, standing
from tests.factories.console import ApiUserFactory
from tests.factories.queues import counted, pause, queue_with

pytestmark = pytest.mark.django_db


def looked() -> dict[str, Standing]:
    standing.look(now=timezone.now(), force=True)
    return {row.queue.receiving_domain.name: row for row in Standing.objects.all()}


def shown(client: Client, **params: Any) -> list[str]:
    LookedAt.objects.all().delete()
    table = client.get("/queues/", params).context["table"]
    return [row.record.queue.receiving_domain.name for row in table.rows]


def test_a_queue_is_shown_while_it_has_mail_moves_or_is_paused() -> None:
    queue_with("waits.test", ready=2, later=1, held=1)
    queue_with("moves.test", moving=True)
    queue_with("empty.test")
    pause(queue_with("paused.test"))
    rows = looked()
    assert set(rows) == {"waits.test", "moves.test", "paused.test"}
    assert (rows["waits.test"].waiting, rows["waits.test"].later, rows["waits.test"].held) == (4, 1, 1)
    Waiting.objects.all().delete()
    assert "waits.test" not in looked()


def test_a_queue_is_paused_running_or_idle() -> None:
    queue_with("ready.test", ready=1)
    queue_with("deferred.test", later=2)
    pause(queue_with("paused.test", ready=1))
    pause(queue_with("long.test", ready=1), minutes=60 * 49)
    pause(queue_with("over.test", ready=1), paused_until=timezone.now() - dt.timedelta(seconds=1))
    rows = looked()
    assert {name: row.status for name, row in rows.items()} == {
        "ready.test": "running",
        "deferred.test": "idle",
        "paused.test": "paused",
        "long.test": "paused",
        "over.test": "running",
    }
    assert [rows[name].rank for name in ("long.test", "paused.test", "ready.test", "deferred.test")] == [0, 1, 2, 3]
    assert rows["over.test"].pace == pytest.approx(0.5)


def test_one_sending_ip_of_two_does_not_pause_the_queue(settings: Any, viewer: Client) -> None:
    settings.SENDING_IPS = ["127.0.0.2", "127.0.0.3"]
    queue = queue_with("half.test", ready=1)
    pause(queue, ip="127.0.0.2", said="550 127.0.0.2 is listed")
    assert looked()["half.test"].status == "running"
    page = viewer.get("/queues/").content.decode()
    assert "127.0.0.2 only" in page
    assert "550 127.0.0.2 is listed" in page
    pause(queue, ip="127.0.0.3")
    assert looked()["half.test"].status == "paused"


def test_rates_are_averages_of_whole_buckets(viewer: Client) -> None:
    queue, now = queue_with("a.test", ready=1), timezone.now()
    end = flow.last_end(now)
    for ago, joined in ((5, 50), (10, 20), (20, 80)):
        counted(queue, at=end - dt.timedelta(seconds=ago), joined=joined, reply=f"250 {ago}")
    standing.look(now=now, force=True)
    row = Standing.objects.get()
    assert (row.joined_5, row.joined_15, row.joined_30) == (50, 70, 150)
    assert row.reply == "250 5"
    for seconds, rate in ((5, "10.0"), (15, "4.7"), (30, "5.0")):
        assert f">{rate}<" in viewer.get("/queues/", {"rates": seconds}).content.decode()
    answer = viewer.get("/queues/", {"rates": 5})
    assert "rates=5" in answer.context["here"], "refreshing keeps it"


def test_who_looks_within_five_seconds_sees_the_same_look() -> None:
    now = timezone.now()
    queue_with("a.test", ready=1)
    standing.look(now=now)
    queue_with("b.test", ready=1)
    standing.look(now=now + dt.timedelta(seconds=4))
    assert Standing.objects.count() == 1
    standing.look(now=now + dt.timedelta(seconds=5))
    assert Standing.objects.count() == 2
    LookedAt.objects.update(seconds=2.0)
    queue_with("c.test", ready=1)
    standing.look(now=now + dt.timedelta(seconds=20))
    assert Standing.objects.count() == 2, "a look that took two seconds is made every 20 seconds"


def test_filters(viewer: Client) -> None:
    shop = ApiUserFactory(name="shop")
    queue_with("a.test", ready=1)
    other = queue_with("b.test", ready=1, api_user=shop)
    pause(queue_with("c.test", ready=1))
    at = flow.bucket(timezone.now() - dt.timedelta(hours=2))
    from tests.factories.delivery import DomainFactory

    domain = DomainFactory()
    counted(other, at=at, joined=1, sender_domain_id=domain.pk)
    assert shown(viewer) == ["c.test", "a.test", "b.test"] or shown(viewer) == ["c.test", "b.test", "a.test"]
    assert shown(viewer, api_user=shop.pk) == ["b.test"]
    assert shown(viewer, domain="A.test") == ["a.test"]
    assert shown(viewer, status="paused") == ["c.test"]
    assert shown(viewer, sender_domain=domain.pk) == ["b.test"]


def test_a_refresh_keeps_the_rows_in_their_order(viewer: Client) -> None:
    few, many = queue_with("few.test", ready=1), queue_with("many.test", ready=5)
    assert shown(viewer, sort="-waiting") == ["many.test", "few.test"]
    queue_with("few.test", ready=9)
    queue_with("new.test", ready=20)
    LookedAt.objects.all().delete()
    headers = {"HX-Request": "true", "HX-Target": "results", "X-Order": f"{many.pk} {few.pk}"}
    again = viewer.get("/queues/", {"sort": "-waiting"}, headers=headers).context["table"]
    assert [row.record.queue.receiving_domain.name for row in again.rows] == ["many.test", "few.test", "new.test"]
    assert shown(viewer, sort="-waiting") == ["new.test", "few.test", "many.test"]


def test_figures_stand_in_a_table_without_scripts(viewer: Client) -> None:
    queue = queue_with("a.test", ready=1)
    counted(queue, at=flow.last_end(timezone.now()) - dt.timedelta(seconds=5), joined=35, delivered=20)
    for params in ({}, {"over": "5"}, {"over": "10080"}, {"domain": "a.test", "over": "5"}):
        page = viewer.get("/queues/", params)
        assert page.content.count(b"Figures as a table") == 2
    page = viewer.get("/queues/charts/", {"over": "5", "domain": "a.test"}).content.decode()
    assert '<td class="ph-num">7.0</td>' in page
    page = viewer.get("/queues/charts/", {"over": "5", "domain": "b.test"}).content.decode()
    assert '<td class="ph-num">7.0</td>' not in page


def test_an_operator_pauses_by_hand_and_recovers(operator: Client) -> None:
    queue = queue_with("a.test", ready=3, later=2)
    asked = operator.get(f"/queues/{queue.pk}/pause/").content.decode()
    assert "every API user and sending IP" in asked
    assert not QueuePause.objects.exists()
    page = operator.post(f"/queues/{queue.pk}/pause/", follow=True).content.decode()
    assert "Paused by operator" in page
    group = queue.receiving_domain.limit_group_id
    assert pauses.states([group], now=timezone.now())[group, ""].paused_until
    page = operator.post(f"/queues/{queue.pk}/recover/", {"next": "/queues/?status=idle"}, follow=True)
    assert page.redirect_chain[0][0] == "/queues/?status=idle"
    assert "2 deferred mails are due" in page.content.decode()
    assert not QueuePause.objects.exists()
    assert not Waiting.objects.filter(state=Waiting.State.LATER).exists()


def test_a_viewer_is_offered_nothing_to_do(viewer: Client) -> None:
    pause(queue_with("a.test", ready=1))
    page = viewer.get("/queues/").content.decode()
    assert "recover/" not in page
    assert "limits/" not in page


def test_limits_of_a_group_are_the_rules_unless_an_administrator_says_otherwise(
    administrator: Client, operator: Client
) -> None:
    group = queue_with("a.test", ready=1).receiving_domain.limit_group
    url = f"/queues/limits/{group.pk}/"
    assert operator.get(url).status_code == 403
    assert "Empty: the rules&#x27; value, 20." in administrator.get(url).content.decode()
    for wrong in ({"connections": "0"}, {"rate": "-1"}, {"rate": "nan"}, {"messages_per_connection": "99999"}):
        assert administrator.post(url, wrong).status_code == 422
    given = {"connections": "3", "rate": "1.5", "pause_minutes": "30"}
    assert administrator.post(url, given).status_code == 302
    group.refresh_from_db()
    assert [getattr(group, name) for name in shape.LIMITS] == [3, None, 1.5, 30, None]
    administrator.post(url, {})
    group.refresh_from_db()
    assert {getattr(group, name) for name in shape.LIMITS} == {None}


def test_the_menu_counts_paused_queues_and_the_overview_tells_of_them(viewer: Client) -> None:
    from delivery.services.tasks import create_task
    from tests.factories.sending import new_task

    create_task(new_task())
    assert b"queues paused" not in viewer.get("/").content
    pause(queue_with("qq.test", ready=5), minutes=60 * 54)
    pause(queue_with("busy.test", ready=2, api_user=ApiUser.console(ApiUser.Type.TRIGGER)), minutes=4)
    LookedAt.objects.all().delete()
    page = viewer.get("/").content.decode()
    assert "2 queues paused" in page
    assert "Mail to qq.test has been paused for more than 2 days" in page
    assert "Mail to busy.test is paused" in page
    assert "5 mails wait." in page
