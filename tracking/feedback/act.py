"""What a mail that came back does. It acts only on the message that a token of ours names, whatever else it says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from delivery.models import Message, Status
from delivery.models.status import OPEN
from delivery.services.outcomes import Correction, correct
from tracking import complaints, unsubscribing
from tracking.feedback.envelope import identify
from tracking.feedback.types import Feedback, Returned
from tracking.links import tokens
from tracking.models import Event, FeedbackMail
from tracking.visitors import Visitor

# A bounce mail can be quicker than the engine, which writes in batches: then it waits until the message has ended, as
# long as that may take with a retry window of five days.
PATIENCE = dt.timedelta(days=6)
SHORTEST, LONGEST = dt.timedelta(seconds=1), dt.timedelta(minutes=15)
# Of what a report says, kept with the event.
FACTS, FACT_LENGTH = 12, 300

_KINDS = {
    "bounce": Event.Kind.BOUNCE,
    "delay": Event.Kind.DELAY,
    "success": Event.Kind.SUCCESS,
    "autoreply": Event.Kind.REPLY,
}


class Outcome(models.TextChoices):
    """What was done about a mail."""

    CORRECTED = "corrected", "the message's status was corrected"
    NOTED = "noted", "an event was written"
    LISTED = "listed", "the address was put on the complaint list"
    UNSUBSCRIBED = "unsubscribed", "the address was unsubscribed"
    KNOWN = "known", "it was known before"
    NOTHING = "nothing", "it asks for nothing"
    NO_TOKEN = "no_token", "it names no message"
    NO_MESSAGE = "no_message", "its message is not kept any more"


@dataclass(slots=True)
class Case:
    """A mail, what it says, and which message it is about, as far as a token proves it."""

    mail: FeedbackMail
    feedback: Feedback
    message_id: int | None
    unsubscribes: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is acted on in a transaction of its own: lists and days are locked message by message there."""
        return self.unsubscribes or self.feedback.type == "complaint"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a mail. `due`: it is looked at again then; None: it is filed."""

    mail_id: int
    type: str
    message_id: int | None
    outcome: str = ""
    due: dt.datetime | None = None


def case(mail: FeedbackMail, feedback: Feedback) -> Case:
    """The envelope's token is the surest; else the first that is genuine of those found in the mail."""
    ours = identify(mail.envelope_to)
    if ours is not None and ours.message_id is not None:
        return Case(mail, feedback, ours.message_id, unsubscribes=ours.kind == "unsubscribe")
    named = [tokens().read_bounce(text) for text in feedback.tokens]
    named += [tokens().read_unsubscribe(text) for text in feedback.links]
    return Case(mail, feedback, next((one for one in named if one is not None), None))


def together(cases: Sequence[Case], *, now: dt.datetime) -> list[Done]:
    """Act on mails that correct messages or only leave an event. In the caller's transaction."""
    messages = _locked({one.message_id for one in cases if one.message_id is not None})
    done: list[Done] = []
    corrections: dict[int, Correction] = {}
    events: list[Event] = []
    for one in cases:
        message = messages.get(one.message_id or 0)
        kind = _KINDS.get(one.feedback.type)
        if kind is None:
            done.append(_done(one, Outcome.NOTHING))
        elif message is None:
            done.append(_done(one, Outcome.NO_TOKEN if one.message_id is None else Outcome.NO_MESSAGE))
        elif (due := _later(one, message, now)) is not None:
            done.append(Done(one.mail.pk, one.feedback.type, message.pk, due=due))
        else:
            returned = about(message, one.feedback)
            if (status := _status(one.feedback, message)) is not None:
                corrections[one.mail.pk] = Correction(message.pk, status, returned.reason, said(returned))
            events.append(Event(message_id=message.pk, kind=kind, detail=_detail(one, returned)))
            done.append(_done(one, Outcome.NOTED))
    corrected = correct(list(corrections.values()), now=now)
    Event.objects.bulk_create(events)
    # Of several mails about one message the first has corrected it.
    first = {correction.message_id: mail_id for mail_id, correction in reversed(corrections.items())}
    return [
        Done(one.mail_id, one.type, one.message_id, Outcome.CORRECTED)
        if one.message_id in corrected and first.get(one.message_id) == one.mail_id
        else one
        for one in done
    ]


