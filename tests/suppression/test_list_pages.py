"""The pages of the four lists: who stands there, who is found, who may take whom off, and that it is written down."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.models import ApiUser
from suppression import address, services
from suppression.models import Change, Entry
from tests.factories.suppression import EntryFactory

URL = "/unsubscriptions/"
PAGES = {
    Entry.List.SPAM_REPORT: "spam-reports",
    Entry.List.BLOCK: "blocks",
    Entry.List.BOUNCE: "bounced",
    Entry.List.UNSUBSCRIPTION: "unsubscriptions",
}
by_list = pytest.mark.parametrize("which", Entry.List)


@pytest.fixture
def gone(db: None) -> list[str]:
    now = timezone.now()
    keys = []
    for number, text in enumerate(["Ann@Example.com", "bob@example.com", "carol@other.example"]):
        user, _made = ApiUser.objects.get_or_create(name=f"shop-{number % 2}", defaults={"type": "batch"})
        keys.append(address.parse(text).key)
        services.unsubscribe(keys[-1], api_user_id=user.pk, now=now)
    EntryFactory(key="blocked@example.com")
    return keys


def shown(answer: Any) -> set[str]:
    return {row.record.key for row in answer.context["table"].rows}


@by_list
def test_each_list_shows_its_own_entries_and_the_blocklist_all(viewer: Client, db: None, which: Entry.List) -> None:
    for each in Entry.List:
        EntryFactory(key=f"{each}@example.com", list=each)
    assert shown(viewer.get(reverse(PAGES[which]))) == {f"{which}@example.com"}
    assert shown(viewer.get(reverse("blocklist"))) == {f"{each}@example.com" for each in Entry.List}


def test_an_entry_shows_domain_whose_mail_it_was_reason_and_times(viewer: Client, db: None) -> None:
    user = ApiUser.objects.create(name="shop", type="batch")
    services.hard_bounces(
        [services.HardBounce("ann@other.example", False, 1, "550 5.1.1 <nobody>", user.pk)], now=timezone.now()
    )
    text = viewer.get("/bounced/").content.decode()
    for part in ("other.example", "shop", "550 5.1.1 &lt;nobody&gt;", "In force"):
        assert part in text
    EntryFactory(key="@rival.example")
    text = viewer.get("/blocks/").content.decode()
    for part in ("rival.example", "whole domain", "All", "Never"):
        assert part in text


def test_an_unsubscription_without_a_reason_says_so(viewer: Client, gone: list[str]) -> None:
    services.unsubscribe(gone[0], api_user_id=ApiUser.objects.get(name="shop-0").pk, now=timezone.now(), reason="spam")
    text = viewer.get(URL).content.decode()
    assert "Not given" in text
    assert "This is spam" in text


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


@pytest.mark.parametrize("typed", ["ann@rival.example", "rival", "@rival.example", "Rival.Example"])
def test_an_address_and_a_domain_find_the_domain_that_is_blocked(viewer: Client, db: None, typed: str) -> None:
    EntryFactory(key="@rival.example")
    EntryFactory(key="ann@other.example")
    for page in ("blocks", "blocklist"):
        assert shown(viewer.get(reverse(page), {"address": typed})) == {"@rival.example"}


def test_the_list_can_be_narrowed_to_a_receiving_domain(viewer: Client, gone: list[str]) -> None:
    assert shown(viewer.get(URL, {"domain": "Other.example"})) == {"carol@other.example"}
    assert shown(viewer.get(URL, {"domain": "no domain"})) == set()


def test_the_list_can_be_narrowed_to_an_api_user_it_holds_for_or_came_from(viewer: Client, gone: list[str]) -> None:
    user = ApiUser.objects.get(name="shop-1")
    assert shown(viewer.get(URL, {"api_user": user.pk})) == {"bob@example.com"}
    services.complain("angry@example.com", now=timezone.now(), api_user_id=user.pk)
    assert shown(viewer.get("/spam-reports/", {"api_user": user.pk})) == {"angry@example.com"}


def test_the_list_can_be_narrowed_to_a_period_and_a_state(viewer: Client, db: None) -> None:
    now = timezone.now()
    day = dt.timedelta(days=1)
    for name, changed in {
        "now": {},
        "old": {"latest_at": now - 40 * day, "created_at": now - 40 * day},
        "over": {"expires_at": now - day},
        "open": {"intercepted": False},
        "timed": {"expires_at": now + day},
    }.items():
        EntryFactory(key=f"{name}@example.com", list=Entry.List.BOUNCE, **changed)

    def found(**query: str) -> set[str]:
        return {key.partition("@")[0] for key in shown(viewer.get("/bounced/", query))}

    today = timezone.localdate()
    assert found(since=str(today - 10 * day)) == {"now", "over", "open", "timed"}
    assert found(until=str(today - 10 * day)) == {"old"}
    assert found(since=str(today), until=str(today)) == {"now", "over", "open", "timed"}
    assert found(state="in_force") == {"now", "old", "timed"}
    assert found(state="expired") == {"over"}
    assert found(state="let_through") == {"open"}
    answer = viewer.get("/bounced/", {"since": "yesterday"})
    assert "YYYY-MM-DD" in answer.content.decode()
    assert not answer.context["listing"].valid


@by_list
def test_an_operator_takes_off_what_is_selected_and_that_is_written_down(
    operator: Client, db: None, which: Entry.List
) -> None:
    entry, other = (EntryFactory(key=f"{name}@example.com", list=which) for name in ("ann", "bea"))
    url = reverse(f"{PAGES[which]}-delete")
    assert "mailed again" in operator.get(url, {"id": entry.pk}).content.decode()
    assert Entry.objects.count() == 2
    operator.post(url, {"id": entry.pk})
    assert Entry.objects.get() == other
    change = Change.objects.get()
    assert (change.action, change.list, change.count, change.what, change.made_by) == (
        "deleted",
        which,
        1,
        "ann@example.com",
        "operator",
    )


def test_whoever_is_taken_off_is_mailed_again(operator: Client, gone: list[str]) -> None:
    entry = Entry.objects.get(key="ann@example.com")
    operator.post(f"{URL}delete/", {"id": entry.pk})
    assert services.stopped(["ann@example.com"], api_user_id=entry.api_user_id, now=timezone.now()) == {}


def test_all_that_match_are_taken_off_once_the_count_is_typed_and_other_lists_stay(
    operator: Client, gone: list[str]
) -> None:
    asked = {"all": "1", "step": "2", "address": ""}
    assert operator.post(f"{URL}delete/", {**asked, "count": "2"}).status_code == 422
    assert Entry.objects.count() == 4
    answer = operator.post(f"{URL}delete/", {**asked, "count": "3"}, follow=True)
    assert "3 entries are deleted." in answer.content.decode()
    assert list(Entry.objects.values_list("list", flat=True)) == ["block"]
    assert Change.objects.get().what == "ann@example.com, bob@example.com, carol@other.example"


def test_many_are_taken_off_in_bounded_chunks(operator: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suppression.editing.CHUNK", 7)
    users = [ApiUser.objects.create(name=f"shop-{n}", type="batch") for n in range(3)]
    for n in range(20):
        EntryFactory(key=f"p{n // 3}@example.com", api_user=users[n % 3])
    EntryFactory(key="stays@other.example")
    asked = {"all": "1", "step": "2", "domain": "example.com", "count": "20"}
    operator.post("/blocks/delete/", asked)
    assert Entry.objects.get().key == "stays@other.example"
    change = Change.objects.get()
    assert (change.count, change.what[-3:]) == (20, ", …")


def test_another_lists_entry_cannot_be_deleted_from_here(operator: Client, gone: list[str]) -> None:
    blocked = Entry.objects.get(list=Entry.List.BLOCK)
    operator.post(f"{URL}delete/", {"id": blocked.pk})
    assert Entry.objects.filter(pk=blocked.pk).exists()


def test_the_blocklist_removes_an_address_from_all_lists(operator: Client, db: None) -> None:
    for which in Entry.List:
        EntryFactory(key="ann@example.com", list=which)
    EntryFactory(key="bea@example.com")
    asked = {"all": "1", "step": "2", "address": "ann@example.com", "count": "4"}
    operator.post("/blocklist/remove/", asked)
    assert Entry.objects.get().key == "bea@example.com"
    assert (Change.objects.get().list, Change.objects.get().count) == ("", 4)


def test_the_blocklist_can_be_narrowed_to_some_of_the_lists(viewer: Client, db: None) -> None:
    for which in Entry.List:
        EntryFactory(key=f"{which}@example.com", list=which)
    assert shown(viewer.get("/blocklist/", {"list": ["block", "bounce"]})) == {
        "block@example.com",
        "bounce@example.com",
    }


def test_a_bounced_address_is_let_through_and_intercepted_again(operator: Client, db: None) -> None:
    entry = EntryFactory(key="ann@example.com", list=Entry.List.BOUNCE)
    user = ApiUser.console("batch").pk

    def stops() -> bool:
        return bool(services.stopped(["ann@example.com"], api_user_id=user, now=timezone.now()))

    assert stops()
    answer = operator.post(reverse("bounced-turn", args=[entry.pk]), follow=True)
    assert "goes out again" in answer.content.decode()
    assert not stops()
    operator.post(reverse("bounced-turn", args=[entry.pk]))
    assert stops()
    for action, wanted in (("let-through", False), ("intercept", True)):
        operator.post(f"/bounced/{action}/", {"id": entry.pk})
        entry.refresh_from_db()
        assert (entry.intercepted, entry.changed_by.username) == (wanted, "operator")
    assert list(Change.objects.order_by("pk").values_list("action", flat=True)) == [
        "let_through",
        "intercepted",
        "let_through",
        "intercepted",
    ]


def test_only_the_bounce_list_can_let_through(operator: Client, db: None) -> None:
    entry = EntryFactory(list=Entry.List.BLOCK)
    assert operator.post(reverse("bounced-turn", args=[entry.pk])).status_code == 404
    operator.post("/bounced/let-through/", {"id": entry.pk})
    entry.refresh_from_db()
    assert entry.intercepted


def test_a_viewer_sees_and_changes_nothing(viewer: Client, gone: list[str]) -> None:
    pk = Entry.objects.first().pk
    assert viewer.post(f"{URL}delete/", {"id": pk}).status_code == 403
    assert viewer.post("/blocklist/remove/", {"id": pk}).status_code == 403
    assert viewer.post("/bounced/let-through/", {"id": pk}).status_code == 403
    assert viewer.get("/blocks/add/").status_code == 403
    assert Entry.objects.count() == 4
    text = viewer.get("/blocks/").content.decode()
    assert "Delete" not in text
    assert "/blocks/add/" not in text
    assert viewer.get("/blocklist/changes/").status_code == 200


def test_bounced_addresses_are_let_through_one_by_one_and_never_all_at_once(operator: Client, db: None) -> None:
    chosen, *_others = [EntryFactory(list=Entry.List.BOUNCE) for _number in range(3)]
    operator.post("/bounced/let-through/", {"all": "1", "count": "3", "id": [chosen.pk]})
    assert list(Entry.objects.filter(intercepted=False)) == [chosen]
