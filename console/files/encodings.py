"""Which encoding a text file is in: by its marks, by strict decoding, and by what the decoded text looks like.

Reads the whole file, a block at a time, so that a file that is half readable is refused before anything is saved.
No database.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from django.utils.translation import gettext as _

BLOCK = 64 * 1024
MAX_LINE = 1024 * 1024  # bytes; what is longer is no line of a table

# What an operator may choose → Python's codec. The codecs are the supersets that spreadsheets really write: code page
# 932 for Shift_JIS, 1252 for Latin-1 (as browsers do, WHATWG Encoding §4.2).
ENCODINGS: Final = {
    "utf-8": "utf-8-sig",
    "utf-16": "utf-16",
    "shift_jis": "cp932",
    "gb18030": "gb18030",
    "latin-1": "cp1252",
}
ENCODING_NAMES: Final = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "shift_jis": "Shift_JIS",
    "gb18030": "GB18030",
    "latin-1": "Latin-1",
}
_ALIASES: Final = {
    "utf8": "utf-8",
    "utf-8-sig": "utf-8",
    "utf16": "utf-16",
    "utf-16le": "utf-16",
    "utf-16be": "utf-16",
    "utf-16-le": "utf-16",
    "utf-16-be": "utf-16",
    "sjis": "shift_jis",
    "shift-jis": "shift_jis",
    "cp932": "shift_jis",
    "windows-31j": "shift_jis",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "latin1": "latin-1",
    "iso-8859-1": "latin-1",
    "cp1252": "latin-1",
    "windows-1252": "latin-1",
}

_CONTROL_BYTES: Final = bytes([*range(0x09), *range(0x0E, 0x20)])
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1f]")
# Characters that are judged, at most; a table says what it is long before.
_ENOUGH: Final = 20_000


class UnreadableFile(ValueError):
    """The file as a whole can't be imported. `message` says what to do; `code` names the fault."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def encoding_named(name: str) -> str:
    """The key of ENCODINGS that a person means by `name`. Raises UnreadableFile."""
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key not in ENCODINGS:
        raise UnreadableFile(
            "encoding",
            _("The encoding “%(name)s” is not known. Choose one of: %(choices)s.")
            % {"name": name[:40], "choices": ", ".join(ENCODING_NAMES.values())},
        )
    return key


def encoding_of(stream: BinaryIO, told: str | None = None) -> str:
    """The key of ENCODINGS for the text in a seekable `stream`, which is left at its beginning.

    `told` is believed when the text can be decoded so. Raises UnreadableFile for what is no text, can't be decoded,
    or can't be told apart.
    """
    if told:
        key = encoding_named(told)
        if not _decodes(stream, key):
            raise UnreadableFile(
                "encoding",
                _("The file is not in %(name)s. Choose another encoding, or leave the choice to us.")
                % {"name": ENCODING_NAMES[key]},
            )
        return key
    stream.seek(0)
    mark = stream.read(4)
    candidates = []
    if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if _decodes(stream, "utf-16"):
            return "utf-16"
    elif _decodes(stream, "utf-8"):
        return "utf-8"
    elif not mark.startswith(codecs.BOM_UTF8):
        candidates = ["shift_jis", "gb18030", "latin-1"]
    scores = {key: score for key in candidates if (score := _score(stream, key)) is not None}
    stream.seek(0)
    best = max(scores, key=lambda key: scores[key], default="")
    if not best or scores[best] < _LEAST[best]:
        raise UnreadableFile(
            "encoding",
            _("We could not tell the file's encoding. Choose it, or save the file as “CSV UTF-8”."),
        )
    return best


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    stream.seek(0)
    while block := stream.read(BLOCK):
        yield block


