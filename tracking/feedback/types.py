"""What a mail that came back says. Texts are as found, bounded, without control characters; nothing is verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Type = Literal["bounce", "complaint", "autoreply", "delay", "success", "unsubscribe", "other"]
Action = Literal["failed", "delayed", "delivered", "relayed", "expanded", ""]
Kind = Literal["permanent", "temporary", ""]

RECIPIENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Returned:
    """What became of the mail to one recipient."""

    recipient: str  # "" where the mail does not tell, or not in full
    action: Action = ""  # RFC 3464 §2.3.3
    status: str = ""  # enhanced code (RFC 3463), "5.1.1"
    diagnostic: str = ""  # the remote server's words, at most 2,000 characters
    kind: Kind = ""  # of bounces and delays
    reason: str = ""  # of bounces and delays: server_error format_error not_exist ip_or_domain spam rejected other
    rule: str = ""  # of rules/replies.toml, which decided


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a mail is, whom it is about, and what in it may be ours.

    `tokens`, `links` and `message_ids` are candidates, the likeliest first, at most 20 each: anybody can write them.
    """

    type: Type
    recipients: tuple[Returned, ...] = ()  # each address once, at most RECIPIENTS_MAX
    tokens: tuple[str, ...] = ()  # bounce tokens: 32 characters of base32, in whatever case they came
    links: tuple[str, ...] = ()  # unsubscribe tokens: 24 characters of URL-safe base64
    message_ids: tuple[str, ...] = ()  # Message-ID of the mail that was returned, without "<" and ">"
    feedback_type: str = ""  # ARF's: abuse, fraud, virus, not-spam, auth-failure, …; lower case
    # what else a report says: arrival-date, source-ip, reported-domain, user-agent, reporting-mta, subject, …
    facts: Mapping[str, str] = field(default_factory=dict)
