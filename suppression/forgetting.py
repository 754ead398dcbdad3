"""The suppression lists say what stays there of a person who is forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from console.forgetting import CantForget, Forgotten
from suppression.address import MalformedAddress, parse
from suppression.models import Entry


def forget(text: str) -> Iterator[Forgotten]:
    """Nothing is taken off: without its entry the address would be mailed again as soon as somebody uploads it.

    Raises CantForget for what is no address.
    """
    try:
        key = parse(text).key
    except MalformedAddress as malformed:
        raise CantForget(malformed.reason) from None
    kept = Entry.objects.filter(key=key).count()
    yield Forgotten("Suppression lists", kept, "kept, so that the address is not mailed again; delete on Blocklist")
