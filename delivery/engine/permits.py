"""The permits of one engine: shares, limits and pauses of the groups that it has to do with, kept fresh."""

from __future__ import annotations

import datetime as dt
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from delivery.engine import retry, shape, shares
from delivery.engine.claim import Claimed
from delivery.engine.hop import RELAY_RULE
from delivery.engine.shape import Limits, Permit
from delivery.engine.types import Exchange, Phase, Verdict
from delivery.models import LimitGroup, QueuePause
from delivery.services import pauses

log = structlog.get_logger()

# Pauses and limits that somebody changed are seen after this long, in seconds; shares are renewed well before their
# lease ends.
FRESH_SECONDS = 1.0
RENEW_SECONDS = shares.SHARE_LEASE_SECONDS / 3

GROUPS_KEPT = 5_000
FORGET_SECONDS = 60.0


@dataclass
class Permits:
    """Written in the claiming thread, read in the loop; a Permit's own fields change in place."""

    worker: int
    ips: tuple[str, ...] = field(default_factory=lambda: tuple(settings.SENDING_IPS) or ("",))
    known: dict[tuple[int, str], Permit] = field(default_factory=dict)
    _shares: dict[int, shares.Share] = field(default_factory=dict)
    # Groups of which we hold more than our part: the smaller part that is kept to already.
    _narrowed: dict[int, int] = field(default_factory=dict)
    _limits: dict[int, Limits] = field(default_factory=dict)
    _states: dict[tuple[int, str], pauses.State] = field(default_factory=dict)
    _fresh_at: dict[int, float] = field(default_factory=dict)
    # Pauses of our own making, heeded until they have surely been read from the database: by time.monotonic().
    _stopped: dict[tuple[int, str], float] = field(default_factory=dict)
    # Whose turn it is among the sending IPs, by group; begun anywhere, or each new engine would prefer the same.
    _turns: dict[int, int] = field(default_factory=lambda: defaultdict(lambda: time.monotonic_ns() % 1009))

    def refresh(self, groups: list[int], *, workers: int) -> list[int]:
        """In the claiming thread: bring these groups' permits up to date; give those that may be worked on now."""
        now = time.monotonic()
        stale = [group for group in groups if now >= self._fresh_at.get(group, 0.0)]
        if stale:
            self._read(stale)
            self._fresh_at |= dict.fromkeys(stale, now + FRESH_SECONDS)
        self._lease(groups, workers=workers)
        self._apply(groups)
        now = time.monotonic()
        return [group for group in groups if any(self.known[group, ip].valid(now) for ip in self.ips)]

    def forget(self, *, but_for: Collection[int]) -> None:
        """Groups that nothing has been wanted of for a while, once there are many: each receiving domain is one of its
        own until it is resolved, and a task may go to a million of them."""
        if len(self._fresh_at) < GROUPS_KEPT:
            return
        before = time.monotonic() - FORGET_SECONDS
        opened = {group for (group, _ip), permit in self.known.items() if permit.open}
        kept = {group for group, at in self._fresh_at.items() if at > before or group in opened or group in but_for}
        self.known = {key: permit for key, permit in self.known.items() if key[0] in kept}
        self._states = {key: state for key, state in self._states.items() if key[0] in kept}
        self._stopped = {key: until for key, until in self._stopped.items() if key[0] in kept}
        for by_group in (self._shares, self._narrowed, self._limits, self._fresh_at, self._turns):
            for group in by_group.keys() - kept:
                by_group.pop(group, None)

    def stand_by(self, groups: list[int]) -> bool:
        """Whether others hold all of one of these groups, and may give some of it up at any moment."""
        now = time.monotonic()
        permits = [self.known[group, ip] for group in groups for ip in self.ips]
        return any(permit.until <= now and permit.paused_until <= now for permit in permits)

    def choose(self, group: int) -> str | None:
        """A sending IP from which mail may go to this group now, in turn; None when there is none."""
        now = time.monotonic()
        for _ip in self.ips:
            self._turns[group] += 1
            ip = self.ips[self._turns[group] % len(self.ips)]
            permit = self.known.get((group, ip))
            if permit is not None and permit.valid(now):
                return ip
        return None

    def limits(self, group: int) -> Limits:
        """Of the whole group, as far as we know it."""
        return self._limits.get(group) or Limits()

    def room(self, group: int) -> int:
        """How many mails may be in hand for this group."""
        now = time.monotonic()
        permits = [self.known[group, ip] for ip in self.ips]
        return sum(permit.limits.room for permit in permits if permit.soon(now))

    def too_much(self, one: Claimed, exchange: Exchange, verdict: Verdict) -> Callable[[], None] | None:
        """The server had enough of us. In the loop: its group is paused from this sending IP at once, here; what is
        returned writes it down for all, in a thread with a database. None: it was known already."""
        group, ip = one.limit_group_id, exchange.local_ip if exchange.local_ip in self.ips else ""
        usual = dt.timedelta(minutes=self.limits(group).pause_minutes)
        if verdict.rule == RELAY_RULE:
            reason, pause = QueuePause.Reason.RELAY, pauses.RELAY_PAUSE
        elif verdict.scope == "sender":
            reason, pause = QueuePause.Reason.REPUTATION, pauses.LISTED_PAUSE
        elif exchange.reply.phase in (Phase.CONNECT, Phase.GREETING, Phase.EHLO):
            reason, pause = QueuePause.Reason.CONNECTING, usual
        else:
            reason, pause = QueuePause.Reason.QUOTA, usual
        if retry.is_simulated(one.receiving_domain):
            pause = pauses.SIMULATOR_PAUSE
        # From no IP of ours: it concerns them all.
        stopped = [key for key in ([(group, ip)] if ip else [(group, each) for each in self.ips]) if key in self.known]
        now = time.monotonic()
        if all(self.known[key].paused_until > now for key in stopped):
            return None
        for key in stopped:
            self.known[key].paused_until = max(self.known[key].paused_until, now + pause.total_seconds())
            self._stopped[key] = now + min(pause.total_seconds(), 2 * FRESH_SECONDS)
        said, wall = exchange.reply.text, timezone.now()
        # A relay that is down has not had too much: it is pestered less, and then gets all at once.
        slower = reason != QueuePause.Reason.RELAY

        def write() -> None:
            try:
                pauses.slow_down(group, ip, reason=reason, said=said, now=wall, pause=pause, slower=slower)
            except DatabaseError as error:
                # It must not stop the mail: in this process the pause holds in any case.
                log.warning("pause_not_written", error=str(error).strip())

        return write

    def _read(self, groups: list[int]) -> None:
        for group in LimitGroup.objects.filter(pk__in=groups).values("id", "name", *shape.LIMITS):
            self._limits[group["id"]] = shape.limits_of(group["name"]).but(group)
        wanted = set(groups)
        self._states = {key: state for key, state in self._states.items() if key[0] not in wanted}
        self._states |= pauses.states(groups, now=timezone.now())

    def _lease(self, groups: list[int], *, workers: int) -> None:
        now = time.monotonic()
        wishes: dict[int, shares.Wish] = {}
        for group in groups:
            limits = self.limits(group)
            share = self._shares.get(group)
            wanted = min(workers, limits.parts)
            lasts = share is not None and share.until - now > shares.SHARE_LEASE_SECONDS - RENEW_SECONDS
            if lasts and share is not None and share.of == wanted:
                continue
            wishes[group] = shares.Wish(limits.parts, self._opened(group, wanted, limits), limits.connections)
        got = shares.take(self.worker, wishes, workers=workers)
        for group in wishes:
            if group in got:
                self._shares[group] = got[group]

    def _opened(self, group: int, wanted: int, limits: Limits) -> int:
        """Connections that are open, or may be before the next look: a part that shall become smaller is kept to first,
        and given back then, or the loop could open some in between."""
        share = self._shares.get(group)
        if share is None or share.of >= wanted:
            self._narrowed.pop(group, None)
        elif self._narrowed.get(group) != wanted:
            self._narrowed[group] = wanted
            return limits.connections
        return max((self.known[group, ip].open for ip in self.ips if (group, ip) in self.known), default=0)

    def _apply(self, groups: list[int]) -> None:
        now, wall = time.monotonic(), timezone.now()
        for group in groups:
            limits = self.limits(group)
            share = self._shares.get(group)
            everywhere = self._states.get((group, ""))
            for ip in self.ips:
                permit = self.known.setdefault((group, ip), Permit(Limits(1, 1)))
                state = self._states.get((group, ip))
                of = max(share.of, self._narrowed.get(group, 0)) if share else limits.parts
                part = limits.part(of, state.pace if state else 1.0)
                permit.renew(part, (of, share.until if share else 0.0), now)
                ends = [s.paused_until for s in (state, everywhere if ip else None) if s and s.paused_until]
                paused_until = now + _seconds(max(ends), wall) if ends else 0.0
                permit.paused_until = max(paused_until, self._stopped.get((group, ip), 0.0))


def _seconds(until: dt.datetime, now: dt.datetime) -> float:
    return max(0.0, (until - now).total_seconds())
