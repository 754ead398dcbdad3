"""The worker's own journal: what servers answered, kept until PostgreSQL has it.

Each decision is appended with one write before anything else is done with it. When the worker is killed between the
server's "250" and the settling, the next engine on this machine reads the journal first, so the mail is not sent
again. There is no fsync: a loss of power is not covered, a killed process is.

A journal is pages of files. A page whose entries are all settled is deleted or emptied, so what lies there is what is
not settled. A live owner holds a lock on its pages; a lock dies with its process, so what can be locked is orphaned.

Beside the pages stands the list of claims that the engine made: when it is known to be gone, what it had in hand need
not wait for the claims' deadlines.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from delivery.engine.claim import Claimed
from delivery.engine.settle import Key, Settled
from delivery.engine.types import Exchange, Phase, Reply, Verdict
from delivery.models import Status

log = structlog.get_logger()

PAGE_BYTES = 2**20


class Journal:
    """Of one engine. Not for use by two threads."""

    def __init__(self, directory: Path, worker: int) -> None:
        self.directory = directory
        self.worker = worker
        self._number = 0
        self._file = -1
        self._size = 0
        # Descriptors whose last write was cut short: the next one begins in the middle of a line.
        self._cut: set[int] = set()
        # Page number → (path, descriptor, entries not settled).
        self._pages: dict[int, tuple[Path, int]] = {}
        self._open_entries: dict[int, int] = {}
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._claims_path = directory / f"{worker}.claims"
        self._claims = _locked_file(self._claims_path)
        self._turn_page()

    def claimed(self, token: int) -> None:
        """These rows are in hand now. One short line a claim: an engine lives for minutes, so the list stays short.
        Raises OSError when that can't be written."""
        self._write(self._claims, b"%d\n" % token)

    def append(self, settled: Settled) -> None:
        """Write one decision down, complete or not at all as far as a reader is concerned (it ends with a newline)."""
        line = (_json(_as_row(settled)) + "\n").encode(errors="replace")
        self._write(self._file, line)
        settled.page = self._number
        self._open_entries[self._number] += 1
        self._size += len(line)
        if self._size > PAGE_BYTES:
            # Where no further file can be opened, this page grows, and the next line tries again.
            with suppress(OSError):
                self._turn_page()

    def need_room(self) -> None:
        """Raises OSError unless another page could be filled."""
        with tempfile.TemporaryFile(dir=self.directory) as probe:
            probe.write(bytes(PAGE_BYTES))
            probe.flush()

    def done(self, batch: Iterable[Settled]) -> None:
        """These are in the database: forget them."""
        for settled in batch:
            if settled.page:
                self._open_entries[settled.page] -= 1
        for number in [number for number, count in self._open_entries.items() if count == 0]:
            if number != self._number:
                self._close(number)
            elif self._size:
                os.ftruncate(self._file, 0)
                self._size = 0

    def close(self) -> None:
        """At an orderly end. Pages with entries stay for the next engine."""
        for number in list(self._pages):
            self._close(number)
        if not any(self.directory.glob(f"{self.worker}-*.journal")):
            # What is still claimed now was on the wire when time was up: nobody can say whether it was taken, so it
            # waits for the claim's deadline.
            self._claims_path.unlink(missing_ok=True)
        os.close(self._claims)

    def _write(self, file: int, line: bytes) -> None:
        """Raises OSError, also when a full disk took a part of it only."""
        if file in self._cut:
            line = b"\n" + line
        written = os.write(file, line)
        self._cut.discard(file)
        if written < len(line):
            self._cut.add(file)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _turn_page(self) -> None:
        path = self.directory / f"{self.worker}-{self._number + 1}.journal"
        self._file = _locked_file(path)
        self._number += 1
        self._pages[self._number] = (path, self._file)
        self._open_entries[self._number] = 0
        self._size = 0

    def _close(self, number: int) -> None:
        path, descriptor = self._pages.pop(number)
        if self._open_entries.pop(number) == 0:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked_file(path: Path) -> int:
    """A new file that has its name only when it is locked: nobody may take it for an orphan in between."""
    fresh = path.with_suffix(".new")
    # O_APPEND: after a truncation the next write begins at the start.
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    fresh.rename(path)
    return descriptor


def abandoned_claims(directory: Path) -> Iterator[tuple[Path, list[int]]]:
    """Claims of engines that are gone and whose pages are all settled."""
    for path in sorted(directory.glob("*.claims")) if directory.is_dir() else []:
        if any(directory.glob(f"{path.stem}-*.journal")):
            continue
        with _orphan(path) as ours:
            if ours:
                yield path, [int(line) for line in path.read_bytes().split(b"\n")[:-1] if line.isdigit()]


def anything_left(directory: Path, alive: Collection[int]) -> bool:
    """Whether some engine of this machine is gone, or silent, and left work for another."""
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        if path.suffix in (".journal", ".claims"):
            with _orphan(path) as ours:
                if ours:
                    return True
    return any(True for _page in _silent(directory, alive))


