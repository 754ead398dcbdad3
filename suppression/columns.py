"""What the columns of a table are, by what people and mail services call them. Pure."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from suppression.address import is_address

# What people call the column of the address, less blanks and marks.
_ADDRESS: Final = frozenset(
    {
        *("email", "emails", "mail", "emailaddress", "mailaddress", "address", "recipient", "to", "emailadresse"),
        *(
            "メール",
            "メールアドレス",
            "eメール",
            "アドレス",
            "宛先",
            "邮箱",
            "邮箱地址",
            "电子邮件",
            "电子邮箱",
            "邮件地址",
        ),
        *(
            "correo",
            "correoelectronico",
            "correoelectrónico",
            "courriel",
            "adressemail",
            "endereçodeemail",
            "mejl",
            "epost",
        ),
    }
)


# The same for what else a list of suppressed addresses has, less blanks and marks, in the words of Amazon SES,
# SendGrid, Mailgun, Postmark, Mailchimp and Mandrill.
_DOMAIN: Final = frozenset({"domain", "domains", "domainname", "addressordomain", "ドメイン", "域名"})
_REASON: Final = frozenset(
    {
        *("reason", "error", "detail", "details", "description", "message", "note", "notes", "comment", "origin"),
        *("suppressionreason", "unsubreason", "unsubreasonother", "bouncereason", "errormessage", "diagnosticcode"),
    }
)
_KIND: Final = frozenset(
    {"reason", "suppressionreason", "type", "suppressiontype", "kind", "list", "status", "event", "category"}
)
_SINCE: Final = frozenset(
    {
        *("created", "createdat", "createdon", "date", "time", "timestamp", "added", "addedat", "dateadded"),
        *("lastupdatetime", "lastupdatedtime", "lasteventat", "suppressedat", "bouncedat", "bouncetime"),
        *("unsubtime", "cleantime", "optouttime", "optoutdate", "unsubscribedat", "complainedat"),
    }
)

SPAM_REPORT, BLOCK, BOUNCE, UNSUBSCRIPTION = "spam_report", "block", "bounce", "unsubscription"

# Columns by which a service's file is known → what is in it. The first that fits.
_SERVICES: Final = (
    ("Mailchimp", {"emailaddress", "unsubtime"}, UNSUBSCRIPTION),
    ("Mailchimp", {"emailaddress", "cleantime"}, BOUNCE),
    ("Postmark", {"emailaddress", "suppressionreason"}, ""),
    ("Amazon SES", {"emailaddress", "reason", "lastupdatetime"}, ""),
    ("Mandrill", {"email", "reason", "lasteventat"}, ""),
    ("Mailgun", {"address", "code", "error", "createdat"}, BOUNCE),
    ("Mailgun", {"address", "tags", "createdat"}, UNSUBSCRIPTION),
    ("Mailgun", {"address", "createdat"}, SPAM_REPORT),
    ("SendGrid", {"status", "reason", "email", "created"}, BOUNCE),
)
# In a file's name.
_NAMES: Final = (
    (("unsub", "optout", "opt-out"), UNSUBSCRIPTION),
    (("spam", "complain", "abuse"), SPAM_REPORT),
    (("bounce", "clean", "invalid"), BOUNCE),
    (("block", "deny", "blacklist"), BLOCK),
)
_KIND_LENGTH = 40  # characters of a word that says which list; what is longer is a server's reply
KINDS_MOST = 20  # different ones in a column that says which list


@dataclass(frozen=True, slots=True)
class Layout:
    """What each column is, by number from 0; None: there is none. `header`: the first row names the columns."""

    header: bool
    address: int
    kind: int | None = None
    reason: int | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """What a file seems to be. `kind`: the list that all of it belongs to, "" where its rows say, or nobody knows;
    `service`: whose export it looks like, or ""."""

    layout: Layout
    kind: str = ""
    service: str = ""


def plain(name: str) -> str:
    """The name of a column without case, blanks and marks."""
    return re.sub(r"[\W_]", "", name).lower()


def names_an_address(name: str) -> bool:
    """Whether a column so called holds the recipient's address."""
    return plain(name) in _ADDRESS


