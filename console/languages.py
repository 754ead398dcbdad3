"""The languages in which recipients are spoken to, and which of them a browser asks for. Pure."""

from __future__ import annotations

import math

# In the order in which they are offered. Django's name → the language's own.
LANGUAGES = {"en": "English", "ja": "日本語", "pt-br": "Português", "zh-hans": "简体中文"}
DEFAULT_LANGUAGE = "en"
# By the first subtag alone: who reads Portuguese of Portugal or traditional Chinese reads these rather than English.
_BY_SUBTAG = {name.partition("-")[0]: name for name in LANGUAGES}
# Of a header: browsers send a line of a dozen languages at most.
MAX_HEADER = 500


def preferred(accept_language: str) -> str:
    """The language of ours that an Accept-Language header (RFC 9110 §12.5.4) likes best; English where it likes none.

    Of two that it likes equally, the first. What can't be read is passed over.
    """
    best, liked = DEFAULT_LANGUAGE, 0.0
    for part in accept_language[:MAX_HEADER].split(","):
        tag, _semicolon, weight = part.partition(";")
        name = _BY_SUBTAG.get(tag.strip().lower().replace("_", "-").partition("-")[0])
        quality = _quality(weight)
        if name and quality > liked:
            best, liked = name, quality
    return best


def _quality(text: str) -> float:
    """“q=0.8” → 0.8; nothing → 1; what is none → 0."""
    text = text.strip()
    if not text:
        return 1.0
    try:
        quality = float(text.lower().removeprefix("q=")) if text.isascii() else 0.0
    except ValueError:
        return 0.0
    return quality if math.isfinite(quality) and 0 <= quality <= 1 else 0.0
