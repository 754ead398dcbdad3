"""What an engine counts of its own mail for the pages of queues and sending IPs. Lives in the settling thread."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

from delivery.models import Status
from delivery.models.status import FAILED, FINAL, TAKEN
from delivery.services import flow, preflight, quota

if TYPE_CHECKING:
    from delivery.engine.settle import Settled


class Tally:
    """Counts by bucket, queue and sender domain, written when their bucket is over."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self._counts: dict[tuple[dt.datetime, int, int], flow.Count] = {}
        # Sending IP → attempts and mails taken.
        self._ips: dict[str, tuple[int, int]] = {}

    def add(self, settled: Iterable[Settled], *, now: dt.datetime) -> None:
        """Count what became of these; they are settled already."""
        at = flow.bucket(now)
        for one in settled:
            tried, final = one.exchange is not None, one.status in FINAL
            if not tried and not final:
                continue  # given back, or held: it is where it was
            key = (at, one.claimed.queue_id, one.claimed.sender_domain_id)
            count = self._counts.get(key)
            if count is None:
                count = self._counts[key] = flow.Count(*key)
            if one.exchange is not None:
                count.tried += 1
                if ip := one.exchange.remote_ip and one.exchange.local_ip:
                    before, taken = self._ips.get(ip, (0, 0))
                    self._ips[ip] = before + 1, taken + (one.status in TAKEN)
                count.reply = one.last_reply[:200].replace("\x00", "") or count.reply
            if final:
                count.left += 1
                count.sent += tried
                count.delivered += one.status == Status.DELIVERED
                count.bounced += tried and one.status in FAILED
                count.rejected += not tried

    def write(self, *, now: dt.datetime, everything: bool = False) -> None:
        """Write the buckets that are over, or everything. What can't be written is kept for the next time."""
        over = [key for key in self._counts if everything or key[0] < flow.bucket(now)]
        flow.write([self._counts[key] for key in over], worker=self.worker)
        for key in over:
            del self._counts[key]
        if self._ips and (over or everything):
            preflight.count(self._ips, day=quota.local_day(now))
            self._ips = {}
