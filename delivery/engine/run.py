"""The engine: the stages joined. claim → route → compose → dkim → smtp → classify → settle.

One engine is one process and one event loop, and there is one for each core. Two threads talk to the database (one
claims, one settles); the loop composes, signs and speaks SMTP: handing mails to threads and back costs more than it
gains where every core has an engine. Nothing waits on the network inside a transaction.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from console import heartbeat, stopping
from delivery.engine import claim, hop, retry, route, second_look, sessions, shares, sites, waking
from delivery.engine.claim import Claimed
from delivery.engine.classify import about_us, classify
from delivery.engine.lane import Lane, Load, Ready, outside, unreachable
from delivery.engine.permits import FRESH_SECONDS, Permits
from delivery.engine.settle import Settled, decide
from delivery.engine.settler import Report, Settler, hang_up
from delivery.engine.store import NotReady, Store
from delivery.engine.types import Exchange, Hop, Phase, Verdict
from delivery.engine.ways import Ways
from delivery.models import Status

log = structlog.get_logger()
T = TypeVar("T")

# Bounds: messages between claim and settle, and bytes of those that are composed.
IN_FLIGHT = 1200
BYTES_IN_FLIGHT = 48 * 2**20
CLAIM_AT_ONCE = 400
# Mails that go from one sending IP before it is the next one's turn: fewer, and each would call for a few only.
BUNDLE = 20
# An engine without work ends itself; the supervisor starts another when mail is due.
IDLE_SECONDS = 5.0
POLL_SECONDS = 0.25
BEAT_SECONDS = shares.WORKER_LEASE_SECONDS / 5
WAKE_SECONDS = 0.5
# An end in order: lookups, then what is on the wire, then settling; the last two have their share of the whole.
LANE_SECONDS = 0.1
LANES_KEPT = 1000
NOT_READ = Verdict("deferred", "server_error", "message", "not_read")
STOP_SECONDS = stopping.ENGINE_SECONDS
# Before that, at an end that nobody asked for: a server may think about the final dot for minutes.
ENDING_SECONDS = 60.0
LOOKUP_SECONDS = 3.0
SETTLING_SECONDS = 3.0


@sessions.bounded()
def deliver(*, seconds: float, stop_file: Path | None = None, idle_seconds: float = IDLE_SECONDS) -> Report:
    """Work for `seconds`, until nothing was due for `idle_seconds`, or `stop_file` is there. Any number at once."""
    return asyncio.run(Engine(stop_file=stop_file, idle_seconds=idle_seconds).run(seconds))


class Engine:
    def __init__(self, *, stop_file: Path | None = None, idle_seconds: float = IDLE_SECONDS) -> None:
        self.worker = claim.new_token()
        self.name = f"{heartbeat.supervisor()}/{os.getpid()}"
        self.stop_file = stop_file
        self.idle_seconds = idle_seconds
        self.claiming = ThreadPoolExecutor(1, "claim")
        self.lanes: dict[tuple[str, Hop, str], Lane] = {}
        self.permits = Permits(self.worker)
        # Mails in hand by limit group.
        self.in_hand: Counter[int] = Counter()
        self.pausing: set[asyncio.Task[None]] = set()
        self.settler = Settler(self.worker, self._settled, lambda: self.in_flight)
        self.in_flight = 0
        self.load = Load(BYTES_IN_FLIGHT)
        self.stopping = False
        self.workers = 1
        self.room = asyncio.Event()
        self.outside = outside()

    async def run(self, seconds: float) -> Report:
        started = time.monotonic()
        await self.settler.open()
        await self._in(self.claiming, shares.reap)
        self.store = await self._in(self.claiming, Store)
        self.ways = Ways(route.make_resolver(settings.DNS_SERVERS, settings.DNS_TIMEOUT), self.settler.call)
        watcher = asyncio.create_task(self._watch_lanes())
        dispatches: set[asyncio.Task[None]] = set()
        try:
            await self._feed(started + seconds, dispatches)
        finally:
            watcher.cancel()
            await self._wind_up(dispatches)
        report = self.settler.report
        report.seconds = time.monotonic() - started
        log.info("engine_ended", settled=report.settled, seconds=round(report.seconds, 1))
        return report

    # --- claim

    async def _feed(self, deadline: float, dispatches: set[asyncio.Task[None]]) -> None:
        idle_since = time.monotonic()
        while time.monotonic() < deadline and not self._told_to_stop():
            room = min(CLAIM_AT_ONCE, IN_FLIGHT - self.in_flight)
            if room < CLAIM_AT_ONCE // 3:
                self.room.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.room.wait(), POLL_SECONDS)
                if time.monotonic() < self._look_at:
                    continue
                room = 0  # servers that keep us waiting must not make us look dead, nor blind to a pause
            try:
                batch = await self._in(self.claiming, self._take, room)
            except Exception as error:
                known = isinstance(error, DatabaseError | OSError)
                log.warning("claim_failed", error=str(error).strip(), exc_info=not known)
                await self._in(self.claiming, hang_up)
                await asyncio.sleep(1)
                self._wake_at = time.monotonic() + waking.OUTAGE_SECONDS
                continue
            if batch:
                self.in_flight += len(batch)
                self.in_hand.update(one.limit_group_id for one in batch)
                for domain_id, bundle in self._by_way(batch):
                    task = asyncio.create_task(self._dispatch(domain_id, bundle))
                    dispatches.add(task)
                    task.add_done_callback(dispatches.discard)
            if batch or self.in_flight or self._standing_by:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > self.idle_seconds:
                return
            if len(batch) < room // 2:
                await asyncio.sleep(POLL_SECONDS if not batch else POLL_SECONDS / 5)

    _beat_at = _wake_at = _look_at = _again_at = 0.0
    # The last limit group of a pass that did not reach the end.
    _looked_at = 0
    # There is mail that others have all the shares of: another engine would find the same.
    _standing_by = False
    # Of a claim whose rows have not been handed on.
    _token = 0

    def _take(self, room: int) -> list[Claimed]:
        """In the claiming thread: one pass of claims, with what composing them needs. No room: signs of life."""
        now = time.monotonic()
        if now >= self._beat_at:
            self._beat()
        if now >= self._wake_at:
            waking.wake(timezone.now())
            self._wake_at = now + WAKE_SECONDS
        if self._token:
            claim.give_back([self._token])
            self._token = 0
        self._look_at = now + FRESH_SECONDS
        self.store.refresh()
        if now >= self._again_at:
            in_hand = [one for lane in list(self.lanes.values()) for one in lane.in_hand()]
            second_look.look_again(in_hand, self.store, now=timezone.now())
            self._again_at = now + FRESH_SECONDS
        if not room:
            self.permits.refresh(list(self.in_hand), workers=self.workers)
            return []
        waiting = claim.groups_with_mail(self._looked_at)
        self._looked_at = waiting[-1] if len(waiting) == claim.GROUPS_PER_PASS else 0
        # What is on its way keeps its permits, too. (A list first: the loop adds to it meanwhile.)
        busy = [group for group in list(self.in_hand) if group not in waiting]
        free = set(self.permits.refresh(waiting + busy, workers=self.workers)) & set(waiting)
        self._standing_by = self.permits.stand_by(waiting)
        wanted = {group: n for group in free if (n := self.permits.room(group) - self.in_hand[group]) > 0}
        if not wanted:
            return []
        # Some have less than their part; yet each row that is looked at and not taken costs as much as one that is.
        each = max(4, 2 * room // len(wanted))
        self._token = claim.new_token()
        self.settler.claimed(self._token)
        batch = claim.claim(
            {group: min(each, number) for group, number in wanted.items()}, limit=room, token=self._token
        )
        self.store.load(batch)
        batch, aside = second_look.look(batch, self.store, now=timezone.now())
        for settled in aside:
            self._set_aside(settled)
        self._token = 0
        return batch

    def _beat(self) -> None:
        """In the claiming thread: signs of life, for this engine and for what it has on the wire."""
        # Those that will be asked for beside this one have their parts from the start.
        self.workers = max(shares.beat(self.worker, self.name), settings.DELIVER_WORKERS)
        heartbeat.beat("deliver")
        soon = time.monotonic() + 2 * BEAT_SECONDS
        on_the_wire = [one for lane in list(self.lanes.values()) for one in list(lane.on_the_wire.values())]
        claim.extend([one for one in on_the_wire if one.safe_until < soon])
        self.permits.forget(but_for=list(self.in_hand))
        self._beat_at = time.monotonic() + BEAT_SECONDS

    def _set_aside(self, settled: Settled) -> None:
        self._loop.call_soon_threadsafe(self._count_and_settle, settled)

    def _count_and_settle(self, settled: Settled) -> None:
        self.in_flight += 1
        self.in_hand[settled.claimed.limit_group_id] += 1
        self.settler.put(settled)

    # --- route, compose, sign

    async def _dispatch(self, domain_id: int, bundle: list[Claimed]) -> None:
        """Take mail for one domain to the lane of its site; whatever happens, none of it is forgotten."""
        rest = deque(bundle)
        try:
            await self._hand_on(domain_id, rest)
        except Exception as error:
            log.warning("dispatch_failed", error=str(error).strip(), exc_info=not isinstance(error, DatabaseError))
            await asyncio.sleep(1)
        finally:
            while rest:
                self._give_back(rest.popleft())

    def _by_way(self, batch: Sequence[Claimed]) -> Iterator[tuple[int, list[Claimed]]]:
        """Bundles of mail for one receiving domain that goes the same way."""
        bundles: dict[tuple[int, Hop | None], list[Claimed]] = defaultdict(list)
        for one in batch:
            bundles[one.receiving_domain_id, self.store.relay(one)].append(one)
        for (domain_id, _relay), bundle in bundles.items():
            yield domain_id, bundle

    async def _hand_on(self, domain_id: int, rest: deque[Claimed]) -> None:
        try:
            way, how = await self.ways.to(domain_id, rest[0].receiving_domain, self.store.relay(rest[0]))
        except route.Unroutable as problem:
            exchange = unreachable(problem.reply.text, Phase.DNS)
            exchange.reply = problem.reply
            verdict = Verdict("refused" if problem.permanent else "deferred", problem.reason, "recipient", "dns")
            while rest:
                self._decided(rest.popleft(), exchange, verdict, hop.ANY)
            return
        for one in rest:
            # A domain just resolved: from now on its mail counts for its real group.
            self._out_of_hand(one)
            self.in_hand[way.limit_group_id] += 1
            one.limit_group_id = way.limit_group_id
        if not any((way.limit_group_id, ip) in self.permits.known for ip in self.permits.ips):
            await self._in(self.claiming, lambda: self.permits.refresh([way.limit_group_id], workers=self.workers))
        while rest and not self.stopping and (sending_ip := self.permits.choose(way.limit_group_id)) is not None:
            lane = self._lane(way, how, sending_ip)
            for _one in range(min(BUNDLE, len(rest))):
                lane.put(rest.popleft())

    def _lane(self, way: sites.Route, how: Hop, sending_ip: str) -> Lane:
        permit = self.permits.known[way.limit_group_id, sending_ip]
        lane = self.lanes.get((way.site.key, how, sending_ip))
        if lane is None or lane.permit is not permit:
            answered = partial(self._answered, how)
            lane = Lane(way.site, permit, self.outside, sending_ip, self._make, answered, self.load, how)
            self.lanes[way.site.key, how, sending_ip] = lane
        lane.site = way.site
        return lane

    async def _watch_lanes(self) -> None:
        """Connections that closed make room for other lanes of the group; a pause or a lost lease empties lanes."""
        while True:
            await asyncio.sleep(LANE_SECONDS)
            now = time.monotonic()
            for key, lane in list(self.lanes.items()):
                if lane.queue and not lane.permit.valid(now):
                    lane.give_back()
                elif lane.queue:
                    # Claimed before its group was known, or our part has become smaller: others may be free for it.
                    lane.give_back(all_but=2 * lane.permit.limits.room)
                    lane.open_more()
                elif not lane.running and len(self.lanes) > LANES_KEPT:
                    del self.lanes[key]

    def _make(self, one: Claimed) -> Ready | None:
        ready = self.store.ready(one) if one.may_begin(time.monotonic()) else NotReady.LATER
        if isinstance(ready, Ready):
            return ready
        if ready is NotReady.LATER:
            self._give_back(one)
        else:
            self._cannot_compose(one)
        return None

    # --- classify, settle

    def _answered(self, how: Hop, one: Claimed, exchange: Exchange | None) -> None:
        if exchange is None:
            self._give_back(one)
            return
        reply = exchange.reply
        try:
            verdict = classify(reply.code, reply.enhanced, reply.text, reply.phase)
            self._decided(one, exchange, hop.judge(verdict, exchange, how), how)
        except Exception:
            # Whatever is wrong with our reading: mail that was taken must not be sent again for it.
            log.exception("answer_not_read", message=one.message_id, reply=reply.text)
            taken = 200 <= reply.code < 300 and reply.phase is Phase.DOT
            plain = Verdict("delivered", "", "message", "taken") if taken else NOT_READ
            hours, now, relayed = self.store.account.retry_hours, timezone.now(), bool(how.relay)
            self.settler.put(decide(one, exchange, plain, now=now, retry_hours=hours, simulator=False, relayed=relayed))

    def _decided(self, one: Claimed, exchange: Exchange, verdict: Verdict, how: Hop) -> None:
        simulator = retry.is_simulated(one.receiving_domain)
        hours = self.store.account.retry_hours
        # The simulator's addresses speak of themselves alone; what is said of our domain no other IP can mend.
        own = one.receiving_domain == settings.SIMULATOR_DOMAIN
        enough = (exchange.reply.code > 0 or bool(how.relay)) and about_us(verdict) and not own
        if enough:
            self._too_much(one, exchange, verdict)
        settled = decide(
            one,
            exchange,
            verdict,
            now=timezone.now(),
            retry_hours=hours,
            simulator=simulator,
            about_us=enough,
            relayed=bool(how.relay),
            retry_minutes=self.permits.limits(one.limit_group_id).retry_minutes,
        )
        self.settler.put(settled)

    def _too_much(self, one: Claimed, exchange: Exchange, verdict: Verdict) -> None:
        """The server had enough of us: pause its group from this sending IP, and go on slower afterwards."""
        if write := self.permits.too_much(one, exchange, verdict):
            task = asyncio.create_task(self.settler.call(write))
            self.pausing.add(task)
            task.add_done_callback(self.pausing.discard)

    def _give_back(self, one: Claimed) -> None:
        self.settler.put(Settled(one, Status.SENDING))

    def _cannot_compose(self, one: Claimed) -> None:
        text = "This mail could not be composed: its template is gone or broken."
        self.settler.put(Settled(one, Status.INVALID, reason="other", last_reply=text))

    def _settled(self, batch: Sequence[Settled]) -> None:
        self.in_flight -= len(batch)
        for one in batch:
            self._out_of_hand(one.claimed)
        self.room.set()

    def _out_of_hand(self, one: Claimed) -> None:
        self.in_hand[one.limit_group_id] -= 1
        if not self.in_hand[one.limit_group_id]:
            del self.in_hand[one.limit_group_id]

    # --- ending

    def _told_to_stop(self) -> bool:
        return self.stop_file is not None and self.stop_file.exists()

    async def _let_end(self) -> None:
        """Nothing new begins. Servers that take their time are waited for, unless we are told to stop."""
        for lane in self.lanes.values():
            lane.shut()
        give_up = time.monotonic() + ENDING_SECONDS
        while time.monotonic() < give_up and not self._told_to_stop():
            if not any(lane.on_the_wire for lane in self.lanes.values()):
                return
            if time.monotonic() >= self._beat_at:
                try:
                    await self._in(self.claiming, self._beat)
                except DatabaseError:
                    await self._in(self.claiming, hang_up)
            await asyncio.sleep(LANE_SECONDS)

    async def _wind_up(self, dispatches: set[asyncio.Task[None]]) -> None:
        """Let what is on the wire end, give back the rest, settle all; within STOP_SECONDS when we are told to stop."""
        self.stopping = True
        await self._let_end()
        until = time.monotonic() + STOP_SECONDS
        if dispatches:
            _ended, late = await asyncio.wait(dispatches, timeout=LOOKUP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        patience = until - time.monotonic() - SETTLING_SECONDS
        await asyncio.gather(*(lane.close(seconds=patience) for lane in self.lanes.values()))
        self.ways.cancel()
        await self.settler.close(seconds=until - time.monotonic())
        try:
            await self._in(self.claiming, shares.leave, [self.worker])
        except DatabaseError:
            pass  # the leases run out by themselves
        await self._in(self.claiming, hang_up)
        self.claiming.shutdown()

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
        self._loop = asyncio.get_running_loop()
        return await self._loop.run_in_executor(pool, call, *arguments)
