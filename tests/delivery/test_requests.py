"""Making rows: what each recipient's row is from the first moment, and where it waits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from console.models import Account, ApiUser
from delivery.models import HeldBy, Message, Queue, ReceivingDomain, SenderDomain, Status, Waiting
from delivery.services.requests import Request, Wanted, in_control_group, receiving_domains
from suppression import services as suppression
from tests.factories.delivery import AddressFactory
from tests.factories.sending import request_mail, template


def request(**changed: Any) -> Request:
    address, version = AddressFactory(), template().current
    assert version is not None
    user = ApiUser.console(ApiUser.Type.TRIGGER)
    return Request(**{"api_user": user, "sender_domain": address.domain, "version_id": version.pk,
                      "sender": address.address, **changed})  # fmt: skip


def wanted(address: str, **changed: Any) -> Wanted:
    return Wanted(address, address.lower(), address.rpartition("@")[2], "Hello", "", **changed)


@pytest.mark.django_db
def test_each_recipient_has_a_row_and_what_may_be_tried_waits() -> None:
    asked = request(label="spring")
    suppression.unsubscribe("no@example.org", api_user_id=asked.api_user.pk, now=timezone.now())
    people = [
        wanted("Ann@example.org", variables='{"name": "Ann"}'),
        wanted("no@example.org"),
        wanted("broken@@example.org", malformed="Two @ signs."),
        wanted("bob@example.net"),
    ]
    now = timezone.now()
    made = request_mail(asked, people, now=now)
    rows = {row.recipient: row for row in Message.objects.all()}
    assert made.ids == sorted(row.pk for row in rows.values())
    assert {name: (row.status, row.reason, row.last_reply) for name, row in rows.items()} == {
        "Ann@example.org": ("sending", "", ""),
        "no@example.org": ("invalid", "unsubscribe", "unsubscribe"),
        "broken@@example.org": ("invalid", "format_error", "Two @ signs."),
        "bob@example.net": ("sending", "", ""),
    }
    assert made.counts == {"sending": 2, "invalid": 2}
    ann = rows["Ann@example.org"]
    assert (ann.label, ann.variables, ann.subject, ann.attempts) == ("spring", {"name": "Ann"}, "Hello", 0)
    waiting = {row.message_id: row for row in Waiting.objects.all()}
    assert set(waiting) == {ann.pk, rows["bob@example.net"].pk}
    assert (waiting[ann.pk].state, waiting[ann.pk].due, waiting[ann.pk].priority) == (0, now, 0)
    # A queue for each API user and receiving domain; an unresolved domain is a limit group of its own.
    assert len({row.queue_id for row in waiting.values()}) == len({row.limit_group_id for row in waiting.values()}) == 2
    assert Queue.objects.get(pk=waiting[ann.pk].queue_id).receiving_domain.name == "example.org"


def stop_account(asked: Request) -> None:
    Account.current()
    Account.objects.update(sending_stopped_at=timezone.now())


def disable_user(asked: Request) -> None:
    asked.api_user.enabled = False


def unverify(asked: Request) -> None:
    SenderDomain.objects.update(verified_at=None)
    asked.sender_domain.refresh_from_db()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cause", "held_by"),
    [(stop_account, HeldBy.ACCOUNT), (disable_user, HeldBy.API_USER), (unverify, HeldBy.DOMAIN_UNVERIFIED)],
)
def test_what_may_not_be_tried_now_is_held_and_says_why(cause: Any, held_by: HeldBy) -> None:
    asked = request()
    cause(asked)
    made = request_mail(asked, [wanted("ann@example.org")], now=timezone.now())
    message, waiting = Message.objects.get(), Waiting.objects.get()
    assert made.counts == {"held": 1}
    assert (message.status, message.held_by) == (Status.HELD, held_by)
    assert (waiting.state, waiting.held_by) == (Waiting.State.HELD, held_by)


@pytest.mark.django_db
def test_nobody_is_nothing() -> None:
    assert request_mail(request(), [], now=timezone.now()).ids == []
    assert not Message.objects.exists()


def test_the_control_group_is_the_same_whenever_it_is_asked_and_spread_evenly() -> None:
    keys = [f"reader{n}@example.org" for n in range(4000)]
    held_out = [key for key in keys if in_control_group(7, key, 10)]
    assert held_out == [key for key in keys if in_control_group(7, key, 10)]
    assert 300 < len(held_out) < 500
    # Whoever is in a small one is in a larger one, too; another task draws anew.
    assert set(held_out) <= {key for key in keys if in_control_group(7, key, 50)}
    assert held_out != [key for key in keys if in_control_group(8, key, 10)]
    assert not any(in_control_group(7, key, 0) for key in keys)


@pytest.mark.django_db(transaction=True)
def test_requests_side_by_side_to_the_same_new_domains_do_not_get_in_each_others_way() -> None:
    names = [f"d{n}.example.org" for n in range(40)]
    asked, begin, failed = request(), threading.Barrier(3), []

    def work(turned: bool) -> None:
        people = [wanted(f"ann@{name}") for name in (reversed(names) if turned else names)]
        try:
            begin.wait()
            request_mail(asked, people, now=timezone.now())
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[n % 2 == 1]) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert ReceivingDomain.objects.count() == Queue.objects.count() == 40
    assert Message.objects.count() == Waiting.objects.count() == 120
    assert set(receiving_domains(names)) == set(names)
