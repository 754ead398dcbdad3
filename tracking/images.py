"""What kind of picture a file is, and how large it is drawn: by its first bytes, never by its name. Pure.

PNG (W3C, §11.2.2), JPEG (ITU T.81 §B.2), GIF (89a, §18) and WebP (RFC 9649). No SVG: that is a document with scripts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
# Start of frame: all of C0 to CF but C4 (tables), C8 (reserved) and CC (tables).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class NotAnImage(ValueError):
    """None of the four kinds, or cut off before its size."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`type` is the media type; width and height are in pixels, as they stand in the file."""

    type: str
    width: int
    height: int


def measure(data: bytes) -> Measured:
    """Kind and size. Raises NotAnImage. Reads headers only: a picture that unpacks to gigabytes costs nothing."""
    try:
        found = _measure(data)
    except (struct.error, IndexError):
        found = None
    if found is None or not found.width or not found.height:
        raise NotAnImage
    return found


def _measure(data: bytes) -> Measured | None:
    if data.startswith(_PNG) and data[12:16] == b"IHDR":
        return Measured("image/png", *struct.unpack_from(">II", data, 16))
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return Measured("image/gif", *struct.unpack_from("<HH", data, 6))
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _jpeg(data: bytes) -> Measured | None:
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Measured("image/jpeg", width, height)
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in (0xD9, 0xDA) or length < 2:
            return None
        at += 2 + length
    return None


def _webp(data: bytes) -> Measured | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return Measured("image/webp", width, height) if len(data) >= 30 else None
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return Measured("image/webp", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return Measured("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    return None
