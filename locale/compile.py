"""Compile the catalogues: `python locale/compile.py`. Django's own command needs GNU gettext, which many machines lack.

Reads what stands in our .po files (single-line and continued strings; no plural forms, no contexts, no obsolete
entries) and writes the .mo files beside them, in GNU gettext's format.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
MAGIC = 0x950412DE


def read(text: str) -> dict[str, str]:
    """msgid → msgstr of a .po file, fuzzy and untranslated ones left out."""
    found: dict[str, str] = {}
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if any(line.startswith("#,") and "fuzzy" in line for line in lines):
            continue
        parts = {"msgid": "", "msgstr": ""}
        into = ""
        for line in lines:
            word, _space, rest = line.partition(" ")
            if word in parts:
                into, line = word, rest
            if into and line.startswith('"'):
                parts[into] += ast.literal_eval(line)
        if parts["msgstr"]:
            found[parts["msgid"]] = parts["msgstr"]
    return found


def compiled(messages: dict[str, str]) -> bytes:
    """A .mo file: the header, two tables of (length, offset), then the strings, each with a null byte behind it."""
    pairs = sorted((key.encode(), value.encode()) for key, value in messages.items())
    count = len(pairs)
    offset = 28 + 16 * count
    tables: list[list[int]] = [[], []]
    strings = b""
    for side in (0, 1):
        for pair in pairs:
            tables[side] += [len(pair[side]), offset + len(strings)]
            strings += pair[side] + b"\0"
    head = struct.pack("<7I", MAGIC, 0, count, 28, 28 + 8 * count, 0, offset)
    return head + struct.pack(f"<{4 * count}I", *tables[0], *tables[1]) + strings


def catalogues() -> Iterator[Path]:
    return iter(sorted(HERE.glob("*/LC_MESSAGES/django.po")))


if __name__ == "__main__":
    for path in catalogues():
        path.with_suffix(".mo").write_bytes(compiled(read(path.read_text("utf-8"))))
        print(path.with_suffix(".mo").relative_to(HERE))
