"""A mail as it was sent, made again from its template version and variables by the engine's own composer."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage

from django.conf import settings

from console.models import Account, ApiUser
from delivery.engine.claim import Claimed
from delivery.engine.store import DomainFacts, TaskFacts, composer_of, letter
from delivery.models import Message, SenderDomain, Task, TemplateVersion
from delivery.tokens import Tokens


class NotThere(Exception):
    """The mail can't be made again: its template version or API user is gone, or it can't be composed."""


@dataclass(frozen=True, slots=True)
class AsSent:
    """`source` is without the DKIM signature, which is made at sending and not kept."""

    source: str
    html: str
    text: str
    headers: dict[str, str]


def mail_as_sent(message: Message) -> AsSent:
    """Raises NotThere."""
    version = TemplateVersion.objects.filter(pk=message.version_id).first()
    user = ApiUser.objects.filter(pk=message.api_user_id).first()
    domain = SenderDomain.objects.filter(pk=message.sender_domain_id).first()
    if version is None or user is None:
        raise NotThere
    task = Task.objects.filter(pk=message.task_id).first() if message.task_id else None
    facts = TaskFacts(task.defaults, f"g{task.group_id or 0}.{message.sender.rpartition('@')[2]}") if task else None
    composer = composer_of(version, batch=user.type == ApiUser.Type.BATCH, tokens=Tokens(settings.TOKEN_KEYS))
    at = message.sent_at or message.requested_at
    try:
        made = composer.compose(
            letter(_claimed(message), user, Account.current(), DomainFacts.of(domain), facts), at.timestamp()
        )
    except ValueError:
        raise NotThere from None
    raw = made.as_bytes()
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    return AsSent(
        source=raw.decode("utf-8", "replace").replace("\r\n", "\n"),
        html=_part(parsed, "html"),
        text=_part(parsed, "plain"),
        headers={name: str(parsed[name] or "") for name in ("From", "To", "Subject", "Reply-To")},
    )


def _part(parsed: EmailMessage, kind: str) -> str:
    body = parsed.get_body(preferencelist=(kind,))
    return str(body.get_content()) if body is not None else ""


def _claimed(message: Message) -> Claimed:
    """The message as the engine has it in hand when it composes."""
    return Claimed(
        message_id=message.pk,
        token=0,
        safe_until=0.0,
        task_id=message.task_id,
        limit_group_id=0,
        queue_id=0,
        attempts=message.attempts,
        logged=message.attempts,
        answered=False,
        expires_at=None,
        api_user_id=message.api_user_id,
        version_id=message.version_id,
        sender_domain_id=message.sender_domain_id,
        receiving_domain_id=message.receiving_domain_id,
        receiving_domain="",
        recipient=message.recipient,
        sender=message.sender,
        sender_name=message.sender_name,
        subject=message.subject,
        to_field=message.to_field,
        variables=message.variables,
    )
