"""Roles: who may what, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from console import roles


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("viewer", ["delivery.view_message", "console.view_apiuser"], ["delivery.send", "console.view_user"]),
        ("operator", ["delivery.send", "delivery.add_recipientgroup"], ["delivery.add_senderdomain"]),
        ("administrator", ["delivery.add_senderdomain", "console.change_user", "console.add_apiuser"], []),
    ],
)
def test_a_role_may_what_its_name_says(
    role: str, may: list[str], may_not: list[str], person: Callable[[str], Any]
) -> None:
    user = person(role)
    assert [name for name in may if not user.has_perm(name)] == []
    assert [name for name in may_not if user.has_perm(name)] == []


def test_each_role_may_all_that_the_one_below_it_may(db: None) -> None:
    held = {name: set(Group.objects.get(name=name).permissions.values_list("pk", flat=True)) for name in roles.ROLES}
    assert held["viewer"] < held["operator"] < held["administrator"]


def test_administrators_enter_djangos_admin_and_nobody_else(
    viewer: Client, operator: Client, administrator: Client
) -> None:
    assert administrator.get("/admin/").status_code == 200
    assert viewer.get("/admin/").status_code == 302
    assert operator.get("/admin/").status_code == 302


def test_who_is_no_administrator_any_more_can_no_longer_enter(person: Callable[[str], Any]) -> None:
    user = person("administrator")
    assert user.is_staff
    roles.give(user, "operator")
    user.refresh_from_db()
    assert not user.is_staff


def test_the_first_administrator_may_enter_whatever_role_they_have(django_user_model: Any, db: None) -> None:
    user = django_user_model.objects.create_superuser("first")
    roles.give(user, "viewer")
    user.refresh_from_db()
    assert user.is_staff


def test_an_administrator_makes_people_and_gives_them_a_role(administrator: Client, django_user_model: Any) -> None:
    secret = "a long new password"
    answer = administrator.post(
        "/admin/console/user/add/",
        {
            "username": "mio",
            "usable_password": "true",
            "password1": secret,
            "password2": secret,
            "groups": [Group.objects.get(name="operator").pk],
        },
    )
    assert answer.status_code == 302, answer.context["errors"]
    mio = django_user_model.objects.get(username="mio")
    assert mio.has_perm("delivery.send")
    assert not mio.is_staff
    assert administrator.get("/admin/console/user/").status_code == 200


def test_a_person_without_a_role_is_told_so(client: Client, django_user_model: Any, db: None) -> None:
    client.force_login(django_user_model.objects.create_user("nobody"))
    answer = client.get("/", follow=True)
    assert answer.status_code in (200, 403)
