"""Amazon SES tells of bounces, complaints and deliveries in JSON, which SNS may send by mail."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tracking.feedback.reading.arf import NO_COMPLAINTS
from tracking.feedback.reading.dsn import Status
from tracking.feedback.types import RECIPIENTS_MAX, Action, Type

_START = re.compile(r"^\{", re.MULTILINE)
_TYPES: Final[dict[str, tuple[Type, str, str, Action]]] = {
    "Bounce": ("bounce", "bounce", "bouncedRecipients", "failed"),
    "Complaint": ("complaint", "complaint", "complainedRecipients", ""),
    "Delivery": ("success", "delivery", "recipients", "delivered"),
    "DeliveryDelay": ("delay", "deliveryDelay", "delayedRecipients", "delayed"),
}


def read(text: str) -> tuple[Type, list[Status]] | None:
    """What the notification says, None where this is none."""
    if "otificationType" not in text and "eventType" not in text:
        return None
    start = _START.search(text)
    told = _object(text[start.start() :]) if start else None
    if told and isinstance(told.get("Message"), str):
        told = _object(told["Message"])
    name = told and (told.get("notificationType") or told.get("eventType"))
    if not told or not isinstance(name, str) or name not in _TYPES:
        return None
    kind, key, people, action = _TYPES[name]
    about = told.get(key)
    about = about if isinstance(about, dict) else {}
    if kind == "complaint" and str(about.get("complaintFeedbackType", "")).lower() in NO_COMPLAINTS:
        kind = "other"
    found = about.get(people)
    return kind, [_status(one, action) for one in found[:RECIPIENTS_MAX]] if isinstance(found, list) else []


def _object(text: str) -> dict[str, Any] | None:
    try:
        # Mail systems break long lines with "!" and a line end.
        found, _ = json.JSONDecoder(strict=False).raw_decode(re.sub(r"!\n ?", "", text))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _status(one: Any, action: Action) -> Status:
    if isinstance(one, str):
        return Status(one, action, "", "")
    told = one if isinstance(one, dict) else {}
    word = {name: str(told.get(name) or "") for name in ("emailAddress", "status", "diagnosticCode")}
    return Status(word["emailAddress"], action, word["status"], word["diagnosticCode"].removeprefix("smtp; "))