def _decodes(stream: BinaryIO, key: str) -> bool:
    """Whether every byte can be decoded. Raises UnreadableFile for binary content and endless lines."""
    decoder = codecs.getincrementaldecoder(ENCODINGS[key])("strict")
    wide = key == "utf-16"
    line = 0
    clean = True  # the last block ended between two characters, for all we know
    try:
        for block in _blocks(stream):
            if not wide and len(block.translate(None, _CONTROL_BYTES)) != len(block):
                raise _not_text()
            # An ASCII block after a complete character decodes to itself in all of these.
            if wide or not (clean and block.isascii()):
                text = decoder.decode(block)
                if wide and _CONTROLS.search(text):
                    raise _not_text()
            clean = block[-1] < 0x80
            end = max(block.rfind(b"\n"), block.rfind(b"\r"))
            line = line + len(block) if end < 0 else len(block) - end
            if line > MAX_LINE:
                raise _not_text()
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    finally:
        stream.seek(0)
    return True


def _not_text() -> UnreadableFile:
    return UnreadableFile("binary", _("This is not a table. Choose a CSV file, or an Excel workbook (.xlsx)."))


def _score(stream: BinaryIO, key: str) -> float | None:
    """How much the decoded text looks like the language of the encoding: -1 to 1; None where it can't be decoded."""
    decoder = codecs.getincrementaldecoder(ENCODINGS[key])("strict")
    judge = _JUDGES[key]
    points, seen = 0.0, 0
    try:
        for block in _blocks(stream):
            text = decoder.decode(block)
            if seen < _ENOUGH and not text.isascii():
                more, count = judge(text)
                points, seen = points + more, seen + count
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return None
    return points / seen if seen else None


# One ideograph inside a Latin word: "O’Brien" or "Jérôme" read as two bytes a character.
_WEDGED = re.compile("(?<=[A-Za-z])[^\x00-\x7f](?=[A-Za-z])")


def _japanese(text: str) -> tuple[float, int]:
    points, count = -1.5 * len(_WEDGED.findall(text)), 0
    for character in text:
        if character < "\x80":
            continue
        count += 1
        if "\u3040" <= character <= "\u30ff":
            points += 1
        elif "\u3000" <= character <= "\u303f" or "\uff01" <= character <= "\uff5e":
            points += 0.5
        elif "\u4e00" <= character <= "\u9fff":
            # Level 1 of JIS X 0208, the everyday kanji, ends in row 0x98.
            points += 1 if character.encode("cp932")[0] <= 0x98 else 0.2
        elif "\ue000" <= character <= "\uf8ff":
            points -= 2
        else:  # half-width kana are what Latin and Chinese text turn into
            points -= 0.3
    return points, count


def _chinese(text: str) -> tuple[float, int]:
    points, count = -1.5 * len(_WEDGED.findall(text)), 0
    for character in text:
        if character < "\x80":
            continue
        count += 1
        try:
            row = character.encode("gb2312")[0]
        except UnicodeEncodeError:
            points -= 1
            continue
        if 0xB0 <= row <= 0xD7:  # level 1 of GB 2312, 3,755 everyday characters
            points += 1
        elif row >= 0xD8:
            points += 0.2
        elif row in (0xA1, 0xA3):
            points += 0.5
        else:
            points -= 0.5
    return points, count


_RUN = re.compile("[^\x00-\x7f]+")
_LATIN = re.compile("[À-ÖØ-öø-ÿŠšŽžŒœŸ]")


def _western(text: str) -> tuple[float, int]:
    points, count = 0.0, 0
    for run in _RUN.findall(text):
        count += len(run)
        letters = len(_LATIN.findall(run))
        # Accented letters stand between plain ones; long runs are another script.
        points += letters if len(run) <= 2 else -letters
        points += (len(run) - letters) * (0.1 if len(run) == 1 else -0.5)
    return points, count


_JUDGES: Final[dict[str, Callable[[str], tuple[float, int]]]] = {
    "shift_jis": _japanese,
    "gb18030": _chinese,
    "latin-1": _western,
}
_LEAST: Final = {"shift_jis": 0.3, "gb18030": 0.6, "latin-1": 0.0}
