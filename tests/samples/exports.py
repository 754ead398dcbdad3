"""Exports in every state."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from exports.models import UNDER_WAY, Export, State
from tests.samples import rows, url_of


def export(**changed: Any) -> Export:
    now = timezone.now()
    fields: dict[str, Any] = {
        "page": "messages",
        "filters": "Requested: 15–21 Nov, 7 days; Status: Invalid",
        "format": "csv",
        "expected": 30_000,
        "rows": 12_500,
        "requested_at": now,
        **changed,
    }
    return Export.objects.create(**fields)


@rows("exports")
def exports_listed(n: int) -> None:
    now = timezone.now()
    for number in range(n):
        state = list(State)[number % len(State)]
        extra: dict[str, Any] = {} if state == State.WAITING else {"started_at": now - dt.timedelta(minutes=2)}
        if state not in UNDER_WAY:
            extra["ended_at"] = now
        if state in (State.DONE, State.EXPIRED):
            extra["expires_at"] = now + dt.timedelta(days=7 if state == State.DONE else 0)
        if state == State.FAILED:
            extra["problem"] = "There is no room left on the disk. Make room, then run it again."
        if state == State.DONE:
            extra |= {"size": 3_200_000, "rows": 30_000, "file": "x.csv"}
        export(state=state, **extra)


@url_of("export-new")
def list_to_export() -> dict[str, Any]:
    return {"name": "messages"}


@url_of("export-file", "export-cancel")
def export_waiting() -> dict[str, Any]:
    return {"pk": export().pk}


@url_of("export-again")
def export_failed() -> dict[str, Any]:
    return {"pk": export(state="failed").pk}
