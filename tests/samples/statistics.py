"""Statistics: pages with figures, and their files."""

from __future__ import annotations

from typing import Any

from tests.factories.statistics import weeks
from tests.samples import rows, url_of


@rows("sending-data", "tracking-data")
def figures(n: int) -> None:
    weeks(2)


@url_of("sending-data-file", "tracking-data-file")
def file() -> dict[str, Any]:
    return {"kind": "csv"}
