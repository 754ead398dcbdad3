"""What stays on the suppression lists of a person who is forgotten, and what goes from the uploads to them."""

from __future__ import annotations

from collections.abc import Iterator

from console.forgetting import CantForget, Forgotten, out_of_errors
from suppression.address import MalformedAddress, parse
from suppression.models import Entry, Upload


def forget(text: str) -> Iterator[Forgotten]:
    """No entry is taken off: without its entry the address would be mailed again as soon as somebody uploads it.

    Raises CantForget for what is no address.
    """
    try:
        address = parse(text)
    except MalformedAddress as malformed:
        raise CantForget(malformed.reason) from None
    kept = Entry.objects.filter(key=address.key).count()
    yield Forgotten("Suppression lists", kept, "kept, so that the address is not mailed again; delete on Blocklist")
    told = out_of_errors(Upload.objects.defer("content"), address.canonical)
    yield Forgotten("Malformed rows of uploads", told, "(address taken out)")
    # Packed as they may be, nobody knows whom they name.
    waiting = Upload.objects.filter(content__isnull=False).delete()[0]
    yield Forgotten("Uploads whose columns are not confirmed", waiting, "(deleted: bring the file again)")
