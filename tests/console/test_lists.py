"""What one declaration of a list gives."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from console import lists
from console.models import ApiUser
from console.window import Window
from tests.console.demo import DEMO

pytestmark = pytest.mark.urls("tests.console.demo")


@pytest.fixture
def users(db: None) -> list[ApiUser]:
    return ApiUser.objects.bulk_create(
        ApiUser(name=f"user-{n:03d}", type="batch" if n % 2 else "trigger", daily_quota=n, enabled=n % 3 > 0)
        for n in range(45)
    )


def names(answer: Any) -> list[str]:
    return [row.record.name for row in answer.context["table"].rows]


def test_a_page_shows_twenty_rows_and_the_total(viewer: Client, users: list[ApiUser]) -> None:
    answer = viewer.get("/demo/")
    assert len(names(answer)) == 20
    assert b'<span class="ph-tab">45</span> API users' in answer.content
    assert "1–20 of" in answer.content.decode()
    assert len(names(viewer.get("/demo/?page=3"))) == 5


def test_the_size_of_a_page_can_be_chosen_of_four(viewer: Client, users: list[ApiUser]) -> None:
    assert len(names(viewer.get("/demo/?size=10"))) == 10
    assert len(names(viewer.get("/demo/?size=50"))) == 45
    assert len(names(viewer.get("/demo/?size=7"))) == 20


def test_no_row_is_seen_twice_or_missed_over_the_pages(viewer: Client, users: list[ApiUser]) -> None:
    ApiUser.objects.update(daily_quota=1)
    seen = [name for page in range(1, 6) for name in names(viewer.get(f"/demo/?size=10&sort=quota&page={page}"))]
    assert len(seen) == len(set(seen)) == 45


@pytest.mark.parametrize("number", ["0", "-1", "99", "x", "9" * 40, "٣", ""])
def test_a_page_number_that_makes_no_sense_is_no_error(viewer: Client, users: list[ApiUser], number: str) -> None:
    assert viewer.get("/demo/", {"page": number}).status_code == 200


@pytest.mark.parametrize("query", ["page=9", "page=500&after=x", "page=9&name=nobody"])
def test_a_page_of_a_list_that_has_become_short_is_its_first(viewer: Client, users: list[ApiUser], query: str) -> None:
    ApiUser.objects.exclude(name__lte="user-004").delete()
    answer = viewer.get(f"/demo/?{query}")
    assert answer.status_code == 200
    assert answer.context["pager"].number == 1
    assert len(names(answer)) == (0 if "nobody" in query else 5)


def test_declared_columns_sort_both_ways_and_say_so(viewer: Client, users: list[ApiUser]) -> None:
    assert names(viewer.get("/demo/?sort=name"))[0] == "user-000"
    answer = viewer.get("/demo/?sort=-name")
    assert names(answer)[0] == "user-044"
    assert b'aria-sort="descending"' in answer.content
    assert viewer.get("/demo/?sort=type").status_code == 200  # no such head: the list's own order


def test_filters_narrow_the_list_and_each_is_a_chip_that_can_be_taken_off(viewer: Client, users: list[ApiUser]) -> None:
    answer = viewer.get("/demo/?type=batch&type=trigger&enabled=yes&name=user-00&size=50&live=0")
    assert names(answer) == [f"user-{n:03d}" for n in range(10) if n % 3 > 0][::-1]
    chips = {(chip.label, chip.text): chip.remove for chip in answer.context["listing"].chips()}
    assert ("Name", "user-00") in chips
    path, _mark, query = chips[("Type", "Batch")].partition("?")
    kept = {"type": ["trigger"], "enabled": ["yes"], "name": ["user-00"], "size": ["50"], "live": ["0"]}
    assert (path, dict(QueryDict(query).lists())) == ("/demo/", kept)
    assert [text for (label, text), remove in chips.items() if not remove] == [str(answer.context["listing"].window)]
    assert b"Clear all" in answer.content


@pytest.mark.parametrize(
    "query",
    ["type=nonsense", "quota=x", "quota=-1", f"quota={10**30}", "enabled=perhaps", "name=%00", "only_domain=b.example"],
)
def test_a_filter_that_cannot_be_read_is_said_beside_its_field_and_shows_nothing(
    viewer: Client, users: list[ApiUser], query: str
) -> None:
    answer = viewer.get(f"/demo/?{query}")
    assert answer.status_code == 200
    assert names(answer) == []
    assert b"invalid-feedback" in answer.content


def test_more_filters_stay_open_when_one_of_them_is_set(viewer: Client, users: list[ApiUser]) -> None:
    assert b'<details class="ph-more">' in viewer.get("/demo/").content
    assert b'<details class="ph-more" open>' in viewer.get("/demo/?quota=3").content


def test_thirty_days_are_shown_and_thirty_one_refused_with_their_number(viewer: Client, users: list[ApiUser]) -> None:
    assert viewer.get("/demo/?from=2026-01-01&to=2026-01-30").context["listing"].valid
    answer = viewer.get("/demo/?from=2026-01-01&to=2026-01-31")
    assert not answer.context["listing"].valid
    assert b"31 days. Choose at most 30 consecutive days." in answer.content


def test_a_period_begins_with_its_first_moment_and_ends_before_the_next(viewer: Client, users: list[ApiUser]) -> None:
    window = Window.days(1, dt.UTC, timezone.now())  # type: ignore[arg-type]
    moment = dt.timedelta(microseconds=1)
    for user, at in zip(users, (window.start - moment, window.start, window.end - moment, window.end), strict=False):
        ApiUser.objects.filter(pk=user.pk).update(created_at=at)
    found = window.limit(ApiUser.objects.filter(pk__in=[user.pk for user in users[:4]]), "created_at")
    assert set(found) == {users[1], users[2]}


def test_htmx_gets_only_the_part_that_changes(viewer: Client, users: list[ApiUser]) -> None:
    answer = viewer.get("/demo/?name=user-01", headers={"HX-Request": "true", "HX-Target": "list"})
    assert answer.content.strip().startswith(b'<div id="list"')
    assert answer["HX-Push-Url"] == "/demo/?name=user-01"
    assert "HX-Request" in answer["Vary"]


def test_first_use_says_the_next_step_and_nothing_found_the_nearest_change(viewer: Client, db: None) -> None:
    assert b"No API user yet" in viewer.get("/demo/").content
    old = ApiUser.objects.create(name="old", type="batch")
    ApiUser.objects.filter(pk=old.pk).update(created_at=timezone.now() - dt.timedelta(days=20))
    answer = viewer.get("/demo/")
    assert b"Nothing matches" in answer.content
    assert b"Last 30 days" in answer.content


def test_the_number_of_queries_does_not_grow_with_the_rows(
    viewer: Client, db: None, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    viewer.get("/demo/")  # makes the account row
    counts = []
    for size in (2, 60):
        ApiUser.objects.bulk_create(ApiUser(name=f"{size}-{n}", type="batch") for n in range(size))
        with CaptureQueriesContext(connection) as queries:
            viewer.get("/demo/?size=100")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_selected_rows_are_deleted_after_one_question(administrator: Client, users: list[ApiUser]) -> None:
    keys = [users[0].pk, users[1].pk]
    answer = administrator.get("/demo/delete/", {"id": keys})
    assert b"Delete 2 API users?" in answer.content
    assert ApiUser.objects.count() == 45  # GET changes nothing
    answer = administrator.post("/demo/delete/", {"id": keys}, follow=True)
    assert b"Deleted 2." in answer.content
    assert ApiUser.objects.count() == 43


def test_all_that_match_are_deleted_only_when_the_count_was_typed(administrator: Client, users: list[ApiUser]) -> None:
    asked = {"all": "1", "enabled": "yes", "name": "user-00"}
    answer = administrator.get("/demo/delete/", asked)
    assert b"Delete all 6 that match?" in answer.content
    assert b"What they hold is refused" in answer.content
    answer = administrator.get("/demo/delete/", {**asked, "step": "2"})
    assert b"Type 6 to go on" in answer.content
    for wrong in ("", "5", "six"):
        assert administrator.post("/demo/delete/", {**asked, "step": "2", "count": wrong}).status_code == 422
    assert ApiUser.objects.count() == 45
    administrator.post("/demo/delete/", {**asked, "step": "2", "count": "6"})
    assert ApiUser.objects.count() == 39


def test_a_filter_that_is_wrong_never_means_everything(administrator: Client, users: list[ApiUser]) -> None:
    administrator.post("/demo/delete/", {"all": "1", "quota": "x", "count": "45"})
    administrator.post("/demo/delete/", {"all": "1", "from": "2026-01-01", "to": "2027-01-01", "count": "45"})
    administrator.post("/demo/delete/", {"id": ["x", ""]})
    assert ApiUser.objects.count() == 45


def test_who_may_not_act_sees_no_button_and_is_refused(viewer: Client, users: list[ApiUser]) -> None:
    page = viewer.get("/demo/")
    assert b"Delete selected" not in page.content
    assert b"Create API user" not in page.content
    answer = viewer.post("/demo/delete/", {"id": [users[0].pk]})
    assert answer.status_code == 403
    assert b"Your role doesn" in answer.content
    assert ApiUser.objects.count() == 45


@pytest.fixture
def who_may(django_user_model: Any) -> Callable[..., Client]:
    """Signs somebody in who may this and nothing else: who_may("delete_apiuser")."""

    def sign_in(*codenames: str) -> Client:
        person = django_user_model.objects.create_user("somebody")
        person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(person)
        return client

    return sign_in


def test_who_may_delete_but_not_see_deletes_nothing(who_may: Callable[..., Client], users: list[ApiUser]) -> None:
    client = who_may("delete_apiuser")
    assert client.get("/demo/").status_code == 403
    assert client.post("/demo/delete/", {"id": [users[0].pk]}).status_code == 403
    assert ApiUser.objects.count() == 45


def test_who_may_export_nothing_is_offered_nothing(
    who_may: Callable[..., Client], viewer: Client, users: list[ApiUser]
) -> None:
    assert viewer.get("/demo/").context["export_url"]
    assert who_may("view_apiuser").get("/demo/").context["export_url"] == ""


def test_over_ten_thousand_the_total_is_an_estimate_and_says_so(viewer: Client, db: None) -> None:
    ApiUser.objects.bulk_create([ApiUser(name=f"u{n}", type="batch") for n in range(10_002)], batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE console_apiuser")
    answer = viewer.get("/demo/")
    assert not answer.context["total"].exact
    assert str(answer.context["total"]).startswith(("about 10,", "over 10,"))
    # As far as pages have numbers; from there one goes on from the last row.
    last = viewer.get("/demo/?page=501")
    assert last.context["pager"].number == 500
    assert len(names(viewer.get(last.context["pager"].next))) == 2


ASKED = {"HX-Request": "true", "HX-Target": "total"}


@pytest.fixture
def scattered(users: list[ApiUser], monkeypatch: pytest.MonkeyPatch) -> list[ApiUser]:
    """Too much to look at while a page waits."""
    monkeypatch.setattr(lists, "COSTLY", -1)
    return users


def test_what_is_not_counted_for_the_page_is_counted_behind_it(viewer: Client, scattered: list[ApiUser]) -> None:
    page = viewer.get("/demo/?size=10&type=batch")
    assert str(page.context["total"]).startswith("about ")
    assert 'id="total" hx-get="/demo/?' in page.content.decode()
    total = viewer.get(page.context["here"], headers=ASKED).content.decode()
    assert total == (
        '<span class="ph-tab" id="total">22</span><span class="ph-strong" id="total-of" hx-swap-oob="true">22</span>\n'
    )


def test_what_is_surely_over_ten_thousand_is_not_counted_at_all(
    viewer: Client, scattered: list[ApiUser], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "EXACT_UP_TO", 10)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE console_apiuser")
    page = viewer.get("/demo/?size=10")
    assert str(page.context["total"]) == "about 45"
    assert not page.context["total"].later
    assert b'id="total"' not in page.content


def test_rows_that_are_found_by_a_summary_of_pages_cost_more_than_the_planner_believes() -> None:
    scan = {"Node Type": "Bitmap Heap Scan", "Plan Rows": 1000, "Plans": [{"Node Type": "Bitmap Index Scan"}]}
    assert lists._by_pages({"Node Type": "Append", "Plans": [scan, scan, {"Node Type": "Seq Scan"}]}) == 2000


def test_what_takes_too_long_stays_about(scattered: list[ApiUser], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "COUNT_SECONDS", 0.1)
    slow = ApiUser.objects.extra(where=["pg_sleep(5) IS NOT NULL"])
    page = dataclasses.replace(DEMO, rows=lambda window: slow)
    total = page.resolve(QueryDict(), dt.UTC, timezone.now()).counted()  # type: ignore[arg-type]
    assert str(total).startswith("about ")
    assert not total.later
    # Whoever comes next has all the time there is.
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone() == ("0",)


def test_the_same_rows_come_from_stored_parameters(viewer: Client, users: list[ApiUser]) -> None:
    listing = viewer.get("/demo/?name=user-01&sort=name").context["listing"]
    stored = QueryDict(mutable=True)
    for name, values in listing.resolved().items():
        stored.setlist(name, values)
    assert set(stored) == {"from", "to", "name"}
    later = timezone.now() + dt.timedelta(days=90)
    again = DEMO.resolve(stored, dt.UTC, later)  # type: ignore[arg-type]
    assert set(again.queryset) == set(listing.queryset)


def test_columns_are_chosen_and_kept_for_the_session(viewer: Client, users: list[ApiUser]) -> None:
    heads = lambda answer: [column.name for column in answer.context["table"].columns]  # noqa: E731
    assert "quota" in heads(viewer.get("/demo/"))
    chosen = viewer.get("/demo/", {"cols": ["", "quota", "nonsense"]})
    assert heads(chosen) == ["name", "quota", "actions"]
    assert b'class="p3' not in chosen.content
    assert heads(viewer.get("/demo/")) == ["name", "quota", "actions"]
    assert len(heads(viewer.get("/demo/", {"cols": ""}))) == 7
