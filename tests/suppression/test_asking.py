"""Asking the lists: whom they stop, for whom, with which words; in one statement."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import override_settings

from console.models import ApiUser
from suppression.models import Entry
from suppression.services import Stop, stopped
from tests.factories.suppression import EntryFactory

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
TEXTS = {
    Entry.List.SPAM_REPORT: Stop("blacklist", "Blacklist: Spam Report (worker:address in complaint list)"),
    Entry.List.BLOCK: Stop("blacklist", "Blacklist: Custom Block (worker:address in block list)"),
    Entry.List.BOUNCE: Stop("blacklist", "Blacklist: Bounce (worker:address in bounce list)"),
    Entry.List.UNSUBSCRIPTION: Stop("unsubscribe", "unsubscribe"),
}


def ask(*keys: str, user: ApiUser | None = None) -> dict[str, Stop]:
    return stopped(keys, api_user_id=(user or ApiUser.console(ApiUser.Type.BATCH)).pk, now=NOW)


@pytest.mark.parametrize("which", Entry.List)
def test_each_list_stops_its_addresses_with_its_words(which: Entry.List) -> None:
    EntryFactory(key="ann@example.org", list=which)
    assert ask("ann@example.org", "bea@example.org") == {"ann@example.org": TEXTS[which]}


def test_an_expired_entry_stops_nobody() -> None:
    EntryFactory(key="ann@example.org", list=Entry.List.BOUNCE, expires_at=NOW)
    EntryFactory(key="bea@example.org", list=Entry.List.BOUNCE, expires_at=NOW + dt.timedelta(seconds=1))
    assert list(ask("ann@example.org", "bea@example.org")) == ["bea@example.org"]


def test_an_entry_that_is_not_intercepted_stops_nobody() -> None:
    EntryFactory(key="ann@example.org", list=Entry.List.BOUNCE, intercepted=False)
    assert ask("ann@example.org") == {}


def test_an_entry_of_one_api_user_does_not_hold_for_another() -> None:
    user, other = ApiUser.console(ApiUser.Type.BATCH), ApiUser.console(ApiUser.Type.TRIGGER)
    EntryFactory(key="ann@example.org", list=Entry.List.BLOCK, api_user=user)
    assert ask("ann@example.org", user=user)
    assert not ask("ann@example.org", user=other)


def test_a_blocked_domain_stops_all_its_addresses_and_no_other_domain() -> None:
    EntryFactory(key="@example.org", list=Entry.List.BLOCK)
    found = ask("ann@example.org", "bea@example.org", "carl@news.example.org", "dora@notexample.org")
    assert found == dict.fromkeys(["ann@example.org", "bea@example.org"], TEXTS[Entry.List.BLOCK])


def test_of_several_lists_the_gravest_is_named() -> None:
    for which in reversed(Entry.List):
        EntryFactory(key="ann@example.org", list=which)
        assert ask("ann@example.org") == {"ann@example.org": TEXTS[which]}


def test_the_simulator_has_an_address_that_is_always_on_the_bounce_list() -> None:
    keys = ["suppressionlist@simulator.test", "suppressionlist+7@simulator.test"]
    others = ["suppressionlist@example.org", "suppressionlists@simulator.test"]
    assert ask(*keys, *others) == dict.fromkeys(keys, TEXTS[Entry.List.BOUNCE])
    with override_settings(SIMULATOR=False):
        assert ask(*keys) == {}


def test_any_number_of_addresses_is_one_statement(django_assert_num_queries) -> None:
    user = ApiUser.console(ApiUser.Type.BATCH)
    with django_assert_num_queries(1):
        stopped((f"p{n}@d{n % 50}.example" for n in range(2000)), api_user_id=user.pk, now=NOW)
