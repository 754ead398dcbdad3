"""The mailbox simulator's page: each address, a mail to it at a click, and what came of the last one."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.models import ApiUser
from delivery.models import Message, Status
from delivery.services.simulator import TRY, last_tries
from delivery.simulator.behaviour import BEHAVIOURS, MOODY
from suppression.models import Entry
from tests.factories.delivery import AddressFactory, DomainFactory
from tests.factories.sending import message, template
from tests.factories.suppression import EntryFactory

PAGE = "/simulator/"


def text_of(client: Client) -> str:
    return re.sub(r"\s+", " ", client.get(PAGE).content.decode())


def ready() -> dict[str, str]:
    """What is chosen in the form."""
    return {"sender_address": str(AddressFactory().pk), "template": str(template("<p>{{a}} and {{b}}</p>").pk)}


def test_every_address_stands_there_with_what_it_does(viewer: Client) -> None:
    text = text_of(viewer)
    for one in (*BEHAVIOURS, *MOODY):
        assert f"{one.local}@simulator.test" in text
    assert "Accepts the mail, then unsubscribes by one click" in text
    assert "not tried yet" in text


def test_without_a_verified_sender_or_a_template_it_says_what_to_do(operator: Client) -> None:
    AddressFactory(domain=DomainFactory(verified=False))
    text = text_of(operator)
    assert "Before anything can be sent from here" in text
    assert 'href="/domains/"' in text and 'href="/templates/"' in text
    assert 'name="to"' not in text


def test_a_click_sends_one_mail_with_a_fresh_label_as_batch_mail(operator: Client) -> None:
    chosen = ready()
    for _time in range(2):
        assert operator.post(PAGE, {**chosen, "to": "complaint"}).status_code == 302
    first, second = Message.objects.order_by("pk")
    assert first.recipient != second.recipient
    assert first.recipient.startswith(f"complaint+{TRY}") and first.recipient.endswith("@simulator.test")
    assert first.api_user.type == ApiUser.Type.BATCH
    assert set(first.variables) == {"a", "b"}
    text = text_of(operator)
    assert f"/email-status/{second.pk}/" in text and f"/email-status/{first.pk}/" not in text


def test_one_button_sends_to_all_of_them(operator: Client) -> None:
    operator.post(PAGE, {**ready(), "to": "all"})
    sent = {recipient.partition("+")[0] for recipient in Message.objects.values_list("recipient", flat=True)}
    assert sent == {one.local for one in BEHAVIOURS}
    stopped = Message.objects.get(recipient__startswith="suppressionlist+")
    assert (stopped.status, stopped.reason) == (Status.INVALID, "blacklist")


@pytest.mark.parametrize("to", ["nobody", "", "success@example.org"])
def test_nothing_else_can_be_sent_to(operator: Client, to: str) -> None:
    assert operator.post(PAGE, {**ready(), "to": to}).status_code == 422
    assert not Message.objects.exists()


def test_a_viewer_sees_and_does_not_send(viewer: Client) -> None:
    chosen = ready()
    assert 'name="to"' not in text_of(viewer)
    assert viewer.post(PAGE, {**chosen, "to": "success"}).status_code == 403
    assert not Message.objects.exists()


def test_what_came_of_the_last_one_stands_there_and_the_list_that_it_is_on(viewer: Client) -> None:
    message(f"bouncelater+{TRY}1@simulator.test")
    last = message(f"bouncelater+{TRY}2@simulator.test", status=Status.SOFT_BOUNCE, reason="not_exist")
    # Not ours: of a batch, or of another domain with such a name.
    message("bouncelater+7@simulator.test")
    message(f"bouncelater+{TRY}3@example.org")
    EntryFactory(list=Entry.List.BOUNCE, key=last.recipient, created_at=timezone.now())
    text = text_of(viewer)
    assert f"/email-status/{last.pk}/" in text
    assert text.count("/email-status/9") == 1
    assert "on the list: Bounced" in text


def test_the_page_looks_again_while_something_is_to_come(viewer: Client) -> None:
    assert "hx-get" not in text_of(viewer).partition('id="tries"')[2][:200]
    message(f"complaint+{TRY}1@simulator.test")
    assert "hx-get" in text_of(viewer).partition('id="tries"')[2][:200]


@pytest.mark.django_db
def test_the_last_tries_are_found_by_the_recipient_however_much_mail_there_is() -> None:
    with CaptureQueriesContext(connection) as queries:
        last_tries(["success"], now=timezone.now())
    with connection.cursor() as cursor:
        # As where there is much: what can be had in order of the ids then looks cheap.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "lower(recipient) ~>=~" in plan.partition("Index Cond")[2], plan
    assert "pkey" not in plan, plan
