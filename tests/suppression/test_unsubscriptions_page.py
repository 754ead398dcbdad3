"""The list of unsubscriptions: who stands there, who is found, and who may take whom off."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.models import ApiUser
from suppression import address, services
from suppression.models import Entry

URL = "/unsubscriptions/"


@pytest.fixture
def gone(db: None) -> list[str]:
    now = timezone.now()
    keys = []
    for number, text in enumerate(["Ann@Example.com", "bob@example.com", "carol@other.example"]):
        user, _made = ApiUser.objects.get_or_create(name=f"shop-{number % 2}", defaults={"type": "batch"})
        keys.append(address.parse(text).key)
        services.unsubscribe(keys[-1], api_user_id=user.pk, now=now)
    Entry.objects.create(list=Entry.List.BLOCK, key="blocked@example.com", created_at=now, latest_at=now)
    return keys


def shown(answer: Any) -> set[str]:
    return {row.record.key for row in answer.context["table"].rows}


def test_only_unsubscriptions_stand_there_with_domain_and_reason(viewer: Client, gone: list[str]) -> None:
    answer = viewer.get(URL)
    assert shown(answer) == set(gone)
    text = answer.content.decode()
    assert "other.example" in text
    assert "Not given" in text


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ANN@EXAMPLE.COM", {"ann@example.com"}),
        (" ann@example.com ", {"ann@example.com"}),
        ("Bo", {"bob@example.com"}),
        ("nobody@example.com", set()),
        ("%", set()),
        ("@example.com", set()),
    ],
)
def test_an_address_is_found_however_it_is_typed(viewer: Client, gone: list[str], typed: str, found: set[str]) -> None:
    assert shown(viewer.get(URL, {"address": typed})) == found


def test_the_list_can_be_narrowed_to_an_api_user(viewer: Client, gone: list[str]) -> None:
    user = ApiUser.objects.get(name="shop-1")
    assert shown(viewer.get(URL, {"api_user": user.pk})) == {"bob@example.com"}


def test_an_operator_takes_off_what_is_selected(operator: Client, gone: list[str]) -> None:
    entry = Entry.objects.get(key="ann@example.com")
    asked = operator.get(f"{URL}delete/", {"id": entry.pk})
    assert "mailed again" in asked.content.decode()
    assert Entry.objects.count() == 4
    operator.post(f"{URL}delete/", {"id": entry.pk})
    assert not Entry.objects.filter(key="ann@example.com").exists()
    assert Entry.objects.count() == 3
    assert services.stopped(["ann@example.com"], api_user_id=entry.api_user_id, now=timezone.now()) == {}


def test_all_that_match_are_taken_off_once_the_count_is_typed_and_other_lists_stay(
    operator: Client, gone: list[str]
) -> None:
    asked = {"all": "1", "step": "2", "address": ""}
    assert operator.post(f"{URL}delete/", {**asked, "count": "2"}).status_code == 422
    assert Entry.objects.count() == 4
    answer = operator.post(f"{URL}delete/", {**asked, "count": "3"}, follow=True)
    assert "3 unsubscriptions deleted." in answer.content.decode()
    assert list(Entry.objects.values_list("list", flat=True)) == ["block"]


def test_another_lists_entry_cannot_be_deleted_from_here(operator: Client, gone: list[str]) -> None:
    blocked = Entry.objects.get(list=Entry.List.BLOCK)
    operator.post(f"{URL}delete/", {"id": blocked.pk})
    assert Entry.objects.filter(pk=blocked.pk).exists()


def test_a_viewer_sees_and_deletes_nothing(viewer: Client, gone: list[str]) -> None:
    assert viewer.post(f"{URL}delete/", {"id": Entry.objects.first().pk}).status_code == 403
    assert Entry.objects.count() == 4
