"""Addresses in text that was not written for us."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

_NOT_LOCAL: Final = r"\s<>\"`(),:;\[\]\\|“”‘’„«»「」（）：；，。、【】《》＜＞"
ADDRESS: Final = rf"(?:\"[^\"\s<>]{{1,62}}\"|[^{_NOT_LOCAL}]{{1,80}})" r"@[^\W_](?:[\w-]{0,62}\.){0,8}[\w-]{0,62}[^\W_]"
FOUND_MAX: Final = 200
_ADDRESS = re.compile(ADDRESS)
_TYPE = re.compile(r"\s*[\w-]{1,20}\s*;\s*")  # "rfc822; " (RFC 3464 §2.3.2)
_ESCAPED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533 §3
_NOBODY: Final = frozenset(
    (
        *(
            "postmaster",
            "mailer-daemon",
            "mailerdaemon",
            "mail-daemon",
            "mailer_daemon",
            "daemon",
            "double-bounce",
            "mdaemon",
        ),
        *(
            "root",
            "admin",
            "hostmaster",
            "webmaster",
            "abuse",
            "support",
            "help",
            "helpdesk",
            "noreply",
            "no-reply",
            "delist",
        ),
    )
)


def addresses(text: str) -> Iterator[str]:
    """Those in the text, at most FOUND_MAX, as found but for a dot or dash at their start."""
    if "@" in text:
        for match in islice(_ADDRESS.finditer(text), FOUND_MAX):
            found = match[0].lstrip(".-=*&/!#$%'")
            yield match[0] if found.startswith("@") else found  # "****@example.com": some hide whom they mean


def first(text: str) -> str:
    return next(addresses(text), "")


def of_field(value: str) -> str:
    """The address of `Final-Recipient: rfc822; a@example.com`; "" where it is none."""
    value = _ESCAPED.sub(_character, _TYPE.sub("", value, count=1))
    return first(value)


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if 0x20 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


def once(found: Iterable[str]) -> list[str]:
    """Each once, without regard to case, in their order."""
    kept: dict[str, str] = {}
    for address in filter(None, found):
        kept.setdefault(address.lower(), address)
    return list(kept.values())


def nobody(address: str) -> bool:
    """A mail system's own address, one to complain to, or a mailing list's keeper's (RFC 2142)."""
    name = address.partition("@")[0].lower()
    return name in _NOBODY or name.startswith("owner-") or name.endswith(("-owner", "-request", "-bounces"))
