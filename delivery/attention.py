"""What the overview calls for attention: one thing each, since when, how much, and where to go."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from console.badges import Tone
from console.registry import pages


@dataclass(frozen=True, slots=True)
class Attention:
    tone: Tone
    title: str
    text: str
    link: str = ""
    label: str = ""

    @property
    def icon(self) -> str:
        return "alert-circle" if self.tone == "bad" else "alert-triangle"


@dataclass(frozen=True, slots=True)
class Look:
    """One look of one person."""

    request: HttpRequest
    now: dt.datetime

    def link(self, name: str, *args: Any) -> str:
        """The URL of a page; "" where there is none, or the person may not open it."""
        page = pages().get(name)
        return reverse(name, args=args) if page is not None and page.allows(self.request.user) else ""


# What packages above this one have to say; each is asked at every look, and costs the same however much there is.
sources: list[Callable[[Look], Iterable[Attention]]] = []
