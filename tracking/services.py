"""Writing down what comes back, and acting on it. Each is one short transaction; all of it may be repeated."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import connection, transaction

from console import ids
from delivery.services.deltas import OF, Deltas, Of
from tracking.models import Event

MAX_LINK = 2000
MAX_USER_AGENT = 500


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who came, as far as a request tells. `ip` is None where it is not known."""

    ip: str | None = None
    user_agent: str = ""


def record_hit(
    message_id: int,
    kind: Literal[Event.Kind.OPEN, Event.Kind.CLICK],
    visitor: Visitor,
    *,
    now: dt.datetime,
    link: str = "",
) -> bool:
    """Write an open or a click down; the message keeps the time of the first. True when it was the first.

    Of a message that is no longer kept nothing is written.
    """
    column = "opened_at" if kind == Event.Kind.OPEN else "clicked_at"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH known AS (SELECT {OF} FROM delivery_message m WHERE id = %(message)s),
            hit AS (
                INSERT INTO tracking_event (id, message_id, kind, link, ip, user_agent, detail)
                SELECT %(id)s, id, %(kind)s, %(link)s, %(ip)s::inet, %(agent)s, '{{}}' FROM known
            ), first AS (
                UPDATE delivery_message SET {column} = %(now)s WHERE id = %(message)s AND {column} IS NULL
                RETURNING sender_domain_id, receiving_domain_id
            ), counted AS ({_COUNT_OPEN if kind == Event.Kind.OPEN else "SELECT"})
            SELECT EXISTS(SELECT FROM first), known.* FROM known
            """,  # noqa: S608 (names of our own, one of two constants)
            {
                "id": ids.new_id(),
                "message": message_id,
                "kind": kind.value,
                "link": link[:MAX_LINK],
                "ip": visitor.ip,
                "agent": visitor.user_agent[:MAX_USER_AGENT],
                "now": now,
                "simulator": settings.SIMULATOR,
                "simulator_domain": settings.SIMULATOR_DOMAIN,
            },
        )
        row = cursor.fetchone()
        if row is None:
            return False
        first, *of = row
        changed = Deltas()
        if kind == Event.Kind.OPEN:
            changed.add(Of(*of), opens=1, unique_opens=int(first))
        else:
            changed.add(Of(*of), clicks=1, unique_clicks=int(first))
        changed.write()
        return bool(first)


# A first open counts for the warm-up of the sender domain, on the day on which it came (delivery/services/quota.py).
_COUNT_OPEN = """
    UPDATE delivery_domainday d SET opens = opens + 1
    FROM first JOIN delivery_receivingdomain r ON r.id = first.receiving_domain_id, console_account a
    WHERE d.domain_id = first.sender_domain_id AND d.day = (%(now)s AT TIME ZONE a.time_zone)::date
      AND NOT (%(simulator)s AND (r.name = %(simulator_domain)s OR r.name LIKE '%%.moods.test'))
"""
