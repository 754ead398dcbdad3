"""Keeping mail that comes back, before anybody is told that we have it."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from console import ids
from tracking.feedback.envelope import identify
from tracking.models import FeedbackMail

# Of a longer mail, its beginning: a report stands there, the mail that it returns behind it.
KEPT_BYTES = 256 * 1024
# Header fields that the way here adds, and that differ when a mail comes a second time.
_TRACE = re.compile(
    rb"^(?:received|return-path|delivered-to|x-original-to|envelope-to|x-envelope-to)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it came. `raw`: at most KEPT_BYTES of it; `size`: all of it. `envelope_from`: None if not known."""

    raw: bytes
    size: int
    envelope_to: str = ""
    envelope_from: str | None = None
    client_ip: str | None = None


def digest(mail: Mail) -> bytes:
    """What a mail is known by: where it went, if that is an address of ours for one message, and what it says but for
    line ends and the traces of its way."""
    ours = identify(mail.envelope_to)
    where = f"{ours.kind} {ours.message_id}" if ours and ours.message_id else ""
    head, blank, body = mail.raw[:KEPT_BYTES].replace(b"\r\n", b"\n").partition(b"\n\n")
    said = _TRACE.sub(b"", head + b"\n") + blank + body.rstrip()
    return hashlib.sha256(where.encode() + b"\0" + said).digest()


def keep(batch: Sequence[Mail], *, now: dt.datetime) -> int:
    """Store these in one transaction, which is on disk when this returns; give how many were not there before."""
    rows = {digest(mail): mail for mail in batch}
    # In order, so that two who store the same mails do not wait for each other.
    digests = sorted(rows)
    mails = [rows[key] for key in digests]
    with transaction.atomic(), connection.cursor() as cursor:
        # Whatever the server's default is: what is acknowledged must outlive it.
        cursor.execute("SET LOCAL synchronous_commit = on")
        cursor.execute(
            """
            INSERT INTO tracking_feedbackmail
                (id, digest, received_at, envelope_to, envelope_from, client_ip, raw, size, state, tries, due,
                 type, outcome)
            SELECT v.id, v.digest, %(now)s, v.envelope_to, v.envelope_from, v.client_ip, v.raw, v.size, %(waiting)s, 0,
                   %(now)s, '', ''
            FROM unnest(%(ids)s::bigint[], %(digests)s::bytea[], %(to)s::text[], %(from)s::text[], %(ips)s::inet[],
                        %(raws)s::bytea[], %(sizes)s::int[])
                AS v(id, digest, envelope_to, envelope_from, client_ip, raw, size)
            ON CONFLICT (digest) DO NOTHING
            """,
            {
                "now": now,
                "waiting": FeedbackMail.State.WAITING,
                "ids": ids.new_ids(len(mails)),
                "digests": digests,
                "to": [_clean(mail.envelope_to) for mail in mails],
                "from": [None if mail.envelope_from is None else _clean(mail.envelope_from) for mail in mails],
                "ips": [mail.client_ip for mail in mails],
                "raws": [mail.raw[:KEPT_BYTES] for mail in mails],
                "sizes": [min(mail.size, 2**31 - 1) for mail in mails],
            },
        )
        return int(cursor.rowcount)


def _clean(address: str) -> str:
    return "".join(character for character in address[:320] if character.isprintable())
