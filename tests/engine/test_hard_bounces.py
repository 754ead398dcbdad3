"""Addresses that do not exist go on the bounce list as their mail is settled; nothing else does. A second batch leaves
out whom the lists name, with the lists' words."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from console.models import ApiUser
from delivery.engine import settle as settling
from delivery.engine.settle import Settled
from delivery.engine.types import Phase, Verdict
from delivery.models import Attempt, Message, ReceivingDomain, SenderAddress, Site, Status
from delivery.simulator.behaviour import BEHAVIOURS
from delivery.simulator.server import Simulator
from suppression import services
from suppression.models import Entry
from tests.engine.world import claim_all, deliver, exchange, fates, started, taken
from tests.factories.delivery import AddressFactory
from tests.factories.suppression import EntryFactory

BOUNCE = "Blacklist: Bounce (worker:address in bounce list)"
REFUSED = Verdict("refused", "not_exist", "recipient", "no_such_user")
GONE = exchange(550, "550 5.1.1 no such user", Phase.RCPT, "5.1.1")


def settle_all(status: Status, reason: str, *, verdict: Verdict = REFUSED) -> None:
    batch = [
        Settled(one, status, reason=reason, last_reply=GONE.reply.text, verdict=verdict, exchange=GONE)
        for one in claim_all()
    ]
    settling.settle(batch, now=timezone.now())


def days() -> dict[str, tuple[int, int]]:
    """Address → (hits, days on the list)."""
    return {one.key: (one.hits, (one.expires_at - one.latest_at).days) for one in Entry.objects.all()}


@pytest.mark.django_db(transaction=True)
def test_who_does_not_exist_is_listed_by_number_and_provider_of_the_mailbox() -> None:
    sender = AddressFactory()
    people = ["Ann@example.org", "bea@qq.com", "cid@business.example"]
    for n, expected in enumerate([(30, 1, 1), (60, 2, 2), (180, 4, 4)], start=1):
        started(people, sender)
        site, _made = Site.objects.get_or_create(key="mxbiz1.qq.com", tencent=True)
        ReceivingDomain.objects.filter(name="business.example").update(site=site)
        settle_all(Status.INVALID, "not_exist")
        assert days() == {
            key: (n, count)
            for key, count in zip(["ann@example.org", "bea@qq.com", "cid@business.example"], expected, strict=True)
        }
        # As if the time were over.
        Entry.objects.update(expires_at=timezone.now() - dt.timedelta(days=1), latest_at=timezone.now())
    entry = Entry.objects.get(key="ann@example.org")
    assert (entry.list, entry.api_user, entry.reason) == (Entry.List.BOUNCE, None, "550 5.1.1 no such user")
    assert entry.origin == ApiUser.console("batch")
    assert entry.message_id == Message.objects.filter(recipient="Ann@example.org").latest("pk").pk


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Status.INVALID, "spam"),
        (Status.INVALID, "rejected"),
        (Status.INVALID, "server_error"),
        (Status.SOFT_BOUNCE, "other"),
        (Status.SENDING, ""),
        (Status.DELIVERED, ""),
    ],
)
def test_nothing_soft_is_listed(status: Status, reason: str) -> None:
    started(["ann@example.org"], AddressFactory())
    settle_all(status, reason)
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_whoever_lost_the_claim_lists_nobody() -> None:
    started(["ann@example.org"], AddressFactory())
    batch = claim_all()
    for one in batch:
        one.token += 1
    settling.settle(
        [Settled(one, Status.INVALID, reason="not_exist", verdict=REFUSED, exchange=GONE) for one in batch],
        now=timezone.now(),
    )
    assert not Entry.objects.exists()


def test_a_second_batch_is_stopped_for_exactly_those_who_are_listed_by_now(
    outside: Simulator, sender: SenderAddress, hasty: None
) -> None:
    locals_ = [one.local for one in BEHAVIOURS if not one.feedback]
    people = [f"{name}+{n}@simulator.test" for name in locals_ for n in range(2)]
    first = started(people, sender)
    deliver()
    gone = {f"bounce+{n}@simulator.test" for n in range(2)}
    always = {f"suppressionlist+{n}@simulator.test" for n in range(2)}
    assert {one.key for one in Entry.objects.all()} == gone
    assert {key for key, fate in fates(first).items() if fate == ("invalid", "blacklist")} == always
    before = taken(outside)

    user = ApiUser.console("batch").pk
    services.complain("success+0@simulator.test", now=timezone.now())
    services.unsubscribe("success+1@simulator.test", api_user_id=user, now=timezone.now())
    EntryFactory(key="deferred+0@simulator.test")
    second = started(people, sender)
    stopped = {
        message.recipient: (message.status, message.reason, message.last_reply, message.attempts)
        for message in Message.objects.filter(task=second, reason__in=["blacklist", "unsubscribe"])
    }
    assert stopped == {
        **dict.fromkeys(gone | always, ("invalid", "blacklist", BOUNCE, 0)),
        "success+0@simulator.test": (
            "invalid",
            "blacklist",
            "Blacklist: Spam Report (worker:address in complaint list)",
            0,
        ),
        "success+1@simulator.test": ("invalid", "unsubscribe", "unsubscribe", 0),
        "deferred+0@simulator.test": (
            "invalid",
            "blacklist",
            "Blacklist: Custom Block (worker:address in block list)",
            0,
        ),
    }
    deliver()
    ids = Message.objects.filter(task=second, recipient__in=stopped).values_list("pk", flat=True)
    assert not Attempt.objects.filter(message_id__in=list(ids)).exists()
    mailed_again = {recipient for recipient, count in taken(outside).items() if count > before[recipient]}
    assert mailed_again == set(before) - set(stopped)


@pytest.mark.parametrize("entry", ["bounced@a.sink.test", "@b.sink.test"])
def test_who_is_listed_after_the_request_is_stopped_at_the_second_look(
    outside: Simulator, sender: SenderAddress, entry: str
) -> None:
    people = ["bounced@a.sink.test", "well@b.sink.test", "other@c.sink.test"]
    task = started(people, sender)
    name = Entry.List.BLOCK if entry.startswith("@") else Entry.List.BOUNCE
    EntryFactory(key=entry, list=name)
    # None of these stops anybody.
    EntryFactory(key="other@c.sink.test", list=Entry.List.BOUNCE, intercepted=False)
    EntryFactory(key="@c.sink.test", expires_at=timezone.now())
    deliver()
    hit = next(one for one in people if one.endswith(entry))
    assert fates(task) == {one: ("invalid", "blacklist") if one == hit else ("delivered", "") for one in people}
    message = Message.objects.get(task=task, recipient=hit)
    assert (message.attempts, message.last_reply) == (0, services.STOPS[name].text)
