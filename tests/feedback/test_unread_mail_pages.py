"""Returned mail that nobody could read is seen by people: why, what it is, once more, or away with it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories.sending import message
from tests.feedback.filed import came, fate
from tests.feedback.mails import report, return_path
from tests.samples.returned_mail import failed
from tracking.feedback import process
from tracking.models import FeedbackMail

pytestmark = pytest.mark.django_db
State = FeedbackMail.State
LIST = "/returned-mail/"


def try_until_it_fails() -> None:
    for _time in range(process.TRIES + 1):
        process.process()
        FeedbackMail.objects.filter(state=State.WAITING).update(due=timezone.now())


def test_what_a_reader_fails_at_is_seen_with_its_error_and_read_once_it_can_be(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = message()
    row = came(report(sent, diagnostic="550 5.1.1 <script>alert(1)</script>"), return_path(sent))

    def poisoned(raw: bytes, **envelope: Any) -> Any:
        raise RuntimeError("poison \0 <b>")

    monkeypatch.setattr(process, "read", poisoned)
    try_until_it_fails()
    row.refresh_from_db()
    assert (row.state, row.error) == (State.FAILED, "RuntimeError: poison  <b>")
    listed = operator.get(LIST).content.decode()
    assert return_path(sent) in listed and "RuntimeError: poison  &lt;b&gt;" in listed and "Bounce mail" in listed
    page = operator.get(f"{LIST}{row.pk}/").content.decode()
    assert "tried 5 times" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert" not in page
    assert f"/email-status/{sent.pk}/" in page

    monkeypatch.undo()
    answer = operator.post(f"{LIST}{row.pk}/again/", follow=True)
    assert b"1 mail is read once more." in answer.content
    assert process.process() == 1
    assert fate(sent)[:2] == ("soft_bounce", "not_exist")
    row.refresh_from_db()
    assert (row.state, row.error) == (State.DONE, "")
    assert operator.get(f"{LIST}{row.pk}/").status_code == 404


def test_a_mail_that_killed_its_readers_says_so(viewer: Client) -> None:
    row = failed(2)
    assert "killed, or out of memory" in viewer.get(f"{LIST}{row.pk}/").content.decode()
    assert "killed, or out of memory" in viewer.get(LIST).content.decode()


def test_the_download_is_the_mail_as_it_came(viewer: Client) -> None:
    row = failed(1)
    answer = viewer.get(f"{LIST}{row.pk}/raw.eml")
    assert answer.content == bytes(row.raw)
    assert answer["Content-Disposition"] == f'attachment; filename="returned-{row.pk}.eml"'
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_it_is_discarded_after_a_question_by_who_may(operator: Client, viewer: Client) -> None:
    row = failed(1)
    url = f"{LIST}{row.pk}/discard/"
    assert viewer.post(url).status_code == 403
    assert viewer.post(f"{LIST}{row.pk}/again/").status_code == 403
    assert "What it says is lost" in operator.get(url).content.decode()
    assert FeedbackMail.objects.exists()
    assert b"1 mail is discarded." in operator.post(url, follow=True).content
    assert not FeedbackMail.objects.exists()


def test_many_are_tried_again_or_discarded_together_and_others_left_alone(operator: Client) -> None:
    kept = came(report(message()), "")
    rows = [failed(n) for n in range(4)]
    operator.post(f"{LIST}again-all/", {"id": [rows[0].pk, rows[1].pk, kept.pk]})
    assert FeedbackMail.objects.filter(state=State.WAITING).count() == 3
    operator.post(f"{LIST}discard/", {"all": "1", "step": "2", "count": "2"})
    assert not FeedbackMail.objects.filter(state=State.FAILED).exists()
    assert FeedbackMail.objects.filter(state=State.WAITING).count() == 3


def test_the_overview_and_the_menu_tell_of_them(viewer: Client) -> None:
    assert b"could not be read" not in viewer.get("/").content
    for number in range(2):
        failed(number)
    page = viewer.get("/").content.decode()
    assert "2 returned mails could not be read" in page
    assert "2 mails not read" in page
