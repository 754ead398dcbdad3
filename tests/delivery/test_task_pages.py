"""The pages of batch tasks: the list, creating one, and acting on it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from delivery.models import Message, PauseCause, SenderAddress, Task
from delivery.services import tasks
from delivery.services.tasks import create_task, expand
from tests.factories.delivery import AddressFactory, GroupFactory
from tests.factories.sending import new_task, template

pytestmark = pytest.mark.django_db


def made() -> Task:
    task = create_task(new_task())
    expand(task.pk, now=timezone.now())
    return Task.objects.get(pk=task.pk)


def form(**changed: Any) -> dict[str, Any]:
    return {
        "subject": "News for {{name}}",
        "template": template().pk,
        "sender_address": AddressFactory().pk,
        "group": GroupFactory(people=3).pk,
        "defaults": "",
        "label": "spring",
        "control_percent": "0",
        "type": "batch",
        **changed,
    }


# --- creating


def test_a_task_is_shown_once_more_and_made_only_then(operator: Client) -> None:
    given = form()
    asked = operator.post("/tasks/new/", given)
    assert "Send to 3 recipients" in asked.content.decode()
    assert not Task.objects.exists()
    answer = operator.post("/tasks/new/", {**given, "confirmed": "1"})
    task = Task.objects.get()
    assert answer.url == f"/tasks/{task.pk}/"  # type: ignore[attr-defined]
    assert (task.subject, task.label, task.created_by) == ("News for {{name}}", "spring", "operator")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"subject": "For {{who}} and {{whom}}"}, "who, whom"),
        ({"subject": ""}, "Enter a subject."),
        ({"subject": "a\r\nBcc: b@example.org"}, "one line"),
        ({"defaults": "[1]"}, "no object"),
        ({"defaults": "{"}, "not JSON"),
        ({"defaults": "[" * 5000}, "not JSON"),
        ({"control_percent": "51"}, "50"),
        ({"control_percent": "x"}, "Enter 0 to 50"),
        ({"group": "999999"}, "valid choice"),
        ({"template": ""}, "Choose a template."),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_made(changed: dict[str, str], words: str, operator: Client) -> None:
    answer = operator.post("/tasks/new/", {**form(**changed), "confirmed": "1"})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Task.objects.exists()


def test_what_changed_since_it_was_shown_is_checked_again(operator: Client) -> None:
    given = form()
    operator.post("/tasks/new/", given)
    SenderAddress.objects.get(pk=given["sender_address"]).domain.delete()
    answer = operator.post("/tasks/new/", {**given, "confirmed": "1"})
    assert answer.status_code == 422
    assert not Task.objects.exists()


def test_beside_the_form_stands_where_each_variable_comes_from(operator: Client) -> None:
    given = form(
        template=template("<p>{{name}} {{store}} {{tier}}</p>").pk, defaults='{"store": "ours"}', control_percent="50"
    )
    shown = operator.get("/tasks/new/", given).context["chosen"]
    assert [(name, where, bool(missing)) for name, where, missing in shown.variables] == [
        ("name", "group", False),
        ("store", "defaults", False),
        ("tier", "", True),
    ]
    assert (shown.size, shown.mails) == (3, 1)


def test_changing_something_shows_the_form_as_it_was_filled(operator: Client) -> None:
    given = form()
    answer = operator.post("/tasks/new/", {**given, "edit": "1"})
    assert answer.context["form"]["subject"].value() == given["subject"]
    assert not Task.objects.exists()


# --- the list


def test_the_list_filters_by_status_and_type(viewer: Client) -> None:
    running, paused, done = made(), made(), made()
    tasks.pause(paused, cause=PauseCause.OPERATOR)
    Task.objects.filter(pk=done.pk).update(status="done")

    def listed(**params: str) -> set[int]:
        return {task.pk for task in viewer.get("/tasks/", params).context["table"].data}

    assert listed() == {running.pk, paused.pk, done.pk}
    assert listed(status="under_way") == {running.pk, paused.pk}
    assert listed(status="paused") == {paused.pk}
    assert listed(status="done", type="batch") == {done.pk}
    assert listed(type="recurring") == set()


def test_the_list_refreshes_by_itself_until_stopped(viewer: Client) -> None:
    made()
    assert 'hx-trigger="every 5s"' in viewer.get("/tasks/").content.decode()
    assert 'hx-trigger="every 5s"' not in viewer.get("/tasks/?live=0").content.decode()


def test_a_task_links_its_counts_to_its_emails(viewer: Client) -> None:
    task = made()
    html = viewer.get(f"/tasks/{task.pk}/").content.decode()
    day = timezone.localdate(task.created_at).isoformat()
    assert f"/email-status/?from={day}&amp;" in html
    assert f"task={task.pk}&amp;status=sending" in html
    url = next(url for _badge, _count, url in viewer.get(f"/tasks/{task.pk}/").context["counts"])
    assert len(viewer.get(url).context["table"].data) == 3


# --- acting


def test_an_operator_pauses_resumes_and_stops(operator: Client) -> None:
    task = made()
    operator.post(f"/tasks/{task.pk}/pause/")
    task.refresh_from_db()
    assert (task.status, task.acted_by) == ("paused", "operator")
    operator.post(f"/tasks/{task.pk}/resume/")
    task.refresh_from_db()
    assert task.status == "sending"
    asked = operator.get(f"/tasks/{task.pk}/stop/")
    assert "3 of 3 mails have no final status yet" in asked.content.decode()
    task.refresh_from_db()
    assert task.status == "sending"
    operator.post(f"/tasks/{task.pk}/stop/")
    task.refresh_from_db()
    assert (task.status, task.acted_by) == ("stopped", "operator")


@pytest.mark.parametrize("action", ["pause", "resume", "stop"])
def test_a_viewer_may_not_act_and_sees_no_buttons(action: str, viewer: Client) -> None:
    task = made()
    assert viewer.post(f"/tasks/{task.pk}/{action}/").status_code == 403
    task.refresh_from_db()
    assert task.status == "sending"
    assert f"/tasks/{task.pk}/{action}/" not in viewer.get("/tasks/").content.decode()
    assert f"/tasks/{task.pk}/{action}/" not in viewer.get(f"/tasks/{task.pk}/").content.decode()


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_acting_is_by_post_only(action: str, operator: Client) -> None:
    assert operator.get(f"/tasks/{made().pk}/{action}/").status_code == 405


def test_what_cannot_be_done_is_said(operator: Client) -> None:
    task = made()
    answer = operator.post(f"/tasks/{task.pk}/resume/", follow=True)
    assert "This task is not paused." in answer.content.decode()


# --- regular sending


def test_a_regular_mail_is_sent_to_all_of_a_few_people(operator: Client) -> None:
    given = {
        "subject": "Your order",
        "template": template().pk,
        "sender_address": AddressFactory().pk,
        "recipients": "ann@example.org\nbob@example.org",
        "variables": '{"name": "Ann"}',
    }
    answer = operator.post("/regular/", given, follow=True)
    assert "ann@example.org" in answer.content.decode()
    assert Message.objects.count() == 2
    assert {m.request_ip for m in Message.objects.all()} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"recipients": "ann@example.org\nbob"}, "Line 2, “bob”"),
        ({"recipients": ""}, "Enter at least one address"),
        ({"variables": "{}"}, "There is no value for: name"),
        ({"variables": "7"}, "no object"),
        ({"subject": "Hi {{"}, "never closed"),
    ],
)
def test_a_wrong_regular_mail_is_told_and_nothing_is_sent(
    changed: dict[str, str], words: str, operator: Client
) -> None:
    given = {
        "subject": "Your order",
        "template": template().pk,
        "sender_address": AddressFactory().pk,
        "recipients": "ann@example.org",
        "variables": '{"name": "Ann"}',
        **changed,
    }
    answer = operator.post("/regular/", given)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Message.objects.exists()


def test_templates_with_two_variables_cannot_be_chosen(operator: Client) -> None:
    one, two = template(), template("<p>{{a}} {{b}}</p>")
    choices = list(operator.get("/regular/").context["form"].fields["template"].queryset)
    assert one in choices
    assert two not in choices
