"""What became of mail, taken off the engine's hands: into the journal at once, into the database in batches."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import DataError, IntegrityError, connection
from django.db import Error as DatabaseError
from django.utils import timezone

from delivery.engine import claim, journal, shares
from delivery.engine.settle import Settled, settle
from delivery.engine.tally import Tally

log = structlog.get_logger()
T = TypeVar("T")

# A batch is so many, or what has come in so long: what it costs is the transaction's more than the mails'.
SETTLE_AT_ONCE = 500
SETTLE_SECONDS = 0.25
# Counts are written when their bucket of 5 seconds is over, this much later at most.
COUNT_SECONDS = 1.0
ORPHAN_SECONDS = 3.0
# Until the database is asked again that was away.
RETRY_SECONDS = 1.0


@dataclass
class Report:
    """What a run did."""

    settled: int = 0
    lost: int = 0
    seconds: float = 0.0
    by_status: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Settler:
    """Of one engine: a queue, a journal, and one thread with a database connection. `done` is told which messages
    are out of hand; `in_hand` says how many are in it."""

    def __init__(self, worker: int, done: Callable[[Sequence[Settled]], None], in_hand: Callable[[], int]) -> None:
        self.worker = worker
        self.done = done
        self.in_hand = in_hand
        self.pool = ThreadPoolExecutor(1, "settle")
        self._results: list[Settled] = []
        self._some, self._many, self._none_left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._unsettled = 0
        self._closing = False
        # What a server said could not be written down.
        self._deaf = False
        self.report = Report()
        self.tally = Tally(worker)

    async def open(self) -> None:
        await self.call(lambda: replay(self.tally))
        self.journal = journal.Journal(settings.JOURNAL_DIR, self.worker)
        self._task = asyncio.create_task(self._work())
        self._counting = asyncio.create_task(self._count())
        self._looking = asyncio.create_task(self._look_for_orphans())

    async def call(self, function: Callable[[], T]) -> T:
        """Run something else that is short in the settling thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function)

    def put(self, settled: Settled) -> None:
        if settled.exchange is not None:
            try:
                self.journal.append(settled)
            except OSError as error:
                # A full disk takes the insurance of what is in hand away, and nothing more is taken in hand.
                log.error("journal_failed", error=str(error))
                self._deaf = True
        self._results.append(settled)
        self._unsettled += 1
        self._none_left.clear()
        self._some.set()
        # Where nothing else is in hand, nothing else will come to join it.
        if len(self._results) >= SETTLE_AT_ONCE or self._unsettled >= self.in_hand():
            self._many.set()

    def claimed(self, token: int) -> None:
        """Tell the journal what will be in hand, before it is: a kill in between must not leave it unknown. From any
        thread. Raises OSError when the journal can't be written: then nothing must be taken."""
        if self._deaf:
            self.journal.need_room()
            self._deaf = False
        self.journal.claimed(token)

    async def close(self, *, seconds: float) -> None:
        """Settle what is there, for so long."""
        self._closing = True
        self._many.set()
        try:
            async with asyncio.timeout(max(0.1, seconds)):
                while self._unsettled:
                    await self._none_left.wait()
        except TimeoutError:
            log.error("unsettled_at_end", messages=self._unsettled)
        self._task.cancel()
        self._looking.cancel()
        self._counting.cancel()
        await self._write_counts(everything=True)
        await self.call(hang_up)
        self.pool.shutdown()
        self.journal.close()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            await self._write_counts()

    async def _write_counts(self, *, everything: bool = False) -> None:
        """The queue page's figures: mail does not wait for them, nor fail with them."""
        try:
            await self.call(lambda: self.tally.write(now=timezone.now(), everything=everything))
        except DatabaseError as error:
            log.warning("counts_not_written", error=str(error).strip())
            await self.call(hang_up)

    async def _look_for_orphans(self) -> None:
        """An engine that was killed beside this one need not wait for a new one to be missed."""
        while True:
            await asyncio.sleep(ORPHAN_SECONDS)
            try:
                await self.call(lambda: replay(self.tally))
            except (DatabaseError, OSError) as error:
                log.warning("replay_failed", error=str(error).strip())
                await self.call(hang_up)

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            try:
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self._many.wait()
            except TimeoutError:
                pass
            batch = self._results[:SETTLE_AT_ONCE]
            del self._results[:SETTLE_AT_ONCE]
            if not self._results:
                self._some.clear()
            if len(self._results) < SETTLE_AT_ONCE and not self._closing:
                self._many.clear()
            await self._settle(batch)
            self._unsettled -= len(batch)
            if not self._unsettled:
                self._none_left.set()
            self.done(batch)

    async def _settle(self, batch: list[Settled]) -> None:
        try:
            await self._settle_patiently(batch)
        except Exception:
            log.exception("unfit_to_settle", messages=[one.claimed.message_id for one in batch][:20])
            if len(batch) == 1:
                self.report.lost += 1
                self.journal.done(batch)
                return
            # One that the database can't take must not keep the others from being written.
            for one in batch:
                await self._settle([one])

    async def _settle_patiently(self, batch: list[Settled]) -> None:
        """Write the batch, again and again while the database is away: nobody here takes over what stands in a journal
        (waking.py), and what others did is still theirs."""
        while True:
            try:
                kept = await self.call(lambda: settle(batch, now=timezone.now(), tally=self.tally))
            except (DataError, IntegrityError):
                raise
            except DatabaseError as error:
                log.warning("settle_failed", error=str(error).strip(), messages=len(batch))
                await self.call(hang_up)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                break
        self.journal.done(batch)
        self.report.settled += kept
        self.report.lost += len(batch) - kept
        for one in batch:
            self.report.by_status[one.status] += 1


def replay(tally: Tally) -> None:
    """Settle what engines that were killed or frozen on this machine had been told and could not write down."""
    for path, entries in journal.orphans(settings.JOURNAL_DIR):
        kept = _settled(entries, tally)
        path.unlink(missing_ok=True)
        if entries:
            log.warning("journal_replayed", page=path.name, entries=len(entries), settled=kept)
    for entries in journal.unheard(settings.JOURNAL_DIR, shares.alive()):
        log.warning("journal_of_a_silent_worker", entries=len(entries), settled=_settled(entries, tally))
    for path, tokens in journal.abandoned_claims(settings.JOURNAL_DIR):
        freed = claim.give_back(tokens)
        path.unlink(missing_ok=True)
        if freed:
            log.warning("claims_given_back", engine=path.stem, messages=freed)


def _settled(entries: list[Settled], tally: Tally) -> int:
    try:
        return settle(entries, now=timezone.now(), tally=tally)
    except (DataError, IntegrityError):
        return sum(_settled_alone(one, tally) for one in entries)


def _settled_alone(one: Settled, tally: Tally) -> int:
    """One that the database can't take must not stop every engine that finds it."""
    try:
        return settle([one], now=timezone.now(), tally=tally)
    except (DataError, IntegrityError):
        log.exception("unfit_to_settle", messages=[one.claimed.message_id])
        return 0


def hang_up() -> None:
    """Close the database connection of the thread that this runs in."""
    # Looked up here, in the thread whose connection it is.
    connection.close()
