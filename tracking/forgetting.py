"""Taking a person out of everything that is kept of mail and of what came back.

Rows stay where figures are made of them: a message without its address still says that one was sent and what became
of it. The same name stands in its place on all of them, made anew each time, so that nothing leads back.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.db.models import F, Func, Model, QuerySet, Value
from django.db.models.functions import Left, Replace
from django_q.models import Failure

from console import ids
from console.forgetting import CantForget, Forgotten, out_of_errors
from delivery.models import Callback, CallbackEvent, GroupImport, Message, Recipient, RecipientGroup
from delivery.models.flow import Flow, Standing
from delivery.models.queue import QueuePause
from delivery.models.status import OPEN
from suppression.address import Address, parse
from suppression.models import Change
from tracking import contacts
from tracking.models import Event

# The messages of one regular mail are requested together.
TOGETHER = dt.timedelta(seconds=10)


def forget(text: str) -> Iterator[Forgotten]:
    """Raises CantForget while mail to it is under way, MalformedAddress for what is none."""
    address = parse(text)
    messages = contacts.only(Message.objects.all(), address)
    under_way = messages.filter(status__in=OPEN).count()
    if under_way:
        raise CantForget(
            f"{under_way} messages to this address are under way. Stop their tasks, or wait until they have ended."
        )
    name = f"forgotten-{secrets.token_hex(6)}@forgotten.invalid"
    message_ids = sorted(messages.values_list("pk", flat=True))
    yield Forgotten("Messages", len(message_ids), "(address and variables taken out)")
    yield Forgotten("Others' copies of a To field", _to_fields(messages, address, name), "(address taken out)")
    if message_ids:
        yield Forgotten("Attempts", _attempts(message_ids, address, name), "(address taken out of what servers said)")
    yield Forgotten("Opens, clicks and other events", _events(message_ids), "(IP address, program and link taken out)")
    yield Forgotten("Returned mail", _returned_mail(message_ids, address), "(deleted)")
    yield Forgotten("Callback events", _deleted(CallbackEvent.objects.filter(message_id__in=message_ids)), "(deleted)")
    yield Forgotten("Recipient groups", _leave_groups(address), "(row deleted)")
    yield Forgotten("Pauses, queues and callbacks", _elsewhere(address, name), "(address taken out of what was said)")
    told = out_of_errors(GroupImport.objects.all(), address.canonical)
    yield Forgotten("Malformed rows of group imports", told, "(address taken out)")
    changes = Change.objects.filter(what__icontains=address.key)
    told = changes.update(what="(a forgotten address)")
    yield Forgotten("Changes of the suppression lists", told, "(address taken out)")
    # How they ended may quote a row; nobody reads them but to mend a fault.
    yield Forgotten("Failed jobs", _deleted(Failure.objects.all()), "(deleted)")
    messages.update(recipient=name, variables={}, to_field="")


def _leave_groups(address: Address) -> int:
    # By the groups: the index begins with them.
    groups = list(RecipientGroup.objects.values_list("pk", flat=True))
    rows = Recipient.objects.filter(group__in=groups, key=address.key)
    left = list(rows.values_list("group_id", flat=True))
    RecipientGroup.objects.filter(pk__in=left).update(size=F("size") - 1)
    return _deleted(rows)


def _returned_mail(message_ids: list[int], address: Address) -> int:
    """What is about these messages; and of what names no message, or was never read, where the address stands in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM tracking_feedbackmail WHERE message_id = ANY(%(ids)s) OR (message_id IS NULL AND "
            "(envelope_from ILIKE %(like)s OR encode(raw, 'escape') ILIKE %(like)s))",
            {"ids": message_ids, "like": f"%{_literal(address.canonical)}%"},
        )
        return int(cursor.rowcount)


def _literal(text: str) -> str:
    """For LIKE, in the form in which bytes are written as text."""
    octets = text.encode().decode("latin-1")
    written = "".join(f"\\{ord(one):03o}" if ord(one) > 126 else one for one in octets)
    return written.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _deleted(rows: QuerySet[Any]) -> int:
    return int(rows.delete()[0])


def _to_fields(messages: QuerySet[Message], address: Address, name: str) -> int:
    changed = 0
    for own in messages.exclude(to_field="").only("pk", "to_field", "recipient"):
        near = ids.time_of(own.pk)
        changed += (
            Message.objects.filter(
                pk__gte=ids.id_at(near - TOGETHER), pk__lt=ids.id_at(near + TOGETHER), to_field=own.to_field
            )
            .exclude(pk=own.pk)
            .update(to_field=Replace("to_field", Value(own.recipient), Value(name)))
        )
    return changed


def _attempts(message_ids: list[int], address: Address, name: str) -> int:
    """What servers said, without the address; in messages, too, where the last of it stands. A subject and a sender's
    name that may have been filled for one person go back to what their task says."""
    pattern = re.escape(address.canonical)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE delivery_message m SET last_reply = regexp_replace(last_reply, %s, %s, 'gi'), "
            "subject = coalesce((SELECT t.subject FROM delivery_task t WHERE t.id = m.task_id), ''), "
            "sender_name = coalesce((SELECT t.sender_name FROM delivery_task t WHERE t.id = m.task_id), '') "
            "WHERE id = ANY(%s)",
            [pattern, name, message_ids],
        )
        cursor.execute(
            "UPDATE delivery_attempt SET reply = regexp_replace(reply, %s, %s, 'gi'), "
            "conversation = regexp_replace(conversation::text, %s, %s, 'gi')::jsonb WHERE message_id = ANY(%s)",
            [pattern, name, pattern, name, message_ids],
        )
        return int(cursor.rowcount)


def _elsewhere(address: Address, name: str) -> int:
    """Where the words of a server, or of who takes our callbacks, stand beside no message."""
    said: list[tuple[type[Model], str]] = [
        (Flow, "reply"),
        (Standing, "reply"),
        (QueuePause, "said"),
        (Callback, "last_problem"),
    ]
    changed = 0
    for model, column in said:
        found = model._default_manager.filter(**{f"{column}__icontains": address.canonical})
        # Longer than what it stands for, it may not fit.
        length = getattr(model._meta.get_field(column), "max_length", None)
        swap = Func(F(column), Value(re.escape(address.canonical)), Value(name), Value("gi"), function="regexp_replace")
        changed += found.update(**{column: Left(swap, length or 100)})
    return changed


def _events(message_ids: list[int]) -> int:
    changed = Event.objects.filter(message_id__in=message_ids)
    return changed.update(ip=None, user_agent="", client="", link="", detail={})
