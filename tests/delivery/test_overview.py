"""The overview, and what the search of the top bar finds."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.models import Account, Heartbeat
from delivery.models import Task
from delivery.services.tasks import create_task, expand
from tests.factories.delivery import AddressFactory, DomainFactory, GroupFactory, TemplateFactory
from tests.factories.sending import message, new_task

pytestmark = pytest.mark.django_db


def home(client: Client) -> Any:
    answer = client.get("/")
    assert answer.status_code == 200
    return answer.context


def next_step(client: Client) -> str:
    return next(step.title for step in home(client)["steps"] if step.here)


def test_an_empty_installation_is_led_to_its_first_task(administrator: Client) -> None:
    assert next_step(administrator) == "Create a sender domain"
    domain = DomainFactory()
    assert next_step(administrator) == "Verify it"
    domain.verified_at = timezone.now()
    domain.save()
    assert next_step(administrator) == "Create a sender address"
    AddressFactory(domain=domain)
    assert next_step(administrator) == "Create an email template"
    TemplateFactory()
    assert next_step(administrator) == "Import a recipient group"
    GroupFactory(people=2)
    assert next_step(administrator) == "Send the first task"
    create_task(new_task())
    assert home(administrator)["steps"] == []


def test_a_viewer_is_offered_nothing_that_is_refused(viewer: Client) -> None:
    assert [step.title for step in home(viewer)["steps"] if "new" in step.link] == []


def test_what_needs_attention_is_listed(viewer: Client) -> None:
    task = create_task(new_task())
    Task.objects.filter(pk=task.pk).update(status="failed", failure="No template.", ended_at=timezone.now())
    DomainFactory(name="lost.example.com", problem="Its DKIM record is gone.")
    DomainFactory(name="new.example.com")
    account = Account.current()
    account.sending_stopped_at = timezone.now()
    account.save()
    assert [each.title for each in home(viewer)["attention"]] == [
        "No delivery worker runs",
        "All sending is stopped",
        "lost.example.com lost its records",
        "new.example.com is pending verification",
        f"Task {task.pk} failed",
    ]


def test_nothing_to_attend_to_is_one_calm_sentence(viewer: Client) -> None:
    create_task(new_task())
    Heartbeat.objects.create(name="deliver@a:1", part="deliver", beat_at=timezone.now())
    assert home(viewer)["attention"] == []
    assert "Everything is all right" in viewer.get("/").content.decode()


def test_figures_come_from_the_counters_of_the_tasks(viewer: Client) -> None:
    task = create_task(new_task())
    expand(task.pk, now=timezone.now())
    context = home(viewer)
    assert {kpi["title"]: kpi["count"] for kpi in context["kpis"]}["Sending"] == 3
    assert {words: count for words, count, _url in context["states"]}["Ready to be sent"] == 3
    assert [one.pk for one in context["tasks"]] == [task.pk]


def test_the_number_of_queries_does_not_grow(viewer: Client, django_assert_max_num_queries: Any) -> None:
    for _ in range(12):
        expand(create_task(new_task()).pk, now=timezone.now())
    with django_assert_max_num_queries(22):
        viewer.get("/")


# --- search


def found(client: Client, text: str) -> str:
    return getattr(client.get("/search/", {"q": text}), "url", "")


def test_the_beginning_of_an_address_leads_to_its_mail(viewer: Client) -> None:
    message("ann@example.org")
    url = found(viewer, "ann@exam")
    assert url.startswith("/email-status/?from=")
    assert [row.recipient for row in viewer.get(url).context["table"].data] == ["ann@example.org"]


def test_a_message_id_leads_to_the_message(viewer: Client) -> None:
    made = message()
    assert found(viewer, f" {made.pk} ") == f"/email-status/{made.pk}/"


def test_a_task_number_leads_to_the_task(viewer: Client) -> None:
    task = create_task(new_task())
    assert found(viewer, str(task.pk)) == f"/tasks/{task.pk}/"


@pytest.mark.parametrize("text", ["", "nothing", "999999", "9" * 18, "9" * 19, "9" * 300, "١٢٣", "\x00"])
def test_what_is_not_there_is_said(text: str, viewer: Client) -> None:
    answer = viewer.get("/search/", {"q": text})
    assert answer.status_code == 200
