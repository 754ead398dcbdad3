"""Daily caps: reserved at the first attempt, counted at the end, and the level that moves when the day is over.

The row of a domain's day is the lock: whoever reserves holds it for the milliseconds between reading how much is left
and writing how much was taken. A row that waits remembers the day for which it was counted, so being claimed again
after a crash counts nothing twice.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from django.db import connection, transaction

from console.arrays import numbers
from console.models import Account, ApiUser
from delivery.engine.retry import is_simulated
from delivery.models import DomainDay, HeldBy, Reason, SenderDomain, Status
from delivery.models.status import OF_ADDRESSES, TAKEN
from delivery.services import warmup
from delivery.services.warmup import Figures


class InHand(Protocol):
    """What reserving needs of a claimed message."""

    message_id: int
    logged: int
    sender_domain_id: int
    api_user_id: int
    receiving_domain: str


def local_day(now: dt.datetime) -> dt.date:
    """The day in the account's time zone."""
    return now.astimezone(Account.current().zone).date()


def figures(day: DomainDay) -> Figures:
    return Figures(day.attempted, day.delivered, day.invalid, day.spam, day.complaints, day.opens)


# --- the day


def open_days(*, now: dt.datetime) -> None:
    """Begin today for every domain: judge its last day, and move its level."""
    for domain_id in SenderDomain.objects.order_by("pk").values_list("pk", flat=True):
        open_day(domain_id, local_day(now))


def open_day(domain_id: int, today: dt.date) -> DomainDay | None:
    """The row of today, made when it is asked for first: then the level moves, at most once a day. None: no such
    domain."""
    if row := DomainDay.objects.filter(domain_id=domain_id, day=today).first():
        return row
    with transaction.atomic():
        domain = SenderDomain.objects.select_for_update(no_key=True).filter(pk=domain_id).first()
        if domain is None:
            return None
        # In a statement after the lock: another may have begun the day meanwhile.
        last = DomainDay.objects.select_for_update().filter(domain=domain).order_by("-day").first()
        if last is not None and last.day < today and last.moved is None:
            moved = warmup.move(figures(last), domain.level)
            DomainDay.objects.filter(pk=last.pk).update(moved=moved.step, why=moved.why)
            domain.level += moved.step
            domain.save(update_fields=["level"])
        return DomainDay.objects.get_or_create(domain=domain, day=today, defaults={"level": domain.level})[0]


def set_level(domain: SenderDomain, level: int, *, now: dt.datetime) -> None:
    """By an administrator: a domain that is known to its receivers need not begin at 1. Holds from now on."""
    if not 1 <= level <= warmup.LEVELS:
        raise ValueError(f"no level {level}")
    today = local_day(now)
    open_day(domain.pk, today)
    with transaction.atomic():
        SenderDomain.objects.filter(pk=domain.pk).update(level=level)
        DomainDay.objects.filter(domain=domain, day=today).update(level=level)


def left_today(domain_id: int, api_user: ApiUser, *, now: dt.datetime) -> tuple[int, str]:
    """How many first attempts may still be made today, and why no more (a HeldBy) once it is none."""
    today = local_day(now)
    day = open_day(domain_id, today)
    if day is None:
        return 0, HeldBy.DOMAIN_UNVERIFIED
    if day.blocked_at or warmup.blocked(figures(day)):
        return 0, HeldBy.DOMAIN_BLOCKED
    left = warmup.cap(day.level) - day.attempted
    if api_user.daily_quota is not None:
        left = min(left, api_user.daily_quota - sent_today(api_user.pk, today))
    return max(0, left), HeldBy.QUOTA