def guess(rows: Sequence[Sequence[str]], filename: str = "") -> Guess:
    """What the columns of a table are, by its first rows and its name. It is a guess: show it before it is used."""
    first = rows[0] if rows else [""]
    names = [plain(cell) for cell in first]
    known = _ADDRESS | _DOMAIN | _REASON | _KIND | _SINCE
    header = not any(map(is_address, first)) and not known.isdisjoint(names)
    body = rows[1:] if header else rows
    width = max(map(len, rows), default=1)
    columns = [[row[place] for row in body if place < len(row) and row[place].strip()] for place in range(width)]

    def named(wanted: frozenset[str], fits: Callable[[list[str]], bool] = bool) -> int | None:
        """The first column so called whose values fit."""
        places = range(width) if not header else [place for place, name in enumerate(names) if name in wanted]
        return next((place for place in places if place not in taken and fits(columns[place])), None)

    address = _first(names, _ADDRESS) if header else None
    if address is None and header:
        address = _first(names, _DOMAIN)
    if address is None:
        address = max(range(width), key=lambda place: sum(map(is_address, columns[place])), default=0)
    taken = {address}
    kind = named(_KIND, _says_which_list)
    taken.add(-1 if kind is None else kind)
    since = named(_SINCE, _are_times)
    taken.add(-1 if since is None else since)
    reason = named(_REASON, _are_words) if header else None
    service, listed = _service(set(names)) if header else ("", "")
    # The name that a person gave the file says more than columns that several exports have.
    listed = "" if kind is not None else _by_name(filename) or listed
    return Guess(Layout(header, address, kind, reason, since), listed, service)


def _first(names: Sequence[str], wanted: frozenset[str]) -> int | None:
    return next((place for place, name in enumerate(names) if name in wanted), None)


def _are_words(values: list[str]) -> bool:
    return any(not value.strip().isdigit() for value in values)


def _are_times(values: list[str]) -> bool:
    return bool(values) and all(read_time(value) is not None for value in values)


def _says_which_list(values: list[str]) -> bool:
    """Short words, few of them, and at least half of them known: no server's replies."""
    words = {value.strip().lower() for value in values}
    if not words or len(words) > KINDS_MOST or max(map(len, words)) > _KIND_LENGTH or any(map(is_address, words)):
        return False
    return 2 * sum(bool(list_named(word)) for word in words) >= len(words)


def _service(names: set[str]) -> tuple[str, str]:
    return next(((service, kind) for service, wanted, kind in _SERVICES if wanted <= names), ("", ""))


def _by_name(filename: str) -> str:
    name = filename.lower()
    return next((kind for parts, kind in _NAMES if any(part in name for part in parts)), "")


def list_named(word: str) -> str:
    """The list that another service means by a word of its own ("HardBounce", "COMPLAINT", "unsub"), or ""."""
    text = plain(word)
    if "soft" in text or "transient" in text or "temporary" in text:
        return ""
    if "complain" in text or "spam" in text or "abuse" in text:
        return SPAM_REPORT
    if "unsub" in text or "optout" in text or "optedout" in text:
        return UNSUBSCRIPTION
    if any(part in text for part in ("bounce", "hard", "clean", "invalid", "permanent", "notexist", "nosuch")):
        return BOUNCE
    if any(part in text for part in ("manual", "block", "blacklist", "deny", "custom")):
        return BLOCK
    return ""


_FORMATS = ("%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S UTC", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d")
_EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
_LATEST = dt.datetime(2089, 1, 1, tzinfo=dt.UTC)


def read_time(text: str) -> dt.datetime | None:
    """A time as services write it: ISO 8601, seconds or milliseconds since 1970, RFC 5322. Without a zone it is UTC.

    None where it can't be read, or is none of our times.
    """
    text = text.strip()
    if not text or len(text) > 60:
        return None
    for read in (_iso, _number, _mail, _other):
        try:
            moment = read(text)
        except (ValueError, OverflowError, OSError, TypeError, IndexError):
            continue
        if moment is None:
            continue
        try:
            moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
        except OverflowError:
            return None
        return moment if _EARLIEST <= moment < _LATEST else None
    return None


def _iso(text: str) -> dt.datetime | None:
    return None if text.isdigit() else dt.datetime.fromisoformat(text)


def _number(text: str) -> dt.datetime | None:
    if not (text.isascii() and text.isdigit() and 9 <= len(text) <= 13):
        return None
    return dt.datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), dt.UTC)


def _mail(text: str) -> dt.datetime | None:
    # Mailgun writes the year 1 where it knows none, which would be read as 2001.
    return None if " 0001 " in text else email.utils.parsedate_to_datetime(text)


def _other(text: str) -> dt.datetime | None:
    for form in _FORMATS:
        try:
            return dt.datetime.strptime(text, form)
        except ValueError:
            continue
    return None
