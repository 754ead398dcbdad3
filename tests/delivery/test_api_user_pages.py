"""API users: a secret that is shown once, a switch that holds mail, settings that are checked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from console.models import ApiUser
from tests.factories.console import ApiUserFactory
from tests.factories.delivery import DomainFactory


def typed(**changes: Any) -> dict[str, Any]:
    return {"name": "shop", "type": "trigger", "track_opens": "on", "track_clicks": "on", **changes}


def secret_in(answer: Any) -> str:
    found = re.search(r'id="secret">([^<]+)<', answer.content.decode())
    assert found
    return found[1]


def test_the_secret_is_shown_once_and_kept_as_a_hash(administrator: Client) -> None:
    answer = administrator.post(reverse("api-user-new"), typed())
    secret = secret_in(answer)
    assert answer["Cache-Control"] == "no-store"
    user = ApiUser.objects.get(name="shop")
    assert user.has_secret(secret)
    assert secret not in user.secret_hash
    for url in (reverse("api-user", args=[user.pk]), reverse("api-users"), reverse("api-user-edit", args=[user.pk])):
        assert secret not in administrator.get(url).content.decode()


def test_a_new_secret_ends_the_old_one(administrator: Client) -> None:
    old = secret_in(administrator.post(reverse("api-user-new"), typed()))
    user = ApiUser.objects.get(name="shop")
    url = reverse("api-user-secret", args=[user.pk])
    administrator.get(url)
    user.refresh_from_db()
    assert user.has_secret(old)  # only asked
    new = secret_in(administrator.post(url))
    user.refresh_from_db()
    assert user.has_secret(new)
    assert not user.has_secret(old)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "Enter a name"),
        ({"type": "both"}, "valid choice"),
        ({"reply_to": "nobody"}, "valid email address"),
        ({"only_domain": "elsewhere.example"}, "valid choice"),
        ({"daily_quota": "-1"}, "Enter how many mails a day"),
        ({"daily_quota": "many"}, "Enter how many mails a day"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_made(administrator: Client, wrong: dict[str, str], said: str) -> None:
    answer = administrator.post(reverse("api-user-new"), typed(**wrong))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not ApiUser.objects.filter(is_console=False).exists()


def test_settings_are_changed_and_the_type_is_not(administrator: Client) -> None:
    user = ApiUserFactory()
    DomainFactory(name="mail.example.com")
    administrator.post(
        reverse("api-user-edit", args=[user.pk]),
        {"name": "other", "type": "batch", "reply_to": "Ann@Example.com", "only_domain": "mail.example.com",
         "daily_quota": "5000"},
    )  # fmt: skip
    user.refresh_from_db()
    assert (user.name, user.type, user.reply_to) == ("other", "trigger", "Ann@example.com")
    assert (user.only_domain, user.daily_quota, user.track_opens) == ("mail.example.com", 5000, False)


def test_a_restriction_to_a_domain_that_is_gone_does_not_open_up_by_itself(administrator: Client) -> None:
    user = ApiUserFactory(only_domain="gone.example.com")
    page = administrator.get(reverse("api-user-edit", args=[user.pk])).content.decode()
    assert '<option value="gone.example.com" selected>' in page


def test_disabling_holds_and_enabling_takes_up(administrator: Client, django_capture_on_commit_callbacks: Any) -> None:
    from django_q.models import OrmQ

    user = ApiUserFactory()
    administrator.get(reverse("api-user-disable", args=[user.pk]))
    assert ApiUser.objects.get(pk=user.pk).enabled
    administrator.post(reverse("api-user-disable", args=[user.pk]))
    assert not ApiUser.objects.get(pk=user.pk).enabled
    assert "mail is held" in administrator.get(reverse("api-users")).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        administrator.post(reverse("api-user-enable", args=[user.pk]))
    assert ApiUser.objects.get(pk=user.pk).enabled
    asked = [(task.task["func"], task.task["args"]) for task in OrmQ.objects.filter(key="jobs")]
    assert asked == [("delivery.jobs.release", ("api_user",))]
