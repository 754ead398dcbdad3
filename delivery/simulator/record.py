"""The simulator's own record of what it accepted and refused, apart from any database.

Append-only files in the simulator's directory: `accepted.log` and `refused.log` (deferrals stand there too), one line
for each recipient, its fields separated by tabs. A line is handed to the kernel before the reply is sent, so it
outlives the process, and a 250 that a client has read is always on record. `returned.log` has a line for everything
that came back from an address afterwards, or could not be brought; `visits.log` one for each time that somebody opened
a mail or followed a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from delivery.simulator.tally import PEAKS

ACCEPTED = "accepted.log"
REFUSED = "refused.log"
RETURNED = "returned.log"
VISITS = "visits.log"
MAIL = "mail"  # directory of mails kept whole
UNSAID = " (not said: hung up after the final dot)"  # ends the reply of an acceptance that the client never heard
ROTATE_BYTES = 200 * 2**20
_FIELDS = 10
_GIVEN_FIELDS = 8
_VISIT_FIELDS = 9
_CONTROLS = dict.fromkeys((*range(32), 127, 0x85, 0x2028, 0x2029))

Outcome = Literal["accepted", "deferred", "refused"]


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one recipient of one mail."""

    time: float  # wall clock, seconds
    outcome: Outcome
    recipient: str  # as RCPT TO gave it
    sender: str  # envelope sender, "" for <>
    message_id: str  # Message-ID header with its brackets; "" where refused before the body
    size: int  # octets of the mail without dot-stuffing; 0 where refused before the body
    client: str  # IP that sent it
    queue_id: str  # names the mail in the 250, and the file of a mail that was kept
    number: str  # X-Number header, for benches and tests
    reply: str  # the reply line given

    @property
    def unsaid(self) -> bool:
        """It was accepted, but the client could not know."""
        return self.reply.endswith(UNSAID)

    def line(self) -> str:
        return "\t".join(
            (
                f"{self.time:.6f}",
                self.outcome,
                clean(self.recipient),
                clean(self.sender),
                clean(self.message_id),
                str(self.size),
                self.client,
                self.queue_id,
                clean(self.number),
                clean(self.reply),
            )
        )


