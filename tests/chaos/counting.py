"""What became of mail: our rows held against the simulator's own record."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
from django.utils import timezone

from delivery.models import Message, Task
from delivery.models.status import FINAL
from delivery.simulator import record, tally
from tracking.statistics import recount

_BEGUN = time.monotonic()


def say(text: str) -> None:
    sys.stderr.write(f"{time.monotonic() - _BEGUN:6.1f} s  {text}\n")
    sys.stderr.flush()


def figures(task: Task, wanted: int, accepted: Path) -> dict[str, int]:
    """Of a task to `wanted` people who all take mail: rows requested and final, people whom nothing reached (by our
    rows or by the record), and mails that came once too often; and how far the statistics are off."""
    rows = dict(Message.objects.filter(task=task).values_list("recipient", "status"))
    mails = Counter(one.recipient for one in record.read(accepted) if one.recipient in rows)
    delivered = {recipient for recipient, status in rows.items() if status == "delivered"}
    return {
        "requested": len(rows),
        "final": sum(status in FINAL for status in rows.values()),
        "missing": len(delivered - mails.keys()) + wanted - len(delivered),
        "doubled": sum(count - 1 for count in mails.values()),
        "miscounted": miscounted(),
    }


def miscounted() -> int:
    """Sums of the statistics that are not what the rows say."""
    now = timezone.now()
    return sum(len(hour.differences) for hour in recount.recount(now - dt.timedelta(days=1), now))


def open_connections(processes: Iterable[psutil.Process], port: int) -> int:
    """Connections that these processes have open to mail servers just now."""
    count = 0
    for process in processes:
        try:
            count += sum(bool(each.raddr) and each.raddr.port == port for each in process.net_connections("tcp4"))
        except psutil.Error:
            continue
    return count


def peaks(log: Path, group: str) -> dict[str, tuple[int, int]]:
    """Client IP → the most connections that it had open to this group, and the most mails that it began in a second."""
    found: dict[str, tuple[int, int]] = {}
    for second in tally.read(log):
        if second.group == group:
            connections, messages = found.get(second.client, (0, 0))
            found[second.client] = max(connections, second.connections), max(messages, second.messages)
    return found


def by_client(log: Path, domain: str) -> dict[str, int]:
    """Client IP → mails to this domain in this record."""
    return dict(Counter(one.client for one in record.read(log) if one.recipient.endswith(f"@{domain}")))


def sound(line: dict[str, Any]) -> bool:
    """Whether everybody was served, and counted."""
    return bool(line["missing"] == line["miscounted"] == 0 and line["final"] == line["requested"] > 0)
