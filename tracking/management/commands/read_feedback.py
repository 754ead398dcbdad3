"""`manage.py read_feedback FILE…`: what mails that came back say, one line of JSON each. Needs no database."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tracking.feedback.read import read
from tracking.feedback.reading.mime import SIZE_MAX
from tracking.feedback.types import Feedback, Returned


class Command(BaseCommand):
    help = 'Print {"file", "type", "recipients", "kind", "reason", "status", "diagnostic"} for each mail.'
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")

    def handle(self, *args: Any, files: list[str], **options: Any) -> None:
        unread = 0
        for name in files:
            try:
                with Path(name).open("rb") as file:
                    raw = file.read(SIZE_MAX)
            except OSError as error:
                unread += 1
                self.stdout.write(json.dumps({"file": name, "error": error.strerror or str(error)}))
                continue
            self.stdout.write(json.dumps({"file": name, **described(read(raw))}))
        if unread:
            raise CommandError(f"{unread} of {len(files)} files could not be read")


def described(found: Feedback) -> dict[str, Any]:
    """The mail in a line: of several recipients those who give it its type, and why the first did not get it."""
    told = [one for one in found.recipients if _counts(found, one)]
    first = told[0] if told else Returned("")
    return {
        "type": found.type,
        "recipients": [one.recipient for one in told if one.recipient],
        "kind": first.kind,
        "reason": first.reason,
        "status": first.status,
        "diagnostic": first.diagnostic,
    }


def _counts(found: Feedback, one: Returned) -> bool:
    wanted = {"bounce": ("failed",), "delay": ("delayed",)}.get(found.type)
    return wanted is None or one.action in wanted
