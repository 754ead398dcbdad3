"""Recipient groups on screen: created, filled from files, read, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from console.models import ApiUser
from delivery.models import GroupImport, Recipient, RecipientGroup, Task
from tests.factories.delivery import GroupFactory
from tests.recipients.files import numbered, workbook

GOOD = "email,name\nann@example.com,Ann\nTaro@Example.JP,山田太郎\n".encode()
MIXED = b'email,name\nann@example.com,Ann\nnobody,=1+1\nann@EXAMPLE.com,Anna\n"a b@example.com",B\n'


def file(content: bytes, name: str = "people.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_a_group_is_created_together_with_its_file(operator: Client) -> None:
    answer = operator.post(reverse("group-new"), {"name": "Spring", "file": file(GOOD)}, follow=True)
    group = RecipientGroup.objects.get()
    assert (group.size, group.variables) == (2, ["name"])
    assert "All 2 rows are right." in answer.content.decode()
    assert GroupImport.objects.get().made_by == "operator"
    page = operator.get(reverse("group", args=[group.pk])).content.decode()
    assert "people.csv" in page
    assert "name = 山田太郎" in page


def test_a_file_that_cannot_be_read_leaves_no_group_behind(operator: Client) -> None:
    answer = operator.post(reverse("group-new"), {"name": "Spring", "file": file(b"ann@example.com,Ann\n")})
    assert answer.status_code == 422
    assert "The file has no header" in answer.content.decode()
    assert not RecipientGroup.objects.exists()


def test_a_group_can_be_created_empty_and_leads_to_the_import(operator: Client) -> None:
    answer = operator.post(reverse("group-new"), {"name": "Spring"})
    group = RecipientGroup.objects.get()
    assert answer["Location"] == reverse("group-import", args=[group.pk])
    assert "Nobody is in it yet" in operator.get(reverse("group", args=[group.pk])).content.decode()


def test_valid_rows_go_in_and_the_others_are_listed_with_line_and_reason(operator: Client) -> None:
    group = GroupFactory()
    answer = operator.post(reverse("group-import", args=[group.pk]), {"file": file(MIXED)}, follow=True)
    record = GroupImport.objects.get()
    assert (record.total, record.valid, record.repeated, record.malformed) == (4, 1, 1, 2)
    text = answer.content.decode()
    assert "2 rows were left out." in text
    assert "There is no @." in text
    assert Recipient.objects.get().variables == {"name": "Anna"}
    download = operator.get(reverse("group-import-errors", args=[group.pk, record.pk]))
    lines = b"".join(download).decode("utf-8-sig").splitlines()  # type: ignore[arg-type]
    assert lines[0] == "line,value,reason"
    assert lines[1].startswith("3,nobody,")
    assert lines[2].startswith("5,a b@example.com,")
    assert "attachment" in download["Content-Disposition"]


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "people.csv", "empty"),
        (b"email,name\n", "people.csv", "no recipients"),
        (b"ann@example.com\n", "people.csv", "no header"),
        (b"name,email\nAnn,ann@example.com\n", "people.csv", "must be the first column"),
        (numbered(10_001), "people.csv", "more than 10,000"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "people.csv", "not a table"),
        (b"PK\x03\x04 broken", "people.xlsx", "workbook"),
        (b'email,name\n"ann@example.com,Ann\n', "people.csv", "never closed"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_says_what_to_do_and_nothing_goes_in(
    operator: Client, content: bytes, name: str, said: str
) -> None:
    group = GroupFactory()
    answer = operator.post(reverse("group-import", args=[group.pk]), {"file": file(content, name)})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Recipient.objects.exists()
    assert not GroupImport.objects.exists()


def test_a_file_that_is_too_large_is_told_its_size(operator: Client, settings: Any) -> None:
    group = GroupFactory()
    content = b"email\n" + b"x" * (50 * 2**20)
    answer = operator.post(reverse("group-import", args=[group.pk]), {"file": file(content)})
    assert answer.status_code == 422
    assert "The file is 50.0" in answer.content.decode()


def test_an_import_without_a_file_asks_for_one(operator: Client) -> None:
    answer = operator.post(reverse("group-import", args=[GroupFactory().pk]), {"encoding": ""})
    assert answer.status_code == 422
    assert "Choose a file." in answer.content.decode()


def test_ten_thousand_rows_and_a_workbook_go_in(operator: Client) -> None:
    group = GroupFactory()
    url = reverse("group-import", args=[group.pk])
    operator.post(url, {"file": file(numbered(10_000))})
    operator.post(url, {"file": file(workbook(["email", "city"], ["zoe@example.de", "Köln"]), "more.xlsx")})
    group.refresh_from_db()
    assert (group.size, group.variables) == (10_001, ["name", "city"])


def test_an_encoding_can_be_told(operator: Client) -> None:
    group = GroupFactory()
    url = reverse("group-import", args=[group.pk])
    content = "email,name\nann@example.com,é\n".encode("latin-1")
    answer = operator.post(url, {"file": file(content), "encoding": "utf-8"})
    assert answer.status_code == 422
    assert "not in UTF-8" in answer.content.decode()
    operator.post(url, {"file": file(content), "encoding": "latin-1"})
    assert Recipient.objects.get().variables == {"name": "é"}


def test_the_sample_can_be_imported_as_it_is(operator: Client) -> None:
    sample = operator.get(reverse("group-sample"))
    assert "attachment" in sample["Content-Disposition"]
    group = GroupFactory()
    operator.post(reverse("group-import", args=[group.pk]), {"file": file(sample.content)})
    assert GroupImport.objects.get().malformed == 0
    assert Recipient.objects.count() == 3


def test_name_and_description_are_edited_and_the_count_stays(operator: Client) -> None:
    group = GroupFactory(people=2)
    operator.post(reverse("group-edit", args=[group.pk]), {"name": "Autumn", "description": "Those of autumn"})
    group.refresh_from_db()
    assert (group.name, group.description, group.size) == ("Autumn", "Those of autumn", 2)
    other = GroupFactory()
    answer = operator.post(reverse("group-edit", args=[other.pk]), {"name": "Autumn"})
    assert answer.status_code == 422


def test_deleting_is_asked_first_and_waits_for_a_task_that_reads_it(operator: Client) -> None:
    group = GroupFactory(people=2)
    url = reverse("group-delete", args=[group.pk])
    task = Task.objects.create(api_user=ApiUser.console("batch"), subject="x", group=group)
    assert f"Task {task.pk} is about to send to it" in operator.get(url).content.decode()
    operator.post(url)
    assert RecipientGroup.objects.exists()
    Task.objects.update(expanded=True)
    assert "Its 2 recipients" in operator.get(url).content.decode()
    assert RecipientGroup.objects.exists()
    operator.post(url)
    assert not Recipient.objects.exists()
    task.refresh_from_db()
    assert task.group is None


def test_viewers_see_groups_and_change_none(viewer: Client) -> None:
    group = GroupFactory(people=1)
    assert viewer.get(reverse("group", args=[group.pk])).status_code == 200
    assert b"Import recipients" not in viewer.get(reverse("group", args=[group.pk])).content
    assert viewer.post(reverse("group-import", args=[group.pk]), {"file": file(GOOD)}).status_code == 403
