"""What a callback says: one JSON object with the keys that receivers of hosted services parse already. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

# After PRODUCT's definition of a hard bounce: the address does not exist; all else may do another time.
HARD, SOFT = "hard_bounce", "soft_bounce"


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the event and its message. Ids go out as text: 19 digits are more than JavaScript's numbers hold."""

    event: str
    event_id: int
    at: dt.datetime
    email: str = ""
    link: str = ""
    reason: str = ""
    # The name of the reason: not_exist makes a hard bounce.
    cause: str = ""
    username: str = ""
    sender: str = ""
    template_id: int | None = None
    user_agent: str = ""
    subject: str = ""
    message_id: int | None = None
    task_id: int | None = None


def body(facts: Facts) -> bytes:
    """`timestamp` in seconds since 1970, as receivers of Tencent's callbacks expect it."""
    told = {
        "event": facts.event,
        "email": facts.email,
        "link": facts.link,
        "bulkId": _text(facts.message_id),
        "timestamp": int(facts.at.timestamp()),
        "reason": facts.reason,
        "bounceType": (HARD if facts.cause == "not_exist" else SOFT) if facts.event == "bounce" else "",
        "username": facts.username,
        "from": facts.sender,
        "fromDomain": facts.sender.rpartition("@")[2],
        "templateId": facts.template_id or 0,
        "useragent": facts.user_agent,
        "subject": facts.subject,
        "messageId": _text(facts.message_id),
        "eventId": str(facts.event_id),
        "taskId": _text(facts.task_id),
    }
    return json.dumps(told, ensure_ascii=False).encode()


def signature(content: bytes, secrets: Sequence[bytes], *, at: int) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 over "SECONDS." and the body; one v1 for each secret in force, so that a
    receiver that knows the old or the new one finds its own."""
    signed = f"{at}.".encode() + content
    return ",".join([f"t={at}", *(f"v1={hmac.new(key, signed, hashlib.sha256).hexdigest()}" for key in secrets)])


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
