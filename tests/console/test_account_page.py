"""The account: its settings, and stopping all sending."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from console.models import Account


def typed(**changes: str) -> dict[str, str]:
    return {"name": "Morrow & Finch", "time_zone": "Asia/Tokyo", "retry_hours": "48", **changes}


def test_settings_are_changed_and_times_follow_the_zone(administrator: Client) -> None:
    administrator.post(reverse("account-edit"), typed())
    account = Account.current()
    assert (account.name, account.time_zone, account.retry_hours) == ("Morrow & Finch", "Asia/Tokyo", 48)
    assert "Tokyo" in administrator.get(reverse("account")).content.decode()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"time_zone": "Mars/Olympus"}, "valid choice"),
        ({"retry_hours": "0"}, "Enter 1 to 120 hours"),
        ({"retry_hours": "121"}, "Enter 1 to 120 hours"),
        ({"name": ""}, "Enter the name of your company"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_saved(administrator: Client, wrong: dict[str, str], said: str) -> None:
    answer = administrator.post(reverse("account-edit"), typed(**wrong))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert Account.current().retry_hours == 72


def test_all_sending_is_stopped_only_when_asked_twice(administrator: Client, viewer: Client) -> None:
    url = reverse("account-stop")
    name = Account.current().name
    assert "no trigger mail" in administrator.get(url).content.decode()
    second = administrator.post(url)
    assert second.status_code == 200
    assert f"Type <b>{name}</b>" in second.content.decode()
    assert "invalid-feedback" not in second.content.decode()
    assert administrator.post(url, {"typed": "yes"}).status_code == 422
    assert Account.current().sending_stopped_at is None
    administrator.post(url, {"typed": name})
    account = Account.current()
    assert account.sending_stopped_at is not None
    assert account.sending_stopped_by == "administrator"
    # Loud on every page, to everybody.
    assert "All sending is stopped." in viewer.get(reverse("account")).content.decode()


def test_a_form_that_was_open_meanwhile_does_not_resume(administrator: Client) -> None:
    administrator.post(reverse("account-stop"), {"typed": Account.current().name})
    administrator.post(reverse("account-edit"), typed())
    assert Account.current().sending_stopped_at is not None


def test_resuming_takes_up_what_was_held(administrator: Client, django_capture_on_commit_callbacks: Any) -> None:
    from django_q.models import OrmQ

    administrator.post(reverse("account-stop"), {"typed": Account.current().name})
    administrator.get(reverse("account-resume"))
    assert Account.current().sending_stopped_at is not None
    for _time in range(2):  # pressed twice, asked once
        with django_capture_on_commit_callbacks(execute=True):
            administrator.post(reverse("account-resume"))
    assert Account.current().sending_stopped_at is None
    asked = [(task.task["func"], task.task["args"]) for task in OrmQ.objects.filter(key="jobs")]
    assert asked == [("delivery.jobs.release", ("account",))]


def test_operators_neither_stop_nor_resume(operator: Client) -> None:
    for name in ("account-edit", "account-stop", "account-resume"):
        assert operator.post(reverse(name), {"typed": "Posthorn"}).status_code == 403
