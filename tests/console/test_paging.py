"""Going through a list that is too long for page numbers: nobody missed, nobody twice, whatever comes and goes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console import lists, paging
from console.models import ApiUser

pytestmark = [pytest.mark.urls("tests.console.demo"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of more than 20 is a long one."""
    monkeypatch.setattr(lists, "EXACT_UP_TO", 20)
    monkeypatch.setattr(paging, "EXACT_UP_TO", 20)


@pytest.fixture
def users() -> list[ApiUser]:
    return ApiUser.objects.bulk_create(
        ApiUser(name=f"user-{n:03d}", type="batch", daily_quota=n // 7, enabled=True) for n in range(45)
    )


def names(answer: Any) -> list[str]:
    return [row.record.name for row in answer.context["table"].rows]


# Without what stands around a list on every page.
PART = {"HX-Request": "true", "HX-Target": "list"}


def walk(client: Client, url: str, way: str) -> list[list[str]]:
    """The pages from this URL on, as names."""
    found = []
    while url:
        answer = client.get(url, headers=PART)
        found.append(names(answer))
        url = getattr(answer.context["pager"], way)
        assert len(found) < 30
    return found


@pytest.mark.parametrize("sort", ["name", "-name", "quota", "-quota", ""])
def test_on_and_back_again_every_row_is_seen_once_and_in_the_same_places(
    viewer: Client, users: list[ApiUser], sort: str
) -> None:
    there = walk(viewer, f"/demo/?size=10&sort={sort}", "next")
    seen = [name for page in there for name in page]
    assert len(seen) == len(set(seen)) == 45
    last = viewer.get(f"/demo/?size=10&sort={sort}", headers=PART)
    while last.context["pager"].next:
        last = viewer.get(last.context["pager"].next, headers=PART)
    assert last.context["pager"].number == 5
    back = walk(viewer, last.context["pager"].here, "previous")
    assert list(reversed(back)) == there


@pytest.mark.parametrize("sort", ["quota", "-quota"])
def test_rows_without_a_value_are_seen_too(viewer: Client, users: list[ApiUser], sort: str) -> None:
    ApiUser.objects.filter(name__gte="user-020").update(daily_quota=None)
    there = walk(viewer, f"/demo/?size=10&sort={sort}", "next")
    seen = [name for page in there for name in page]
    assert len(seen) == len(set(seen)) == 45
    last = viewer.get(f"/demo/?size=10&sort={sort}", headers=PART)
    while last.context["pager"].next:
        last = viewer.get(last.context["pager"].next, headers=PART)
    assert list(reversed(walk(viewer, last.context["pager"].here, "previous"))) == there


def test_rows_that_come_and_go_move_nothing(viewer: Client, users: list[ApiUser]) -> None:
    first = viewer.get("/demo/?size=10&sort=name")
    ApiUser.objects.filter(name__in=names(first)[:5]).delete()
    ApiUser.objects.create(name="a-new-one", type="batch")
    assert names(viewer.get(first.context["pager"].next)) == [f"user-{n:03d}" for n in range(10, 20)]


def test_a_far_page_skips_no_rows_in_the_database(viewer: Client, users: list[ApiUser]) -> None:
    page = viewer.get("/demo/?size=10&sort=name")
    for _page in range(2):
        page = viewer.get(page.context["pager"].next)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        viewer.get(page.context["pager"].next)
    assert not any("OFFSET" in query["sql"] for query in queries)


@pytest.mark.parametrize(
    "token", ["x", "é", "W10", "WyJ4Il0", "e30", "a" * 5000, "WzEsMl0", "WyJcdTAwMDAiLCAxXQ", "WyJcdTAwMDAiLCAiMSJd"]
)
@pytest.mark.parametrize("name", ["after", "before"])
def test_a_token_that_makes_no_sense_is_no_error(viewer: Client, users: list[ApiUser], name: str, token: str) -> None:
    for sort in ("quota", "name"):
        answer = viewer.get("/demo/", {name: token, "sort": sort, "page": "7"})
        assert answer.status_code == 200
        assert names(answer)


def test_who_goes_back_to_the_beginning_sees_the_whole_first_page(viewer: Client, users: list[ApiUser]) -> None:
    second = viewer.get(viewer.get("/demo/?size=10&sort=name").context["pager"].next)
    ApiUser.objects.filter(name__in=["user-003", "user-004"]).delete()
    first = viewer.get(second.context["pager"].previous)
    assert names(first) == [f"user-{n:03d}" for n in range(12) if n not in (3, 4)]


def test_who_fits_on_the_first_page_is_counted_by_looking(viewer: Client, users: list[ApiUser]) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = viewer.get("/demo/?name=user-01")
    assert str(answer.context["total"]) == "10"
    assert not any("COUNT" in query["sql"] and "apiuser" in query["sql"] for query in queries)


def test_the_rows_of_a_long_list_are_asked_for_once(viewer: Client, users: list[ApiUser]) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = viewer.get("/demo/?size=10")
    assert not answer.context["total"].exact
    assert (
        len([query for query in queries if 'FROM "console_apiuser"' in query["sql"] and "LIMIT 11" in query["sql"]])
        == 1
    )


def test_far_pages_by_their_number_are_the_same_rows(
    viewer: Client, users: list[ApiUser], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "/demo/?size=10&sort=-quota&page=2"
    near = names(viewer.get(url))
    monkeypatch.setattr(paging, "STEPPED_OVER", 5)
    with CaptureQueriesContext(connection) as queries:
        assert names(viewer.get(url)) == near
    stepping = [query["sql"] for query in queries if "OFFSET" in query["sql"]]
    assert stepping
    assert not any('"name"' in sql.partition("FROM")[0] for sql in stepping)
