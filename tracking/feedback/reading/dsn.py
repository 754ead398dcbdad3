"""Delivery reports (RFC 3464, RFC 6533): what mail servers say in fields of each recipient.

Found in a part of its own; where the mail is broken, in its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, cast

from tracking.feedback.reading.addresses import of_field
from tracking.feedback.reading.mime import Headers, Mail, read_headers
from tracking.feedback.types import RECIPIENTS_MAX, Action

TYPES: Final = ("message/delivery-status", "message/global-delivery-status", "text/delivery-status")
_GROUPS = re.compile(r"\n[ \t]*\n")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_TYPE = re.compile(r"\s*[A-Za-z][\w-]{1,40}\s*;")  # "smtp;" (RFC 3464 §2.3.6)
_TORN = re.compile(
    r"\n(?![!-9;-~]{1,40}[ \t]*:)"
)  # a line that is no field goes on with the one above, if not indented
_OF_RECIPIENT: Final = ("final-recipient", "original-recipient", "x-actual-recipient")
_FIELDS = re.compile(
    r"^[ \t>]{0,8}(?:final-recipient|original-recipient)[ \t]*:[^\n]*@[^\n]*\n", re.IGNORECASE | re.MULTILINE
)
_GROUPS_MAX: Final = 3 * RECIPIENTS_MAX
_ACTIONS: Final = (
    ("fail", "failed"),
    ("delay", "delayed"),
    ("deliverable", "delivered"),
    ("delivered", "delivered"),
    ("relay", "relayed"),
    ("expand", "expanded"),
    ("expired", "failed"),
)


@dataclass(frozen=True, slots=True)
class Status:
    """The group of fields of one recipient."""

    recipient: str
    action: Action
    status: str
    diagnostic: str
    category: str = ""  # in words, of those that tell one ("bad mailbox")


def reports(mail: Mail) -> tuple[Headers, list[Status]]:
    """The fields about the whole mail, and those of each recipient.

    Last those of a report embedded in the mail: one that came back itself.
    """
    whole: list[tuple[str, str]] = []
    found: list[Status] = []
    for part in mail.parts:
        if part.type in TYPES:
            about, statuses = read_report(part.text())
            whole += about.fields
            found += statuses
    return Headers(whole), found[:RECIPIENTS_MAX]


def report_in_text(text: str) -> list[Status]:
    """Fields of recipients that stand in a text, as broken mail has them."""
    match = _FIELDS.search(text)
    if match is None:
        return []
    start = max(0, text.rfind("\n\n", 0, match.start()))
    return read_report(re.sub(r"(?m)^[ \t>]{1,8}(?=[A-Za-z-]{4,30}:)", "", text[start : start + 2**15]))[1]


def read_report(text: str) -> tuple[Headers, list[Status]]:
    """Groups of fields; those of one recipient that an empty line has torn apart are joined again."""
    whole: list[tuple[str, str]] = []
    groups: list[list[tuple[str, str]]] = []
    for group in _groups(text.strip("\n")):
        fields = read_headers(_TORN.sub(" ", group))
        if any(name in fields for name in _OF_RECIPIENT):
            groups.append(list(fields.fields))
        elif groups and "action" in fields and "action" not in Headers(groups[-1]):
            groups[-1] += fields.fields
        elif not groups:
            whole += fields.fields
    if not groups and any(name in ("action", "status") for name, _ in whole):
        groups = [whole]
    return Headers(whole), [_status(Headers(group)) for group in groups[:RECIPIENTS_MAX]]


def _groups(text: str) -> Iterator[str]:
    start = 0
    for match in islice(_GROUPS.finditer(text), _GROUPS_MAX):
        yield text[start : match.start()]
        start = match.end()
    yield text[start:]


def _status(fields: Headers) -> Status:
    status = _STATUS.search(fields.get("status"))
    code = status[1] if status else ""
    return Status(
        recipient=next(filter(None, (of_field(fields.get(name)) for name in _OF_RECIPIENT)), ""),
        action=_action(fields.get("action"), code),
        status=code,
        diagnostic=_TYPE.sub("", fields.get("diagnostic-code"), count=1).strip(),
        category=fields.get("x-powermta-bouncecategory").replace("-", " "),
    )


def _action(said: str, status: str) -> Action:
    said = said.strip().lower()
    for start, action in _ACTIONS:
        if said.startswith(start):
            return cast(Action, action)
    return "delivered" if status.startswith("2") else "failed" if status else ""