@contextmanager
def _orphan(path: Path) -> Iterator[bool]:
    """Locks a file that nobody else has locked; False when somebody has, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists()
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def unheard(directory: Path, alive: Collection[int]) -> Iterator[list[Settled]]:
    """What engines were told that hold their pages still, but are not among the `alive` by their tokens: frozen. It
    must be in the database before others take over their claims, or what was answered would be sent again. A page is
    wiped when the caller comes back for the next: whoever wrote it finds when it goes on that all is settled."""
    for path in _silent(directory, alive):
        # It may go meanwhile: when its writer is gone altogether, somebody else takes it for an orphan.
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            yield list(_read(path))
            if path.stat().st_size == size:
                os.truncate(path, 0)


def told(directory: Path) -> set[Key]:
    """Claims that a server's answer lies here for, whoever's: not settled yet, or being so just now."""
    found: set[Key] = set()
    for path in directory.glob("*.journal") if directory.is_dir() else []:
        # It goes, or is emptied, as soon as all is settled.
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    message_id, token, _rest = line.removeprefix(b"[").split(b",", 2)
                    found.add((int(message_id), int(token)))
    return found


def _silent(directory: Path, alive: Collection[int]) -> Iterator[Path]:
    for path in sorted(directory.glob("*.journal")) if directory.is_dir() else []:
        try:
            if int(path.stem.partition("-")[0]) not in alive and path.stat().st_size:
                yield path
        except (FileNotFoundError, ValueError):
            continue


def orphans(directory: Path) -> Iterator[tuple[Path, list[Settled]]]:
    """Pages left behind by engines that are gone, with their entries. Locked while the caller works on them, and to be
    deleted by it when they are settled."""
    for path in sorted(directory.glob("*.journal")) if directory.is_dir() else []:
        with _orphan(path) as ours:
            if ours:
                yield path, list(_read(path))


def _read(path: Path) -> Iterator[Settled]:
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return  # the write was cut short by the kill; its reply was not acted upon
            try:
                yield _from_row(json.loads(line))
            except (ValueError, TypeError):
                log.warning("journal_line_unreadable", page=path.name)


# Once, for every mail is written down.
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _as_row(settled: Settled) -> tuple[Any, ...]:
    """What `_from_row` reads."""
    one, verdict, exchange = settled.claimed, settled.verdict, settled.exchange
    return (
        one.message_id,
        one.token,
        one.task_id,
        one.attempts,
        one.logged,
        one.queue_id,
        one.answered,
        one.expires_at.isoformat() if one.expires_at else None,
        one.recipient,
        one.sender_domain_id,
        one.api_user_id,
        one.version_id,
        one.receiving_domain_id,
        one.receiving_domain,
        settled.status.value,
        str(settled.reason),
        settled.last_reply,
        settled.due.isoformat() if settled.due else None,
        settled.expires_at.isoformat() if settled.expires_at else None,
        settled.answered,
        settled.counts,
        # Field by field: asdict() copies in depth, which took a tenth of the loop's time.
        (verdict.outcome, verdict.reason, verdict.scope, verdict.rule) if verdict else None,
        (
            (exchange.reply.code, exchange.reply.enhanced, exchange.reply.text, exchange.reply.phase.value),
            exchange.conversation,
            exchange.mx_host,
            exchange.remote_ip,
            exchange.local_ip,
            exchange.tls,
            exchange.started,
            exchange.seconds,
            exchange.certificate,
        )
        if exchange
        else None,
    )


def _from_row(row: list[Any]) -> Settled:
    (message_id, token, task_id, attempts, logged, queue_id, was_answered, had_expires_at, recipient, *rest) = row
    (sender_domain_id, api_user_id, version_id, receiving_domain_id, receiving_domain, status, reason, *rest) = rest
    last_reply, due, expires_at, answered, counts, verdict, exchange = rest
    claimed = Claimed(
        message_id=message_id,
        token=token,
        safe_until=0.0,
        task_id=task_id,
        limit_group_id=0,
        queue_id=queue_id,
        attempts=attempts,
        logged=logged,
        answered=was_answered,
        expires_at=_moment(had_expires_at),
        api_user_id=api_user_id,
        version_id=version_id,
        sender_domain_id=sender_domain_id,
        receiving_domain_id=receiving_domain_id,
        receiving_domain=receiving_domain,
        recipient=recipient,
        sender="",
        sender_name="",
        subject="",
        to_field="",
        variables={},
    )
    if exchange is not None:
        (code, enhanced, text, phase), conversation, *further = exchange
        talk = [(phase, text) for phase, text in conversation]
        exchange = Exchange(Reply(code, enhanced, text, Phase(phase)), talk, *further)
    return Settled(
        claimed=claimed,
        status=Status(status),
        reason=reason,
        last_reply=last_reply,
        due=_moment(due),
        expires_at=_moment(expires_at),
        answered=answered,
        counts=counts,
        verdict=Verdict(*verdict) if verdict else None,
        exchange=exchange,
    )


def _moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
