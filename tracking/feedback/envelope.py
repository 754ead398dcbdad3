"""Where mail that comes back is sent to. An address of ours proves by its token that we made it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.utils import getaddresses
from typing import Literal

from django.conf import settings

from delivery.models import SenderDomain
from delivery.return_path import BOUNCE, REPORTS, UNSUBSCRIBE
from tracking.links import tokens

# How much of a mail's head is looked at.
HEAD_BYTES = 64 * 1024
# Header fields in which MTAs leave the address that a mail was sent to, the surest first.
_TRACES = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To")


@dataclass(frozen=True, slots=True)
class Ours:
    """What an address of ours is for. `message_id`: the message that its token names; None: `fbl@`, for all."""

    kind: Literal["bounce", "unsubscribe", "report"]
    message_id: int | None = None


def identify(address: str) -> Ours | None:
    """What this address is for, at whatever host; None where it is not ours, or its token is forged."""
    local = address.rpartition("@")[0]
    # A return path may change its case on the way; the token of an unsubscription may not.
    prefix, token = local[: len(BOUNCE)].lower(), local[len(BOUNCE) :]
    if prefix == BOUNCE and (message_id := tokens().read_bounce(token)) is not None:
        return Ours("bounce", message_id)
    if prefix == UNSUBSCRIBE and (message_id := tokens().read_unsubscribe(token)) is not None:
        return Ours("unsubscribe", message_id)
    return Ours("report") if local.lower() == REPORTS else None


def hosts() -> frozenset[str]:
    """The hosts for which such mail comes here: the bounce hosts of all sender domains, and the mail host itself."""
    domains = SenderDomain.objects.only("name")
    return frozenset(domain.bounce_host.lower() for domain in domains) | {settings.MAIL_HOST.lower()}


def envelope_of(raw: bytes, given: Iterable[str] = ()) -> str:
    """Where a mail went that comes without its envelope, as far as one of these addresses or its head tells: the
    first address of ours, else the first of all, else ""."""
    found = [address for address in given if address]
    head = message_from_bytes(raw[:HEAD_BYTES].partition(b"\r\n\r\n")[0], policy=policy.compat32)
    for name in _TRACES:
        values = [str(value)[:2000] for value in head.get_all(name, [])[:10]]
        found += [address[:320] for _name, address in getaddresses(values) if "@" in address][:20]
    return next((address for address in found if identify(address)), found[0] if found else "")
