"""Files and typed lines onto the lists: read as a whole, then put there; bad rows are listed, the others go in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from django.utils.translation import gettext as _

from console.files.encodings import UnreadableFile
from console.files.sheets import ERRORS_KEPT, SHOWN, MalformedRow, Sheet, SheetRow, empty_file
from console.models import User
from suppression import address, columns, editing
from suppression.columns import Guess, Layout
from suppression.editing import Given
from suppression.models import Change, Entry, Upload

LIMIT = 50_000  # rows of one file, in a request that somebody waits for
COMMAND = "manage.py import_suppressions"
_SAMPLE = 200  # rows by which columns are guessed


@dataclass(frozen=True, slots=True)
class Where:
    """Where rows go. `kind`: the list of all of them (an Entry.List); "" where a column says, by `kinds`: from its word
    to the list, "" to leave that row out. `api_user_id`: of blocks and unsubscriptions, None for all API users."""

    kind: str = ""
    kinds: Callable[[str], str] | None = None
    api_user_id: int | None = None
    expires_at: dt.datetime | None = None
    reason: str = ""


def key_of(text: str, *, domains: bool) -> str:
    """The key of an entry that a person wrote: an address, or, where `domains`, a domain ("@example.com",
    "*@example.com" too). Raises MalformedAddress."""
    text = text.strip()
    bare = text.removeprefix("*").removeprefix("@")
    if domains and bare and "@" not in bare:
        return "@" + address.parse(f"x@{bare}").domain
    return address.parse(text).key


def open_sheet(source: object, filename: str, *, encoding: str = "", max_bytes: int | None = None) -> Sheet:
    """A file that somebody brought. Raises UnreadableFile."""
    return Sheet(source, filename, encoding=encoding or None, max_bytes=max_bytes, command=COMMAND)  # type: ignore[arg-type]


def look(sheet: Sheet) -> tuple[Guess, list[SheetRow], Iterator[SheetRow]]:
    """What the sheet seems to be, its first rows, and all of its rows. Raises UnreadableFile."""
    rows = iter(sheet)
    first = list(islice(rows, _SAMPLE))
    if not first:
        raise empty_file()
    cells = [row for _line, row in first if isinstance(row, list)]
    return columns.guess(cells, sheet.filename), first, (row for part in (first, rows) for row in part)


def survey(rows: Iterator[SheetRow], layout: Layout) -> tuple[int, dict[str, int]]:
    """How many rows there are, and the words of the column that says which list with how many rows have each; of these
    at most columns.KINDS_MOST."""
    if layout.header:
        next(rows, None)
    count, words = 0, dict[str, int]()
    for _line, cells in rows:
        count += 1
        if layout.kind is not None and not isinstance(cells, str):
            word = _cell(cells, layout.kind)
            if word in words or len(words) < columns.KINDS_MOST:
                words[word] = words.get(word, 0) + 1
    return count, words


def take(
    rows: Iterator[SheetRow],
    layout: Layout,
    where: Where,
    upload: Upload,
    *,
    now: dt.datetime,
    by: User | None,
    limit: int | None = LIMIT,
) -> None:
    """Read the rows to the end, put them on the lists, and save what became of them in `upload`.

    Nothing goes in when the file can't be read to its end, or has more rows than `limit`: raises UnreadableFile.
    Without a limit, what was read goes in every LIMIT rows. An address that stands in the file several times counts
    once as added; the later row says the reason.
    """
    found: dict[str, dict[str, Given]] = {}
    written: dict[str, tuple[int, list[str]]] = {}

    def put() -> None:
        for name in sorted(found):
            given = found.pop(name)
            upload.added += editing.put(
                name,
                given,
                now=now,
                by=by,
                api_user_id=where.api_user_id if name in SCOPED else None,
                expires_at=where.expires_at,
            )
            count, first = written.get(name, (0, []))
            written[name] = (count + len(given), first or sorted(given)[: editing.NAMED])

    if layout.header:
        next(rows, None)
    for row in rows:
        upload.total += 1
        if limit is not None and upload.total > limit:
            raise UnreadableFile(
                "rows",
                _("The file has more than %(most)s rows. Split it, or use the command %(command)s.")
                % {"most": f"{limit:,}", "command": COMMAND},
            )
        _sort_in(row, layout, where, upload, found)
        if limit is None and upload.total % LIMIT == 0:
            put()
    put()
    upload.repeated = upload.total - upload.added - upload.left_out - upload.malformed
    upload.content = None
    upload.made_at, upload.made_by = now, by.get_username() if by else upload.made_by
    upload.save()
    for name, (count, keys) in written.items():
        editing.note(Change.Action.ADDED, by=upload.made_by, now=now, name=name, count=count, keys=keys, upload=upload)


# The lists whose entries may hold for one API user alone.
SCOPED = frozenset({Entry.List.BLOCK.value, Entry.List.UNSUBSCRIPTION.value})


def _sort_in(row: SheetRow, layout: Layout, where: Where, upload: Upload, found: dict[str, dict[str, Given]]) -> None:
    line, cells = row
    if isinstance(cells, str):
        _malformed(upload, MalformedRow(line, "", cells))
        return
    name = where.kind or (where.kinds(_cell(cells, layout.kind)) if where.kinds else "")
    if not name:
        upload.left_out += 1
        return
    text = _cell(cells, layout.address)
    try:
        key = key_of(text, domains=name == Entry.List.BLOCK)
    except address.MalformedAddress as malformed:
        _malformed(upload, MalformedRow(line, text[:SHOWN], malformed.reason))
        return
    found.setdefault(name, {})[key] = Given(
        reason=where.reason or _clean(_cell(cells, layout.reason)), since=columns.read_time(_cell(cells, layout.since))
    )


def _cell(cells: list[str], place: int | None) -> str:
    return cells[place].strip() if place is not None and place < len(cells) else ""


def _clean(text: str) -> str:
    """A service's words on one line. PostgreSQL takes no null bytes."""
    return " ".join(text.replace("\x00", " ").split())


def _malformed(upload: Upload, row: MalformedRow) -> None:
    upload.malformed += 1
    if len(upload.errors) < ERRORS_KEPT:
        line, value, reason = row
        upload.errors.append([line, value.replace("\x00", "�"), reason])
