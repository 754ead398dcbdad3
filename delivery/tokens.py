"""Signed tokens in links and return paths. Pure: the keys are handed in.

A token says which message it belongs to and what it is good for, and nobody without the key can make one:

    1 byte   kind << 4 | key version
    8 bytes  message id, big-endian
    2 bytes  index of the link (click only)
    4 bytes  template version (click only), so that a click is redirected without asking the database
    9-11 bytes  keyed BLAKE2b over all of the above

The lengths are chosen so that the text has no spare bits: each token has exactly one spelling (return paths may
change case on their way, so there upper case is read as well). The kind is under the signature: a click token
never unsubscribes anyone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping
from typing import NamedTuple

# OLD_CLICK has no version; such links stand in mail of the first release, and are still read.
BOUNCE, OLD_CLICK, OPEN, UNSUBSCRIBE, RESUBSCRIBE, CLICK = 1, 2, 3, 4, 5, 6

# Bytes of signature by kind: bounce 20 bytes = 32 characters of base32; of base64, click 24 = 32, old_click 21 = 28,
# the others 18 = 24.
_MAC_SIZE = {BOUNCE: 11, OLD_CLICK: 10, OPEN: 9, UNSUBSCRIBE: 9, RESUBSCRIBE: 9, CLICK: 9}
_ID = struct.Struct(">BQ")
_ID_LINK = struct.Struct(">BQH")
_ID_LINK_VERSION = struct.Struct(">BQHI")
MAX_LINKS = 0x10000


class Clicked(NamedTuple):
    """Link `number` of the template version; `version_id` is None in links of the first release."""

    message_id: int
    number: int
    version_id: int | None


class Tokens:
    """Makes tokens with the key of the highest version, and reads those of every version given.

    `keys`: version (1 to 15) → secret of any length from 16 bytes up.
    Every `read_*` takes text from outside, answers None for anything that was not made here, and never raises.
    """

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys or not all(1 <= version <= 15 for version in keys):
            raise ValueError("Token keys need versions from 1 to 15, and at least one.")
        if any(len(key) < 16 for key in keys.values()):
            raise ValueError("A token key is at least 16 bytes long.")
        # BLAKE2b takes 64 bytes of key at most; the prefix keeps these keys apart from any other use of the secret.
        self._keys = {version: hashlib.sha256(b"posthorn token\0" + key).digest() for version, key in keys.items()}
        self._version = max(keys)
        key = self._keys[self._version]
        # Begun once for each kind and copied: a mail has a token for each of its links.
        self._macs = {kind: hashlib.blake2b(digest_size=size, key=key) for kind, size in _MAC_SIZE.items()}

    def bounce(self, message_id: int) -> str:
        """32 lower-case base32 characters, for the local part of the return path (`b+TOKEN`)."""
        head = _ID.pack(BOUNCE << 4 | self._version, message_id)
        return base64.b32encode(self._signed(BOUNCE, head)).decode("ascii").lower()

    def click(self, message_id: int, index: int, version_id: int) -> str:
        """32 characters of URL-safe base64 for the link number `index` (0 to 65,535) of the template version."""
        head = _ID_LINK_VERSION.pack(CLICK << 4 | self._version, message_id, index, version_id)
        return base64.urlsafe_b64encode(self._signed(CLICK, head)).decode("ascii")

    def open(self, message_id: int) -> str:
        """24 characters of URL-safe base64 for the open image."""
        return self._plain(OPEN, message_id)

    def unsubscribe(self, message_id: int) -> str:
        """24 characters of URL-safe base64 for the unsubscribe page and the one-click header."""
        return self._plain(UNSUBSCRIBE, message_id)

    def resubscribe(self, message_id: int) -> str:
        """24 characters of URL-safe base64 for taking it back: shown to who unsubscribed, never mailed."""
        return self._plain(RESUBSCRIBE, message_id)

    def read_bounce(self, text: str) -> int | None:
        """The message id of a return path's token, in whatever case it came back."""
        if len(text) != 32 or not text.isascii():
            return None
        try:
            raw = base64.b32decode(text.upper())
        except (binascii.Error, ValueError):
            return None
        return self._message_id(raw, BOUNCE)

    def read_click(self, text: str) -> Clicked | None:
        """Which link of which message."""
        if len(text) == 28:
            raw = _base64(text, 28)
            if raw is None or not self._genuine(raw, OLD_CLICK):
                return None
            _, message_id, number = _ID_LINK.unpack_from(raw)
            return Clicked(message_id, number, None)
        raw = _base64(text, 32)
        if raw is None or not self._genuine(raw, CLICK):
            return None
        _, message_id, number, version_id = _ID_LINK_VERSION.unpack_from(raw)
        return Clicked(message_id, number, version_id)

    def read_open(self, text: str) -> int | None:
        """The message id."""
        return self._message_id(_base64(text, 24), OPEN)

    def read_unsubscribe(self, text: str) -> int | None:
        """The message id."""
        return self._message_id(_base64(text, 24), UNSUBSCRIBE)

    def read_resubscribe(self, text: str) -> int | None:
        """The message id."""
        return self._message_id(_base64(text, 24), RESUBSCRIBE)

    def _plain(self, kind: int, message_id: int) -> str:
        head = _ID.pack(kind << 4 | self._version, message_id)
        return base64.urlsafe_b64encode(self._signed(kind, head)).decode("ascii")

    def _signed(self, kind: int, head: bytes) -> bytes:
        mac = self._macs[kind].copy()
        mac.update(head)
        return head + mac.digest()

    def _message_id(self, raw: bytes | None, kind: int) -> int | None:
        if raw is None or not self._genuine(raw, kind):
            return None
        message_id: int = _ID.unpack_from(raw)[1]
        return message_id

    def _genuine(self, raw: bytes, kind: int) -> bool:
        key = self._keys.get(raw[0] & 0x0F)
        if raw[0] >> 4 != kind or key is None:
            return False
        size = _MAC_SIZE[kind]
        expected = hashlib.blake2b(raw[:-size], digest_size=size, key=key).digest()
        return hmac.compare_digest(expected, raw[-size:])


def _base64(text: str, length: int) -> bytes | None:
    # "+" and "/" are refused by hand: the decoder would take them beside "-" and "_", a second spelling.
    if len(text) != length or not text.isascii() or "+" in text or "/" in text:
        return None
    try:
        return base64.b64decode(text.translate({45: 43, 95: 47}), validate=True)
    except (binascii.Error, ValueError):
        return None
