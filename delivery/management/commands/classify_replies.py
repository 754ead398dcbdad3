"""`manage.py classify_replies`: what servers' replies mean, JSON lines in and out. Needs no database."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from django.core.management.base import BaseCommand

from delivery.engine.classify import classify_text, parse
from delivery.engine.types import Phase

LINE_MAX: Final = 2**20  # bytes
CHUNK: Final = 2**16
_PHASES: Final = {phase.value: phase for phase in Phase} | {
    "banner": Phase.GREETING,
    "helo": Phase.EHLO,
    "starttls": Phase.TLS,
    "mail from": Phase.MAIL,
    "rcpt to": Phase.RCPT,
    "final dot": Phase.DOT,
    "end of data": Phase.DOT,
    "eod": Phase.DOT,
}
_APART: Final = re.compile(r"[\s_-]+")


def answer(line: bytes) -> str:
    """One line of JSON for one line of JSON; what it cannot read it says, and never raises."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        return _error(f"not a line of JSON: {error}")
    if not isinstance(asked, dict):
        return _error("not an object")
    text, given = asked.get("text"), asked.get("phase")
    phase = _PHASES.get(" ".join(_APART.split(given.lower()))) if isinstance(given, str) else None
    if not isinstance(text, str):
        return _error("text: a string is needed")
    if phase is None and given is not None:
        return _error(f"phase: one of {', '.join(Phase)}")
    if 200 <= parse(text)[0] < 400:
        return _error("text: not a refusal")
    found = classify_text(text, phase)
    kind = "permanent" if found.outcome == "refused" else "temporary"
    return json.dumps({"kind": kind, "reason": found.reason, "scope": found.scope, "rule": found.rule})


def _error(what: str) -> str:
    return json.dumps({"error": what})


def lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """The lines that have come so far, again and again, so that each is answered before the next is waited for.

    A line that is too long is cut, and so is no JSON any more.
    """
    rest = b""
    skipping = False
    while chunk := os.read(file.fileno(), CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        if skipping and whole:
            del whole[0]
            skipping = False
        if len(rest) > LINE_MAX:
            whole += [] if skipping else [rest[:80]]
            rest, skipping = b"", True
        yield [line for line in whole if line.strip()]
    if rest.strip() and not skipping:
        yield [rest]


class Command(BaseCommand):
    help = 'Read {"text": …, "phase"?: …} per line; write {"kind", "reason", "scope", "rule"} per line.'
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            for batch in lines(sys.stdin.buffer):
                if batch:
                    sys.stdout.write("".join([answer(line) + "\n" for line in batch]))
                    sys.stdout.flush()
        except BrokenPipeError:
            # Nobody reads any more; keep the interpreter from trying again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
