"""The smallest pictures of each kind, as programs write them."""

from __future__ import annotations

import struct
import zlib


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, rgb: bytes = b"\x24\x56\xc7") -> bytes:
    """All of one colour."""
    row = b"\0" + rgb * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(row * height)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


PNG = png(1, 1)
GIF = bytes.fromhex("47494638396103000200800000000000ffffff21f90401000000002c00000000030002000002024401003b")
# JFIF, a comment, a progressive frame of 5 × 4.
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    b"\xff\xfe\x00\x06made\xff\xff\xc2\x00\x0b\x08\x00\x04\x00\x05\x01\x01\x11\x00\xff\xd9"
)
WEBP_LOSSY = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30\x01\0\x9d\x01\x2a\x07\x40\x06\x00" + b"\0" * 12
WEBP_LOSSLESS = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + struct.pack("<I", 8 | (5 << 14)) + b"\0" * 8
WEBP_EXTENDED = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\x0a\0\0" + b"\x08\0\0"
