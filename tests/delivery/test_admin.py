"""Django's admin over the configuration: every page opens, and services are not gone round."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from console.models import ApiUser
from delivery.models import RecipientGroup, SenderAddress, SenderDomain, Template
from tests.factories.delivery import AddressFactory, DomainFactory, GroupFactory, TemplateFactory

MODELS = [model for model in admin.site._registry if model._meta.app_label in ("console", "delivery")]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_administrators_open_every_list_and_others_none(model: type, administrator: Client, operator: Client) -> None:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")  # type: ignore[attr-defined]
    AddressFactory()
    TemplateFactory()
    GroupFactory(people=1)
    assert administrator.get(url).status_code == 200
    assert operator.get(url).status_code == 302


def test_each_thing_opens_and_what_services_keep_in_step_cannot_be_changed(administrator: Client) -> None:
    things = {
        SenderDomain: DomainFactory(records=True),
        SenderAddress: AddressFactory(),
        Template: TemplateFactory(),
        RecipientGroup: GroupFactory(people=1),
    }
    for model, thing in things.items():
        name = f"admin:delivery_{model._meta.model_name}"
        assert administrator.get(reverse(f"{name}_change", args=[thing.pk])).status_code == 200
        assert administrator.get(reverse(f"{name}_add")).status_code == 403
        # What uses it is asked on its own page.
        assert administrator.post(reverse(f"{name}_delete", args=[thing.pk]), {"post": "yes"}).status_code == 403
    domain = things[SenderDomain]
    assert (
        administrator.post(
            reverse("admin:delivery_senderdomain_change", args=[domain.pk]), {"name": "x.example"}
        ).status_code
        == 403
    )


def test_an_api_user_whose_mail_waits_can_be_disabled_but_neither_deleted_nor_made_one_of_another_type(
    administrator: Client,
) -> None:
    user = ApiUser.console(ApiUser.Type.TRIGGER)
    delete = reverse("admin:console_apiuser_delete", args=[user.pk])
    assert administrator.post(delete, {"post": "yes"}).status_code == 403
    form = {"name": user.name, "type": "batch", "daily_quota": "7"}
    answer = administrator.post(reverse("admin:console_apiuser_change", args=[user.pk]), form)
    assert answer.status_code == 302
    user.refresh_from_db()
    assert (user.type, user.enabled, user.daily_quota) == ("trigger", False, 7)
