"""What is wrong with a template, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to mend. Lines and columns count from 1, in characters of the source as given.

    `code` is stable (pages translate by it), `text` is English and says what to do. A `warning` does not keep
    the template from being saved.
    """

    line: int
    column: int
    code: str
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"Line {self.line}, column {self.column}: {self.text}"


class TemplateError(ValueError):
    """A template that can't be used; `problems` says why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def one(cls, code: str, text: str) -> TemplateError:
        """An error that has no place of its own."""
        return cls([Problem(1, 1, code, text)])


def position(source: str, offset: int) -> tuple[int, int]:
    """(line, column) of a character offset, both from 1. Lines end with LF, CRLF or CR."""
    before = source[:offset].replace("\r\n", "\n").replace("\r", "\n")
    line = before.count("\n") + 1
    return line, len(before) - (before.rfind("\n") + 1) + 1


def shown(text: str, limit: int = 40) -> str:
    """A piece of the source for a message: one line, never long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
