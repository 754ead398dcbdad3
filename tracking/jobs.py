"""What django-q2 calls, one line each (delivery/jobs.py)."""

from __future__ import annotations

from django.utils import timezone

from tracking.feedback import process


def process_feedback() -> int:
    return process.process()


def prune_feedback() -> int:
    return process.prune(now=timezone.now())