def sent_today(api_user_id: int, today: dt.date) -> int:
    """First attempts of this API user's mail on this day."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attempted FROM delivery_apiuserday WHERE api_user_id = %s AND day = %s", [api_user_id, today]
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


# --- reserving


def reserve(batch: Sequence[InHand], *, now: dt.datetime, account: Account | None = None) -> dict[int, str]:
    """Count these claimed messages for today; give those that are over a cap, with why each is to be held.

    In the order of the batch. Its transaction locks days of domains, then of API users, each in order.
    """
    first = {one.message_id: one for one in batch if not one.logged and not is_simulated(one.receiving_domain)}
    if not first:
        return {}
    today = now.astimezone((account or Account.current()).zone).date()
    domains = sorted({one.sender_domain_id for one in first.values()})
    users = sorted({one.api_user_id for one in first.values()})
    try:
        return _reserve(first, domains, users, today, now)
    except _NotBegun:
        # The first mail of the day. Begun in transactions of their own, which wait for nobody's locks in disorder.
        for domain_id in domains:
            open_day(domain_id, today)
        _begin_users(users, today)
        return _reserve(first, domains, users, today, now, begun=True)


class _NotBegun(Exception):
    """Some domain or API user has no row of today yet."""


def _reserve(
    first: dict[int, InHand],
    domains: list[int],
    users: list[int],
    today: dt.date,
    now: dt.datetime,
    begun: bool = False,
) -> dict[int, str]:
    with transaction.atomic(), connection.cursor() as cursor:
        days = _lock_domains(cursor, domains, today)
        left = _lock_users(cursor, users, today)
        if not begun and (len(days) < len(domains) or len(left) < len(users)):
            raise _NotBegun
        counted = _mark(cursor, list(first), today)
        over: dict[int, str] = {}
        by_domain: Counter[int] = Counter()
        by_user: Counter[int] = Counter()
        for one in first.values():
            if one.message_id not in counted:
                continue
            room, blocked = days.get(one.sender_domain_id, (0, ""))
            users_room = left.get(one.api_user_id)
            if blocked:
                over[one.message_id] = HeldBy.DOMAIN_BLOCKED
            elif by_domain[one.sender_domain_id] >= room or (
                users_room is not None and by_user[one.api_user_id] >= users_room
            ):
                over[one.message_id] = HeldBy.QUOTA
            else:
                by_domain[one.sender_domain_id] += 1
                by_user[one.api_user_id] += 1
        _add(cursor, "delivery_domainday", "domain_id", by_domain, today)
        _add(cursor, "delivery_apiuserday", "api_user_id", by_user, today)
        newly_blocked = [id for id, (_room, blocked) in days.items() if blocked == "now"]
        if newly_blocked:
            DomainDay.objects.filter(domain_id__in=newly_blocked, day=today).update(blocked_at=now)
        if over:
            cursor.execute("UPDATE delivery_waiting SET reserved_on = NULL WHERE message_id = ANY(%s)", [list(over)])
    return over


def _lock_domains(cursor: Any, domain_ids: list[int], today: dt.date) -> dict[int, tuple[int, str]]:
    """Domain → (room left today, "" or "before" or "now" when it is blocked)."""
    cursor.execute(
        "SELECT domain_id, level, blocked_at, attempted, delivered, invalid, spam, complaints, opens "
        "FROM delivery_domainday WHERE domain_id = ANY(%s) AND day = %s ORDER BY domain_id FOR UPDATE",
        [domain_ids, today],
    )
    found = {}
    for domain_id, level, blocked_at, *counts in cursor.fetchall():
        day = Figures(*counts)
        blocked = "before" if blocked_at else "now" if warmup.blocked(day) else ""
        found[domain_id] = (warmup.cap(level) - day.attempted, blocked)
    return found


def _lock_users(cursor: Any, user_ids: list[int], today: dt.date) -> dict[int, int | None]:
    """API user → room left today; None: no quota."""
    cursor.execute(
        "SELECT d.api_user_id, u.daily_quota - d.attempted "
        "FROM delivery_apiuserday d JOIN console_apiuser u ON u.id = d.api_user_id "
        "WHERE d.api_user_id = ANY(%s) AND d.day = %s ORDER BY d.api_user_id FOR UPDATE OF d",
        [user_ids, today],
    )
    return dict(cursor.fetchall())


def _begin_users(user_ids: list[int], today: dt.date) -> None:
    """Rows of today for those that are there still."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO delivery_apiuserday (api_user_id, day, attempted) "
            "SELECT id, %s, 0 FROM console_apiuser WHERE id = ANY(%s) ORDER BY id "
            "ON CONFLICT (api_user_id, day) DO NOTHING",
            [today, user_ids],
        )


