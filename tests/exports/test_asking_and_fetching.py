"""The console's side: the button, who may ask and fetch, and what a link says when there is no file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from exports import making, storage, tidying
from exports.models import Export, State
from tests.exports.files import ask, made
from tests.factories.sending import message

pytestmark = pytest.mark.django_db


def test_the_button_takes_the_list_along_as_it_stands(operator: Client) -> None:
    message("ann@example.org", status="invalid", reason="spam")
    page = operator.get("/email-status/?status=invalid").content.decode()
    assert "Export 1 email" in page
    assert "/offline-data/new/messages/?" in page
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
    Group.objects.get(name="operator").permissions.remove(Permission.objects.get(codename="view_apiuser"))
    assert operator.get(url).status_code == 403
    assert operator.get("/offline-data/new/api-users/").status_code == 403


@pytest.mark.parametrize("name", ["exports", "nonsense"])
def test_what_is_no_list_to_be_exported_is_not_found(administrator: Client, name: str) -> None:
    assert administrator.get(f"/offline-data/new/{name}/").status_code == 404


def test_who_may_only_see_may_take_along_what_there_is_to_see(viewer: Client) -> None:
    message("ann@example.org")
    assert "/offline-data/new/messages/" in viewer.get("/email-status/").content.decode()
    viewer.post("/offline-data/new/messages/", {"format": "csv"})
    export = Export.objects.get()
    listed = viewer.get("/offline-data/").content.decode()
    assert f"/offline-data/{export.pk}/cancel/" in listed
    viewer.post(f"/offline-data/{export.pk}/cancel/")
    export.refresh_from_db()
    assert export.state == State.CANCELLED
    viewer.post(f"/offline-data/{export.pk}/again/")
    making.make_next()
    again = Export.objects.get(state=State.DONE)
    assert again.requested_by == export.requested_by
    answer = viewer.get(f"/offline-data/{again.pk}/file/")
    assert b"ann@example.org" in b"".join(answer.streaming_content)  # type: ignore[arg-type]


def test_others_exports_may_be_fetched_but_only_operators_cancel_them(
    viewer: Client, operator: Client, person: Callable[[str], Any]
) -> None:
    export = ask("messages", by=person("administrator").pk)
    url = f"/offline-data/{export.pk}/cancel/"
    assert url not in viewer.get("/offline-data/").content.decode()
    refused = viewer.post(url, follow=True)
    assert "ask one" in refused.content.decode()
    export.refresh_from_db()
    assert export.state == State.WAITING
    assert url in operator.get("/offline-data/").content.decode()
    assert making.make_next()
    done = Export.objects.get(state=State.DONE)
    assert b"".join(viewer.get(f"/offline-data/{done.pk}/file/").streaming_content)  # type: ignore[arg-type]
    late = ask("messages", by=person("administrator").pk)
    operator.post(f"/offline-data/{late.pk}/cancel/")
    late.refresh_from_db()
    assert late.state == State.CANCELLED


def test_what_is_done_stays_done_whoever_cancels_it(operator: Client) -> None:
    done = made("api-users")
    said = operator.post(f"/offline-data/{done.pk}/cancel/", follow=True).content.decode()
    assert "It had ended already" in said
    done.refresh_from_db()
    assert (done.state, storage.store().exists(done.file)) == (State.DONE, True)


def test_what_was_exported_of_a_list_that_one_may_not_see_is_not_even_named(
    viewer: Client, administrator: Client, person: Callable[[str], Any]
) -> None:
    Group.objects.get(name="viewer").permissions.remove(Permission.objects.get(codename="view_apiuser"))
    hidden = ask("api-users", by=person("administrator").pk, name_="zoe")
    assert "zoe" in administrator.get("/offline-data/").content.decode()
    assert "zoe" not in viewer.get("/offline-data/").content.decode()
    for what in ("file", "cancel", "again"):
        Export.objects.filter(pk=hidden.pk).update(state=State.FAILED if what == "again" else State.WAITING)
        url = f"/offline-data/{hidden.pk}/{what}/"
        assert (viewer.get(url) if what == "file" else viewer.post(url)).status_code == 403


def test_an_export_whose_list_was_removed_says_so_and_can_only_be_cancelled(operator: Client) -> None:
    export = made("messages", by=get_user_model().objects.get(username="operator").pk)
    Export.objects.update(page="no-such-list")
    answer = operator.get(f"/offline-data/{export.pk}/file/")
    assert answer.status_code == 410
    assert "The list is no longer there" in answer.content.decode()
    listed = operator.get("/offline-data/").content.decode()
    assert "no-such-list" in listed
    assert "/again/" not in listed
    assert "/file/" not in listed
    Export.objects.update(state=State.WAITING)
    operator.post(f"/offline-data/{export.pk}/cancel/")
    assert Export.objects.get().state == State.CANCELLED


def test_a_link_is_over_at_its_hour_although_nobody_has_tidied_up_yet(operator: Client) -> None:
    export = made("messages")
    Export.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    answer = operator.get(f"/offline-data/{export.pk}/file/")
    assert answer.status_code == 410
    assert f'action="/offline-data/{export.pk}/again/"' in answer.content.decode()


def test_after_seven_days_the_link_says_that_it_has_expired(operator: Client) -> None:
    message("ann@example.org")
    export = made("messages")
    tidying.tidy(now=timezone.now() + dt.timedelta(days=8))
    answer = operator.get(f"/offline-data/{export.pk}/file/")
    assert answer.status_code == 410
    assert "has expired" in answer.content.decode()


def test_a_file_that_goes_at_the_moment_it_is_asked_for_is_said_to_be_gone(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = made("messages")
    storage.remove(export.file)
    url = f"/offline-data/{export.pk}/file/"
    assert "no longer there" in operator.get(url).content.decode()
    monkeypatch.setattr(type(storage.store()), "exists", lambda *_: True)
    assert "no longer there" in operator.get(url).content.decode()


def test_one_person_does_not_fill_the_disk_with_what_waits(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MOST_AT_ONCE", 2)
    done = made("messages")
    for _again in range(3):
        answer = operator.post("/offline-data/new/messages/", {"format": "csv"}, follow=True)
    assert "2 exports of yours are under way: cancel some" in answer.content.decode()
    operator.post(f"/offline-data/{done.pk}/again/")
    assert Export.objects.filter(state=State.WAITING).count() == 2


def test_a_failed_one_says_why_and_runs_again(operator: Client) -> None:
    message("ann@example.org")
    export = made("messages")
    Export.objects.filter(pk=export.pk).update(state=State.FAILED, problem="There is no room left on the disk.")
    assert "no room left" in operator.get("/offline-data/").content.decode()
    operator.post(f"/offline-data/{export.pk}/again/")
    making.make_next()
    assert Export.objects.order_by("-id").values_list("state", "rows")[0] == (State.DONE, 1)
