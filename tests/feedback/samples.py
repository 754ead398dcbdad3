"""Mails that came back, written down by hand in the forms that mail servers have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SHAPES = Path(__file__).parent / "shapes"


@dataclass(frozen=True)
class Sample:
    """A mail and what it says: `=== name | type | kind | reason | recipients`, "-" for nothing."""

    name: str
    type: str
    kind: str
    reason: str
    recipients: list[str]
    raw: bytes


def _sample(family: str, block: str) -> Sample:
    head, _, raw = block.partition("\n")
    name, type, kind, reason, recipients = (field.strip().strip("-") for field in head.split("|"))
    return Sample(f"{family}: {name}", type, kind, reason, recipients.split(), raw.encode())


SAMPLES = [
    _sample(file.stem, block)
    for file in sorted(SHAPES.glob("*.txt"))
    for block in re.split(r"^=== ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
]
BY_NAME = {sample.name: sample for sample in SAMPLES}


def parts(*bodies: str, type: str = "multipart/mixed", head: str = "") -> bytes:
    """A notice of these parts, each with its headers."""
    top = f"From: MAILER-DAEMON@out.lark.example\nSubject: failure notice\n{head}Content-Type: {type}; boundary=b\n\n"
    return (top + "".join(f"--b\n{body}\n" for body in bodies) + "--b--\n").encode()