def alone(one: Case, *, now: dt.datetime) -> Done:
    """Act on a complaint or an unsubscription. In the caller's transaction, which does nothing else."""
    message = Message.objects.filter(pk=one.message_id).first() if one.message_id is not None else None
    if message is None:
        return _done(one, Outcome.NO_TOKEN if one.message_id is None else Outcome.NO_MESSAGE)
    if one.unsubscribes:
        visitor = Visitor(one.mail.client_ip)
        done = unsubscribing.unsubscribe(message.pk, visitor, now=now, how="mail")
        return _done(one, Outcome.UNSUBSCRIBED if done and done.changed else Outcome.KNOWN, "unsubscribe")
    detail = _detail(one, about(message, one.feedback)) | {"feedback_type": storable(one.feedback.feedback_type[:40])}
    listed = complaints.complain(message, now=now, source="report", detail=detail)
    return _done(one, Outcome.LISTED if listed else Outcome.KNOWN)


def about(message: Message, feedback: Feedback) -> Returned:
    """What the mail says of this message's recipient; of a forwarded one, what it says of whom it went on to."""
    key = message.recipient.lower()
    mine = [one for one in feedback.recipients if one.recipient.lower() == key]
    failed = [one for one in feedback.recipients if one.action in ("failed", "")]
    return next(iter([*mine, *failed, *feedback.recipients]), Returned(""))


def said(returned: Returned) -> str:
    """The server's words, or what the report has in their place."""
    return storable(returned.diagnostic or " ".join(filter(None, [returned.action, returned.status])))


def _status(feedback: Feedback, message: Message) -> Status | None:
    """What the message's status becomes, if this is allowed (delivery/services/outcomes.py)."""
    if feedback.type == "bounce":
        return Status.SOFT_BOUNCE
    # A notice says more only where a relay had not said how it ended.
    return Status.DELIVERED if feedback.type == "success" and message.status == Status.SENT else None


def _later(one: Case, message: Message, now: dt.datetime) -> dt.datetime | None:
    """When to look again, if the message has not ended yet, as far as we know."""
    age = now - one.mail.received_at
    if one.feedback.type not in ("bounce", "success") or message.status not in OPEN or age > PATIENCE:
        return None
    return now + min(max(age / 2, SHORTEST), LONGEST)


def _locked(message_ids: set[int]) -> dict[int, Message]:
    """The messages, in order, held until the end of the transaction."""
    if not message_ids:
        return {}
    rows = Message.objects.select_for_update(no_key=True).filter(pk__in=sorted(message_ids)).order_by("pk")
    return {row.pk: row for row in rows.only("id", "status", "recipient")}


def _detail(one: Case, returned: Returned) -> dict[str, Any]:
    """What is kept with the event: who said what, verbatim."""
    found: dict[str, Any] = {
        "mail": str(one.mail.pk),
        "recipient": storable(returned.recipient),
        "action": returned.action,
        "status": storable(returned.status),
        "kind": returned.kind,
        "reason": returned.reason,
        "said": said(returned),
        "facts": _facts(one.feedback.facts),
    }
    return {name: value for name, value in found.items() if value}


def _facts(facts: Mapping[str, str]) -> dict[str, str]:
    return {storable(name[:40]): storable(value[:FACT_LENGTH]) for name, value in list(facts.items())[:FACTS] if value}


def storable(text: str) -> str:
    """Without what PostgreSQL takes neither as text nor as JSON."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _done(one: Case, outcome: Outcome, type: str = "") -> Done:
    return Done(one.mail.pk, type or one.feedback.type, one.message_id, outcome.value)