def _mark(cursor: Any, message_ids: list[int], today: dt.date) -> set[int]:
    """Those that were not counted for today yet; now they are."""
    cursor.execute(
        "UPDATE delivery_waiting SET reserved_on = %s WHERE message_id = ANY(%s::bigint[]) "
        "AND reserved_on IS DISTINCT FROM %s RETURNING message_id",
        [today, numbers(message_ids), today],
    )
    return {row[0] for row in cursor.fetchall()}


def _add(cursor: Any, table: str, column: str, counts: Counter[int], today: dt.date) -> None:
    if counts:
        cursor.execute(
            f"UPDATE {table} d SET attempted = attempted + v.n FROM unnest(%s::bigint[], %s::int[]) v(id, n) "  # noqa: S608
            f"WHERE d.{column} = v.id AND d.day = %s",
            [list(counts), list(counts.values()), today],
        )


# --- what became of it


def count_ends(ends: Iterable[tuple[int, dt.date | None, str, str]]) -> None:
    """Add what became of attempted mail to the day of its first attempt: (sender domain, that day, status, reason).
    In the transaction that settles it. Mail without such a day counts for nothing."""
    summed: Counter[tuple[int, dt.date, str]] = Counter()
    for domain_id, day, status, reason in ends:
        if day is None:
            continue
        # What a relay has taken is as good as delivered until it says otherwise: nobody has refused it.
        if status in TAKEN:
            summed[domain_id, day, "delivered"] += 1
        elif reason == Reason.SPAM:
            summed[domain_id, day, "spam"] += 1
        elif status == Status.INVALID and reason in OF_ADDRESSES:
            summed[domain_id, day, "invalid"] += 1
    with connection.cursor() as cursor:
        # One row after the other in order: an UPDATE of several locks them in any.
        for domain_id, day in sorted({(domain_id, day) for domain_id, day, _what in summed}):
            cursor.execute(
                "UPDATE delivery_domainday SET delivered = delivered + %s, invalid = invalid + %s, spam = spam + %s "
                "WHERE domain_id = %s AND day = %s",
                [*(summed[domain_id, day, what] for what in ("delivered", "invalid", "spam")), domain_id, day],
            )


def count_returns(returns: Iterable[tuple[int, dt.date, str]]) -> None:
    """Mail that was counted as delivered and came back: (sender domain, the day of its first attempt, reason). In the
    transaction that corrects it."""
    summed: Counter[tuple[int, dt.date, str]] = Counter()
    for domain_id, day, reason in returns:
        summed[domain_id, day, "returned"] += 1
        if reason in (Reason.SPAM, Reason.NOT_EXIST):
            summed[domain_id, day, reason] += 1
    with connection.cursor() as cursor:
        for domain_id, day in sorted({(domain_id, day) for domain_id, day, _what in summed}):
            counts = [summed[domain_id, day, what] for what in ("returned", Reason.NOT_EXIST, Reason.SPAM)]
            cursor.execute(
                "UPDATE delivery_domainday SET delivered = greatest(0, delivered - %s), invalid = invalid + %s, "
                "spam = spam + %s WHERE domain_id = %s AND day = %s",
                [*counts, domain_id, day],
            )


def count_opens(opens: Mapping[tuple[int, dt.date], int]) -> None:
    """Add first opens: (sender domain, the day on which they came) → how many. In the transaction that writes them."""
    with connection.cursor() as cursor:
        for (domain_id, day), count in sorted(opens.items()):
            cursor.execute(
                "UPDATE delivery_domainday SET opens = opens + %s WHERE domain_id = %s AND day = %s",
                [count, domain_id, day],
            )
