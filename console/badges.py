"""A status as a person sees it: a tone, an icon and a word, in one shape on every page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

Tone = Literal["ok", "busy", "warn", "bad", "calm"]


@dataclass(frozen=True, slots=True)
class Badge:
    """`word` is the status, `detail` the lighter part after it ("Invalid · not exist"), `title` shows on hover."""

    tone: Tone
    icon: str
    word: StrPromise | str
    detail: StrPromise | str = ""
    title: StrPromise | str = ""

    def but(self, detail: StrPromise | str = "", title: StrPromise | str = "") -> Badge:
        """The same status with its own detail or title."""
        return replace(self, detail=detail or self.detail, title=title or self.title)

    def __str__(self) -> str:
        return f"{self.word} · {self.detail}" if self.detail else str(self.word)
