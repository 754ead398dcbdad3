"""A batch from its rows to everybody's fate, over real sockets to the simulator, and what stands in the mails."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from delivery.models import Attempt, Message, SenderAddress, TaskStatus, Waiting
from delivery.services import tasks
from delivery.services.regular import NewRegular, send_regular
from delivery.simulator.behaviour import BEHAVIOURS
from delivery.simulator.record import Record
from delivery.simulator.server import Simulator
from delivery.tokens import Tokens
from tests.engine.world import deliver, fates, started, taken, verifies
from tests.factories.delivery import TemplateFactory
from tests.factories.sending import template

ENDS = {one.local: one.ends for one in BEHAVIOURS if not one.feedback and one.local != "suppressionlist"}
HTML = "<html><body><h1>Hello {{name}}</h1><p><a href='https://shop.example/x?{{name}}'>Look</a></p></body></html>"
BODIES = {
    "ascii": "Hello there, how are you = fine?\nBye",
    "japanese": "拝啓、\n皆様にはますますご清栄のこととお喜び申し上げます。",
    "emoji": "Party 🎉👩‍👩‍👧‍👦 time",
    "longline": "x" * 3000,
    "longwords": "語と " * 1000 + "終",
    "dot": "before\n.\n..\n.x\nafter",
}


def parsed(mail: bytes) -> EmailMessage:
    found = email.message_from_bytes(mail, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


def local(recipient: str) -> str:
    return recipient.partition("+")[0]


@pytest.mark.usefixtures("hasty")
def test_every_address_of_the_simulator_ends_as_it_says_and_every_mail_verifies(
    outside: Simulator, sender: SenderAddress
) -> None:
    people = [f"{name}+{n}@simulator.test" for name in ENDS for n in range(8)]
    task = started(people, sender, template=template(HTML))
    report = deliver()
    task.refresh_from_db()

    assert fates(task) == {one: ENDS[local(one)] for one in people}
    assert (task.status, task.ended_at is not None, task.requested) == (TaskStatus.DONE, True, len(people))
    assert tasks.counts_of([task.pk])[task.pk] == {"delivered": 16, "invalid": 32, "soft_bounce": 8}
    assert not Waiting.objects.exists()
    assert report.lost == 0

    attempts: dict[str, list[Attempt]] = {one: [] for one in people}
    for attempt in Attempt.objects.order_by("message_id", "number"):
        attempts[Message.objects.get(pk=attempt.message_id).recipient].append(attempt)
    for recipient, theirs in attempts.items():
        assert [one.number for one in theirs] == list(range(1, len(theirs) + 1))
        status, reason = ENDS[local(recipient)]
        assert [one.outcome for one in theirs[:-1]] == ["deferred"] * (len(theirs) - 1)
        assert all(one.next_at is not None for one in theirs[:-1])
        last = theirs[-1]
        assert last.conversation[0][0] in ("connect", "greeting")
        assert any(text and text in last.reply for _phase, text in last.conversation)
        assert (last.remote_ip, last.mx_host) == ("127.0.0.1", "mx.simulator.test")
        assert (last.outcome == "delivered") == (status == "delivered")
        assert status == "delivered" or last.reason == reason
        if local(recipient) == "deferred":
            assert len(theirs) == 3
        elif local(recipient) == "full":
            assert len(theirs) > 2
        else:
            assert len(theirs) == 1
    message = Message.objects.get(recipient="bounce+0@simulator.test")
    assert (message.attempts, message.last_reply[:9]) == (1, "550 5.1.1")
    assert message.sent_at is not None

    assert taken(outside) == dict.fromkeys((one for one in people if ENDS[local(one)][0] == "delivered"), 1)
    for one in outside.accepted():
        assert verifies(outside, outside.mail(one))
        check_batch_mail(one, outside.mail(one), task.pk)


def check_batch_mail(record: Record, raw: bytes, task_id: int) -> None:
    mail = parsed(raw)
    message = Message.objects.get(recipient=record.recipient)
    assert mail["From"] == '"Linen & Co." <hello@news.posthorn.test>'
    assert mail["To"] == record.recipient
    assert mail["Subject"] == message.subject
    assert mail["Message-ID"] == f"<{message.pk}@news.posthorn.test>"
    assert mail["Date"].datetime is not None
    assert mail["MIME-Version"] == "1.0"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    unsubscribe = mail["List-Unsubscribe"].partition(",")[0].strip("<>")
    assert unsubscribe.startswith(settings.PUBLIC_URL)
    tokens = Tokens(settings.TOKEN_KEYS)
    assert tokens.read_unsubscribe(unsubscribe.rpartition("/")[2]) == message.pk
    assert mail["List-Id"].endswith(".news.posthorn.test>")
    assert str(task_id) in mail["Feedback-ID"].split(":")
    signed = raw[: raw.index(b"\r\n\r\n")].replace(b"\r\n\t", b"").replace(b"\r\n ", b"").lower()
    assert b"list-unsubscribe:" in signed.partition(b"h=")[2].partition(b";")[0].replace(b" ", b"") + b":"
    # The way back: a signed token at the bounce host.
    at = record.sender.rpartition("@")
    assert at[2] == "bounce.news.posthorn.test"
    assert at[0].startswith("b+")
    assert tokens.read_bounce(at[0][2:]) == message.pk


@pytest.mark.parametrize("kind", ["html", "text"])
def test_bodies_come_through_whatever_is_in_them(outside: Simulator, sender: SenderAddress, kind: str) -> None:
    source = "{{text}}\n" if kind == "text" else "<p id='it'>{{text}}</p>"
    people = [{"email": f"success+{name}@simulator.test", "text": text} for name, text in BODIES.items()]
    started(people, sender, subject="Hello", template=TemplateFactory(source=source, type=kind))
    deliver()
    mails = {one.recipient: outside.mail(one) for one in outside.accepted()}
    assert len(mails) == len(BODIES)
    for name, text in BODIES.items():
        raw = mails[f"success+{name}@simulator.test"]
        assert verifies(outside, raw)
        mail = parsed(raw)
        if kind == "text":
            assert text_of(mail).startswith(text + "\n")
        else:
            part = mail.get_body(("html",))
            assert part is not None
            assert f">{text}</p>" in part.get_content().replace("\r\n", "\n")


def test_trigger_mail_has_all_recipients_in_to_and_is_no_list_mail(outside: Simulator, sender: SenderAddress) -> None:
    everyone = ["success+a@simulator.test", "success+b@simulator.test", "bounce+c@simulator.test"]
    fields: dict[str, Any] = {"variables": {"name": "さくら"}, "recipients": "\n".join(everyone)}
    made = send_regular(
        NewRegular(subject="Code {{name}}", template=template(), sender_address=sender, **fields), now=timezone.now()
    )
    deliver()
    statuses = set(Message.objects.filter(pk__in=made.ids).values_list("recipient", "status"))
    assert statuses == {(everyone[0], "delivered"), (everyone[1], "delivered"), (everyone[2], "invalid")}
    assert taken(outside) == {everyone[0]: 1, everyone[1]: 1}
    senders = set()
    for one in outside.accepted():
        raw = outside.mail(one)
        assert verifies(outside, raw)
        mail = parsed(raw)
        assert mail["Subject"] == "Code さくら"
        assert [address.addr_spec for address in mail["To"].addresses] == everyone
        for absent in ("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"):
            assert mail[absent] is None
        senders.add(one.sender)
    assert len(senders) == 2


def test_one_who_unsubscribed_after_the_request_is_not_tried(outside: Simulator, sender: SenderAddress) -> None:
    from suppression import services as suppression

    task = started(["success+1@simulator.test", "success+2@simulator.test"], sender)
    suppression.unsubscribe("success+1@simulator.test", api_user_id=task.api_user_id, now=timezone.now())
    deliver()
    assert fates(task) == {
        "success+1@simulator.test": ("invalid", "unsubscribe"),
        "success+2@simulator.test": ("delivered", ""),
    }
    stopped = Message.objects.get(recipient="success+1@simulator.test")
    assert (stopped.attempts, stopped.last_reply, stopped.sent_at) == (0, "unsubscribe", None)
    assert not Attempt.objects.filter(message_id=stopped.pk).exists()
    assert taken(outside) == {"success+2@simulator.test": 1}
    task.refresh_from_db()
    assert task.status == TaskStatus.DONE
