"""Suppression lists of another service: shown as they are understood, put right by a person, and only then saved."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from console.models import ApiUser
from suppression.models import Change, Entry, Upload

pytestmark = pytest.mark.django_db

POSTMARK = b"""EmailAddress,SuppressionReason,Origin,CreatedAt
Ann@example.com,HardBounce,Recipient,2026-01-17T08:58:33-05:00
bea@example.com,SpamComplaint,Recipient,2026-02-17T08:58:33-05:00
cid@example.com,ManualSuppression,Customer,2026-03-17T08:58:33-05:00
dora@example.com,Gone,Customer,2026-03-17T08:58:33-05:00
nobody,HardBounce,Recipient,2026-03-17T08:58:33-05:00
"""


def bring(client: Client, content: bytes = POSTMARK, name: str = "suppressions.csv") -> str:
    """The URL of the page on which the columns are confirmed."""
    answer = client.post("/blocklist/import/", {"file": SimpleUploadedFile(name, content)})
    assert answer.status_code == 302, answer.content.decode()
    return str(answer["Location"])


def as_shown(answer: Any) -> dict[str, Any]:
    """What the form would send if nothing were changed."""
    form = answer.context["form"]
    values = {bound.html_name: bound.value() for bound in form}
    return {name: "on" if value is True else value for name, value in values.items() if value not in (None, False)}


def lists() -> dict[str, str]:
    return dict(Entry.objects.values_list("key", "list"))


def test_columns_and_words_are_guessed_and_nothing_is_saved_before_it_is_confirmed(operator: Client) -> None:
    answer = operator.get(bring(operator))
    text = answer.content.decode()
    for part in ("Postmark", "SuppressionReason", "ManualSuppression", "Import 5 rows"):
        assert part in text
    shown = as_shown(answer)
    assert [shown[f"column-{n}"] for n in range(4)] == ["address", "kind", "reason", "since"]
    assert [shown[f"word-{n}"] for n in range(4)] == ["bounce", "spam_report", "block", ""]
    assert not Entry.objects.exists()


def test_what_is_confirmed_goes_to_its_lists_and_the_file_is_forgotten(operator: Client) -> None:
    url = bring(operator)
    answer = operator.post(url, as_shown(operator.get(url)), follow=True)
    assert lists() == {"ann@example.com": "bounce", "bea@example.com": "spam_report", "cid@example.com": "block"}
    text = answer.content.decode()
    assert "1 row was not taken." in text
    upload = Upload.objects.get()
    assert (upload.total, upload.added, upload.left_out, upload.malformed, upload.content) == (5, 3, 1, 1, None)
    bounced = Entry.objects.get(list=Entry.List.BOUNCE)
    # There since then; counted as one hard bounce of today, or the entry would be over already.
    assert bounced.created_at == dt.datetime(2026, 1, 17, 13, 58, 33, tzinfo=dt.UTC)
    assert (bounced.expires_at - timezone.now()).days == 29
    assert bounced.changed_by.username == "operator"
    assert set(Change.objects.values_list("list", "count", "made_by")) == {
        ("bounce", 1, "operator"),
        ("spam_report", 1, "operator"),
        ("block", 1, "operator"),
    }
    assert operator.get(url).status_code == 302


def test_a_person_puts_right_what_was_guessed_wrong(operator: Client) -> None:
    user = ApiUser.objects.create(name="shop", type="batch")
    url = bring(operator)
    sent = as_shown(operator.get(url)) | {"word-2": "unsubscription", "word-3": "bounce", "api_user": user.pk}
    operator.post(url, sent)
    assert lists() == {
        "ann@example.com": "bounce",
        "bea@example.com": "spam_report",
        "cid@example.com": "unsubscription",
        "dora@example.com": "bounce",
    }
    assert Entry.objects.get(key="cid@example.com").api_user == user
    assert Entry.objects.get(key="ann@example.com").api_user is None


def test_all_rows_may_go_to_one_list(operator: Client) -> None:
    url = bring(operator)
    operator.post(url, as_shown(operator.get(url)) | {"kind": "block"})
    assert set(lists().values()) == {"block"}
    assert len(lists()) == 4


def test_another_column_that_says_the_list_has_its_words_asked_first(operator: Client) -> None:
    url = bring(operator)
    sent = as_shown(operator.get(url)) | {"column-1": "reason", "column-2": "kind"}
    answer = operator.post(url, sent)
    assert answer.status_code == 200
    assert not Entry.objects.exists()
    assert "Customer" in answer.content.decode()
    sent = as_shown(answer) | {"word-0": "bounce", "word-1": "block"}
    operator.post(url, sent)
    assert lists()["cid@example.com"] == "block"
    assert lists()["ann@example.com"] == "bounce"
    assert Entry.objects.get(key="ann@example.com").reason == "HardBounce"


def test_a_table_without_a_header_is_taken_when_told_so(operator: Client) -> None:
    url = bring(operator, b"name\n" + b"ann@example.com\nbea@example.com\n", "bounced.txt")
    answer = operator.get(url)
    assert as_shown(answer)["kind"] == "bounce"
    assert not answer.context["form"]["header"].value()
    operator.post(url, as_shown(answer))
    assert lists() == {"ann@example.com": "bounce", "bea@example.com": "bounce"}
    assert Upload.objects.get().malformed == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"column-0": ""}, "which column has the addresses"),
        ({"column-1": "address"}, "Two columns are"),
        ({"column-1": ""}, "Choose a list"),
        ({"kind": "no such list"}, "valid choice"),
        ({"column-0": "nonsense"}, "valid choice"),
    ],
)
def test_what_can_not_be_is_said_at_its_field_and_nothing_is_saved(
    operator: Client, changed: dict[str, str], said: str
) -> None:
    url = bring(operator)
    answer = operator.post(url, as_shown(operator.get(url)) | changed)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Entry.objects.exists()


def test_a_file_that_is_no_table_is_refused_at_once(operator: Client) -> None:
    answer = operator.post("/blocklist/import/", {"file": SimpleUploadedFile("x.csv", b"\x89PNG\r\n\x1a\n\x00\x00")})
    assert answer.status_code == 422
    assert not Upload.objects.exists()


def test_a_file_that_nobody_confirms_is_forgotten(operator: Client) -> None:
    bring(operator)
    Upload.objects.update(made_at=timezone.now() - dt.timedelta(days=2))
    bring(operator)
    assert Upload.objects.count() == 1


def test_a_viewer_imports_nothing(viewer: Client) -> None:
    assert viewer.get("/blocklist/import/").status_code == 403
