"""Quoted-printable (RFC 2045 §6.7) in pieces that were encoded before, with values encoded as they come. Pure.

A piece begins at the start of a line and leaves room in its last line for a short value; a value ends with a soft line
break. So pieces and values only have to be joined. No line begins with a dot (nothing is left to be doubled, RFC 5321
§4.5.2), and values have no two blanks in a row, so what DKIM makes of the whole (RFC 6376 §3.4.4) is what it makes of
the pieces.
"""

from __future__ import annotations

import re
from typing import Final

from delivery.engine import bodies

LINE: Final = 76
# A value of at most so many columns stands in the line in which the piece before it ends.
SHORT: Final = 40
ROOM: Final = LINE - 1 - SHORT
SOFT: Final = b"=\r\n"

_BLANKS = re.compile(rb"[ \t]+")
_TOKENS: Final = [
    bytes([byte]) if byte in b" \t" or (33 <= byte <= 126 and byte != ord("=")) else b"=%02X" % byte
    for byte in range(256)
]


def piece(text: str) -> bytes:
    """Literal text with lines that end in CRLF, encoded."""
    encoded = _wrapped(text.encode("utf-8", "replace"))
    in_last_line = len(encoded) - encoded.rfind(b"\n") - 1
    return encoded + SOFT if in_last_line > ROOM else encoded


def relaxed(encoded: bytes) -> bytes:
    """A piece as DKIM signs it."""
    return _BLANKS.sub(b" ", encoded)


def value(text: str) -> bytes:
    """A value, encoded; lines in it end in CRLF."""
    size = len(text)
    if (
        size < LINE
        and text.isascii()
        and text.isprintable()
        and "=" not in text
        and "  " not in text
        and text[:1] not in (" ", ".")
    ):
        return text.encode() + SOFT if size <= SHORT else SOFT + text.encode() + SOFT
    data = text.encode("utf-8", "replace")
    # With something behind it, lest the encoder should think that the last line may be longer.
    encoded = bodies.quoted_printable(data + b"x")[:-1]
    if b"\r" not in data:
        encoded = encoded.replace(b"\n", b"\r\n")
    if encoded[:1] in (b" ", b"."):
        encoded = b"=%02X" % encoded[0] + encoded[1:]
    first, end, rest = encoded.partition(b"\r\n")
    if len(first) <= LINE - (not end) and not (
        b"  " in encoded or b"\t" in encoded or b"\n." in rest or rest[:1] == b"."
    ):
        return encoded + SOFT if not end and len(first) <= SHORT else SOFT + encoded + SOFT
    return SOFT + _wrapped(data, single_blanks=True) + SOFT


def _wrapped(data: bytes, single_blanks: bool = False) -> bytes:
    """Lines of at most LINE columns, none of which begins with a dot or ends with a blank; `single_blanks`: nor begins
    with one, nor has two in a row. The slow way: for pieces, once, and for the odd value."""
    lines = []
    for line in data.split(b"\r\n"):
        tokens: list[bytes] = []
        column, before = 0, b" "
        for byte in line:
            token = _TOKENS[byte]
            if single_blanks and (token == b"\t" or (token == before == b" ")):
                token = b"=%02X" % byte
            if column + len(token) >= LINE:
                tokens.append(SOFT)
                column = 0
            if token == b"." and not column:
                token = b"=2E"
            tokens.append(token)
            column += len(token)
            before = token
        lines.append(tokens)
    for tokens in lines[:-1]:
        if tokens and tokens[-1] in (b" ", b"\t"):
            # RFC 2045 §6.7 (3): a blank at the end of a line does not arrive.
            tokens[-1:] = [SOFT, b"=%02X" % tokens[-1][0]]
    return b"\r\n".join([b"".join(tokens) for tokens in lines])
