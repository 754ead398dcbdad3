"""Content-transfer-encodings of text (RFC 2045 §6): lines of at most 76 characters, CRLF only. Pure."""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp
from typing import Final

QUOTED: Final = b"quoted-printable"

_LONG_BLANK = re.compile(rb"([^\r\n]{74,75})(=20|=09)(?=\r\n)")


def encode(text: str) -> tuple[bytes, bytes]:
    """(name of the encoding, encoded bytes ending in CRLF) of text whose lines end in CRLF.

    Quoted-printable, or base64 where that is shorter.
    """
    data = text.encode("utf-8", "replace")
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    if is_dense(text):
        return b"base64", base64(data)
    return QUOTED, quoted_printable(data)


def is_dense(text: str) -> bool:
    """Whether base64 is shorter."""
    size = len(text.encode("utf-8", "replace"))
    # Continuation bytes are about two thirds of the non-ASCII ones, each of which takes three in quoted-printable.
    return (size - len(text)) * 8 > size


def quoted_printable(data: bytes) -> bytes:
    """CRLF in the data stays a line break; everything else comes back as it was."""
    encoded = b2a_qp(data, quotetabs=False, istext=True)
    if b"=20\r\n" in encoded or b"=09\r\n" in encoded:
        # The encoder replaces a blank at a line's end without looking at the length.
        encoded = _LONG_BLANK.sub(rb"\1=\r\n\2", encoded)
    return encoded


def base64(data: bytes) -> bytes:
    """Lines of 76 characters."""
    return b"".join(
        [b2a_base64(data[start : start + 57], newline=False) + b"\r\n" for start in range(0, len(data), 57)]
    )