@dataclass(frozen=True, slots=True)
class Given:
    """What came back from one recipient of an accepted mail."""

    time: float  # wall clock, seconds
    outcome: str  # given or failed
    kind: str  # bounce, complaint, unsubscription or reply
    shape: str  # one of letters.SHAPES
    recipient: str
    message_id: str  # of the mail, with its brackets
    to: str  # the address or URL that it went to
    reply: str  # the answer, or why it could not be brought

    def line(self) -> str:
        texts = (self.outcome, self.kind, self.shape, self.recipient, self.message_id, self.to, self.reply)
        return "\t".join([f"{self.time:.6f}", *map(clean, texts)])


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that a recipient, or a machine in its place, made for something in a mail."""

    time: float  # wall clock, seconds
    outcome: str  # given or failed
    habit: str  # one of habits.HABITS
    kind: str  # open or click
    step: str  # "2/4": the second of four
    recipient: str
    message_id: str  # of the mail, with its brackets
    url: str
    reply: str  # the status line, or why there was none

    @property
    def last(self) -> bool:
        """Nothing more comes of this recipient."""
        number, _slash, steps = self.step.partition("/")
        return number == steps

    def line(self) -> str:
        texts = (self.outcome, self.habit, self.kind, self.step, self.recipient, self.message_id, self.url, self.reply)
        return "\t".join([f"{self.time:.6f}", *map(clean, texts)])


def clean(text: str) -> str:
    """`text` without control characters and line ends of any kind: it must not end a field or a line."""
    # isprintable is the quick way out: nearly every address and reply passes.
    return text if text.isprintable() else text.translate(_CONTROLS)


class Recorder:
    """Appends to the two files; one system call for each batch of lines.

    A file over `rotate` octets is moved aside to `NAME.1` at the start, so what stays is bounded by the runs.
    """

    def __init__(self, directory: Path, rotate: int = ROTATE_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._accepted = _open(directory / ACCEPTED, rotate)
        self._refused = _open(directory / REFUSED, rotate)
        self._peaks = _open(directory / PEAKS, rotate)
        self._returned = _open(directory / RETURNED, rotate)
        self._visits = _open(directory / VISITS, rotate)

    def write(self, accepted: list[str], refused: list[str]) -> None:
        """Append lines (without their ends). Raises OSError where the disk does not take them."""
        if accepted:
            _append(self._accepted, accepted)
        if refused:
            _append(self._refused, refused)

    def write_peaks(self, lines: list[str]) -> None:
        """Append lines of the tally."""
        _append(self._peaks, lines)

    def write_returned(self, lines: list[str]) -> None:
        """Append lines of what came back."""
        _append(self._returned, lines)

    def write_visits(self, lines: list[str]) -> None:
        """Append lines of who opened and clicked."""
        _append(self._visits, lines)

    def keep(self, queue_id: str, mail: bytes) -> None:
        """Keep a mail whole as `mail/QUEUE_ID.eml`, complete or not at all."""
        folder = self.directory / MAIL
        folder.mkdir(exist_ok=True)
        fresh = folder / f"{queue_id}.part"
        fresh.write_bytes(mail)
        fresh.replace(folder / f"{queue_id}.eml")

    def close(self) -> None:
        os.close(self._accepted)
        os.close(self._refused)
        os.close(self._peaks)
        os.close(self._returned)
        os.close(self._visits)


def _open(path: Path, rotate: int) -> int:
    if path.exists() and path.stat().st_size > rotate:
        path.replace(path.with_name(path.name + ".1"))
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        # A full disk can tear the last line; the next must not grow onto it.
        os.write(descriptor, b"\n")
    return descriptor


def _append(descriptor: int, lines: list[str]) -> None:
    data = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def position(path: Path) -> int:
    """A mark in the record as it is now: pass it to `read` to get only what comes later. 0 where there is none yet."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def read(path: Path, since: int = 0) -> Iterator[Record]:
    """The records of a file, oldest first, from the mark `since` (octets) on.

    A line that is not complete yet is left for the next reading, a torn one is passed over. A file shorter than
    `since` was rotated and is read from its start; one that does not exist has no records.
    """
    for fields in _rows(path, since):
        if len(fields) != _FIELDS or fields[1] not in ("accepted", "deferred", "refused"):
            continue
        time, outcome, recipient, sender, message_id, size, client, queue_id, number, reply = fields
        yield Record(
            float(time),
            outcome,  # type: ignore[arg-type]  # checked above
            recipient,
            sender,
            message_id,
            int(size),
            client,
            queue_id,
            number,
            reply,
        )


def read_returned(path: Path, since: int = 0) -> Iterator[Given]:
    """What came back, oldest first, as `read`."""
    for fields in _rows(path, since):
        if len(fields) == _GIVEN_FIELDS and fields[1] in ("given", "failed"):
            yield Given(float(fields[0]), *fields[1:])


def read_visits(path: Path, since: int = 0) -> Iterator[Visit]:
    """Who opened and clicked, oldest first, as `read`."""
    for fields in _rows(path, since):
        if len(fields) == _VISIT_FIELDS and fields[1] in ("given", "failed"):
            yield Visit(float(fields[0]), *fields[1:])


def _rows(path: Path, since: int) -> Iterator[list[str]]:
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return
    with file:
        if os.fstat(file.fileno()).st_size >= since:
            file.seek(since)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line[:-1].decode("utf-8", "surrogateescape").split("\t")


def kept(directory: Path, record: Record) -> bytes:
    """The mail of a record as it was received, dot-stuffing removed. FileNotFoundError unless mail was kept."""
    return (directory / MAIL / f"{record.queue_id}.eml").read_bytes()
