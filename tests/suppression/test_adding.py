"""Hard bounces, complaints and unsubscriptions: what they put on the lists, for how long, and how often they count."""

from __future__ import annotations

import datetime as dt
import threading

import pytest
from django.db import connection

from console.models import ApiUser
from suppression import expiry, services
from suppression.models import Entry, UnsubscribeReason
from suppression.services import HardBounce

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def bounce(key: str, *, tencent: bool = False, at: dt.datetime = NOW, message_id: int | None = None) -> Entry:
    services.hard_bounces([HardBounce(key, tencent, message_id, "550 5.1.1 no such user")], now=at)
    return Entry.objects.get(key=key, list=Entry.List.BOUNCE)


@pytest.mark.parametrize("tencent", [True, False])
def test_each_hard_bounce_counts_and_sets_the_expiry_of_its_number(tencent: bool) -> None:
    for n in range(1, 11):
        at = NOW + dt.timedelta(days=n)
        entry = bounce("ann@example.org", tencent=tencent, at=at, message_id=n)
        assert (entry.hits, entry.latest_at, entry.created_at) == (n, at, NOW + dt.timedelta(days=1))
        assert entry.expires_at == at + dt.timedelta(days=expiry.bounce_days(n, tencent))
        assert (entry.api_user, entry.message_id, entry.reason) == (None, n, "550 5.1.1 no such user")


def test_a_bounce_of_an_expired_entry_counts_on() -> None:
    first = bounce("ann@example.org")
    later = first.expires_at + dt.timedelta(days=100)
    assert bounce("ann@example.org", at=later).hits == 2


def test_one_message_counts_once_however_often_it_is_reported() -> None:
    bounce("ann@example.org", message_id=7)
    entry = bounce("ann@example.org", message_id=7, at=NOW + dt.timedelta(days=1))
    assert (entry.hits, entry.latest_at) == (1, NOW)


def test_a_batch_may_name_an_address_several_times() -> None:
    services.hard_bounces(
        [
            HardBounce("bea@qq.com", True, 1),
            HardBounce("ann@example.org", False, 2),
            HardBounce("bea@qq.com", True, 3),
            HardBounce("bea@qq.com", True, 3),
        ],
        now=NOW,
    )
    found = {entry.key: (entry.hits, entry.expires_at - NOW) for entry in Entry.objects.all()}
    assert found == {"bea@qq.com": (2, dt.timedelta(days=2)), "ann@example.org": (1, dt.timedelta(days=30))}


def test_any_number_of_bounces_is_one_statement(django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        services.hard_bounces([HardBounce(f"p{n}@example.org", False, n) for n in range(500)], now=NOW)
    assert Entry.objects.count() == 500
    with django_assert_num_queries(0):
        services.hard_bounces([], now=NOW)


def test_an_entry_that_is_not_intercepted_stays_so() -> None:
    bounce("ann@example.org")
    Entry.objects.update(intercepted=False)
    assert not bounce("ann@example.org").intercepted


def test_a_complaint_lasts_180_days_from_the_latest_and_counts_each_message_once() -> None:
    user = ApiUser.console(ApiUser.Type.BATCH)
    assert services.complain("ann@example.org", now=NOW, reason="abuse", message_id=1, api_user_id=user.pk)
    later = NOW + dt.timedelta(days=30)
    assert not services.complain("ann@example.org", now=later, message_id=1)
    assert not services.complain("ann@example.org", now=later, message_id=2)
    entry = Entry.objects.get()
    assert (entry.list, entry.hits, entry.reason) == (Entry.List.SPAM_REPORT, 2, "abuse")
    # It holds for all; whose mail it was is kept beside.
    assert (entry.api_user, entry.origin) == (None, user)
    assert (entry.created_at, entry.latest_at) == (NOW, later)
    assert entry.expires_at == later + dt.timedelta(days=180)
    # One that comes late sets nothing back.
    services.complain("ann@example.org", now=NOW, message_id=3)
    entry.refresh_from_db()
    assert (entry.latest_at, entry.expires_at) == (later, later + dt.timedelta(days=180))


def test_an_unsubscription_never_ends_and_can_be_taken_back() -> None:
    user, other = ApiUser.console(ApiUser.Type.BATCH), ApiUser.console(ApiUser.Type.TRIGGER)
    reason = UnsubscribeReason.NOT_MINE
    assert services.unsubscribe("ann@example.org", api_user_id=user.pk, now=NOW, reason=reason, message_id=4)
    assert not services.unsubscribe("ann@example.org", api_user_id=user.pk, now=NOW)
    entry = Entry.objects.get()
    assert (entry.reason, entry.hits, entry.expires_at, entry.message_id) == (reason, 2, None, 4)
    assert not services.take_back_unsubscription("ann@example.org", api_user_id=other.pk)
    assert services.take_back_unsubscription("ann@example.org", api_user_id=user.pk)
    assert not services.take_back_unsubscription("ann@example.org", api_user_id=user.pk)
    assert not Entry.objects.exists()


def test_taking_back_an_unsubscription_takes_the_address_off_no_other_list() -> None:
    user = ApiUser.console(ApiUser.Type.BATCH)
    services.unsubscribe("ann@example.org", api_user_id=user.pk, now=NOW)
    block = Entry.objects.create(
        key="ann@example.org", list=Entry.List.BLOCK, api_user=user, created_at=NOW, latest_at=NOW
    )
    assert services.take_back_unsubscription("ann@example.org", api_user_id=user.pk)
    assert list(Entry.objects.all()) == [block]


@pytest.mark.django_db(transaction=True)
def test_batches_side_by_side_over_the_same_addresses_never_lock_each_other_out() -> None:
    failed: list[Exception] = []

    def report(which: int) -> None:
        items = [HardBounce(f"p{n % 40}@example.org", False, which * 1000 + n) for n in range(40)]
        try:
            for _round in range(15):
                items = items[::-1]
                services.hard_bounces(items, now=NOW)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=report, args=(which,)) for which in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert Entry.objects.count() == 40
