"""An API user that may send from one domain alone."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from console.models import ApiUser
from delivery.models import Message, SenderAddress, Task, TaskStatus
from delivery.services.again import obstacle
from delivery.services.regular import NewRegular, RegularRefused, send_regular
from delivery.services.tasks import TaskRefused, create_task, expand
from tests.factories.delivery import AddressFactory
from tests.factories.sending import new_task, template

pytestmark = pytest.mark.django_db


def restricted(type: str, to: str) -> None:
    user = ApiUser.console(type)
    user.only_domain = to
    user.save()


def send(sender: SenderAddress) -> None:
    send_regular(
        NewRegular(template=template("<p>Hi</p>"), subject="Hi", sender_address=sender, recipients="ann@example.org"),
        now=timezone.now(),
    )


def test_regular_mail_goes_from_its_domain_and_from_no_other() -> None:
    its, other = AddressFactory(), AddressFactory()
    restricted(ApiUser.Type.TRIGGER, its.domain.name)
    with pytest.raises(RegularRefused, match=f"from {its.domain.name} alone") as error:
        send(other)
    assert error.value.field == "sender_address"
    send(its)
    assert Message.objects.get().sender == its.address


def test_so_do_tasks_and_what_is_sent_again() -> None:
    its, other = AddressFactory(), AddressFactory()
    sent = create_task(new_task(sender_address=other))
    restricted(ApiUser.Type.BATCH, its.domain.name)
    with pytest.raises(TaskRefused, match="alone") as error:
        create_task(new_task(sender_address=other))
    assert error.value.field == "sender_address"
    create_task(new_task(sender_address=its))
    sent.ended_at = timezone.now()
    sent.counts.create(status="soft_bounce", count=1)
    sent.version = template().current
    sent.api_user.refresh_from_db()
    assert "alone" in obstacle(sent)


def test_so_do_tests_of_a_template(operator: Client) -> None:
    its, other = AddressFactory(), AddressFactory()
    restricted(ApiUser.Type.TRIGGER, its.domain.name)
    given = {"sender_address": other.pk, "recipient": "ann@example.org", "subject": "Test", "variables": "{}"}
    answer = operator.post(f"/templates/{template('<p>Hi</p>').pk}/test/", given)
    assert answer.status_code == 422
    assert f"from {its.domain.name} alone" in answer.content.decode()
    assert not Message.objects.exists()


def test_a_task_whose_api_user_was_restricted_before_it_began_fails_and_says_so() -> None:
    task = create_task(new_task())
    restricted(ApiUser.Type.BATCH, "elsewhere.example.com")
    assert expand(task.pk, now=timezone.now()) == 0
    task = Task.objects.get(pk=task.pk)
    assert task.status == TaskStatus.FAILED
    assert task.failure.startswith("The API user console-batch may send from elsewhere.example.com alone.")
