"""Looking at a domain's records, and publishing others."""

from __future__ import annotations

import datetime as dt

from delivery.models import SenderDomain
from delivery.simulator.server import Simulator
from delivery.simulator.zone import Record

NOW = dt.datetime(2026, 11, 21, 9, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


def states(domain: SenderDomain) -> dict[str, str]:
    return {record.purpose: record.state for record in domain.records.all()}


def publish(outside: Simulator, name: str, type: str, *values: str) -> None:
    outside.published.withdraw(name, type)
    outside.published.publish(Record(name, type, value) for value in values)
