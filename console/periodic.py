"""Periodic jobs: each package adds its own when it is loaded; `manage.py schedules` tells django-q2."""

from __future__ import annotations

# Name → (function, every so many minutes).
jobs: dict[str, tuple[str, int]] = {}


def add(**wanted: tuple[str, int]) -> None:
    """`periodic.add(tidy=("delivery.jobs.tidy", 1))`; an underscore in a name becomes a dash."""
    for name, job in wanted.items():
        jobs[name.replace("_", "-")] = job
