"""The console's side: the button, who may ask and fetch, and what a link says when there is no file."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import Client
from django.utils import timezone

from exports import making
from exports.models import Export, State
from tests.exports.files import made
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


def test_the_button_takes_the_list_along_as_it_stands(operator: Client, viewer: Client) -> None:
    message("ann@example.org", status="invalid", reason="spam")
    page = operator.get("/email-status/?status=invalid").content.decode()
    assert "Export 1 email" in page
    assert "/offline-data/new/messages/?" in page
    assert "/offline-data/new/messages/" not in viewer.get("/email-status/").content.decode()
    asked = operator.get("/offline-data/new/messages/?status=invalid").content.decode()
    assert "Invalid" in asked
    answer = operator.post("/offline-data/new/messages/?status=invalid", {"format": "csv"})
    assert answer.status_code == 302
    export = Export.objects.get()
    assert (export.params["status"], export.state) == (["invalid"], State.WAITING)
    making.make_next()
    file = operator.get(f"/offline-data/{export.pk}/file/")
    assert file["Content-Disposition"].startswith('attachment; filename="messages-')
    assert b"ann@example.org" in b"".join(file.streaming_content)  # type: ignore[arg-type]


def test_a_wrong_filter_is_mended_before_anything_is_asked_for(operator: Client) -> None:
    answer = operator.post("/offline-data/new/messages/?from=2020-01-01&to=2026-01-01", {"format": "csv"})
    assert answer.status_code == 302
    assert not Export.objects.exists()


def test_a_file_is_for_those_who_may_see_the_list_and_are_signed_in(operator: Client, administrator: Client) -> None:
    from tests import samples

    samples.load()
    samples.ROWS["api-users"](1)
    export = made("api-users")
    url = f"/offline-data/{export.pk}/file/"
    answer = administrator.get(url)
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content)  # type: ignore[arg-type]
    assert Client().get(url).status_code == 302
    from django.contrib.auth.models import Group, Permission

    Group.objects.get(name="operator").permissions.remove(Permission.objects.get(codename="view_apiuser"))
    assert operator.get(url).status_code == 403
    assert operator.get("/offline-data/new/api-users/").status_code == 403


def test_after_seven_days_the_link_says_that_it_has_expired(operator: Client) -> None:
    message("ann@example.org")
    export = made("messages")
    making.tidy(now=timezone.now() + dt.timedelta(days=8))
    answer = operator.get(f"/offline-data/{export.pk}/file/")
    assert answer.status_code == 410
    assert "has expired" in answer.content.decode()


def test_a_failed_one_says_why_and_runs_again(operator: Client) -> None:
    message("ann@example.org")
    export = made("messages")
    Export.objects.filter(pk=export.pk).update(state=State.FAILED, problem="There is no room left on the disk.")
    assert "no room left" in operator.get("/offline-data/").content.decode()
    operator.post(f"/offline-data/{export.pk}/again/")
    making.make_next()
    assert Export.objects.order_by("-id").values_list("state", "rows")[0] == (State.DONE, 1)


def test_the_command_writes_a_file_and_keeps_nothing(tmp_path: object) -> None:
    from io import StringIO
    from pathlib import Path

    from django.core.management import CommandError, call_command

    message("ann@example.org", status="invalid", reason="spam")
    message("bob@example.org")
    target = Path(str(tmp_path)) / "out.csv"
    out = StringIO()
    call_command("export", "messages", filter=["status=invalid"], output=target, stdout=out)
    assert out.getvalue().startswith("1 rows")
    assert b"ann@example.org" in target.read_bytes()
    assert not Export.objects.exists()
    for wrong in (["nonsense"], ["no_such=1"], ["from=x"]):
        with pytest.raises(CommandError):
            call_command("export", "messages", filter=wrong, output=target, stdout=out)
    with pytest.raises(CommandError, match="There are:"):
        call_command("export", "no-such-list")
