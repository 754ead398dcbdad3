"""The lists of `words.toml` as expressions."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path


@cache
def _lists() -> dict[str, list[str]]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


@cache
def words(name: str, form: str = "{}") -> re.Pattern[str]:
    """What any entry of this list fits, without regard to case; `form` says where it stands."""
    return re.compile(form.replace("{}", f"(?:{'|'.join(_lists()[name])})"), re.IGNORECASE)
