"""Hard bounces to the bounce list, from a session or a bounce mail: delivery knows whose mailboxes are Tencent's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection

from suppression import address, services


@dataclass(frozen=True, slots=True)
class Bounced:
    """A message whose recipient does not exist; `recipient` is canonical, `words` the remote server's."""

    message_id: int
    api_user_id: int
    recipient: str
    receiving_domain_id: int
    words: str = ""


def list_hard_bounces(bounced: Sequence[Bounced], *, now: dt.datetime) -> None:
    """Put these recipients on the bounce list, for as long as their number of hard bounces and their mailboxes'
    provider say. Two statements for any number; belongs into the transaction that makes the messages final."""
    if not bounced:
        return
    theirs = tencent_domains({one.receiving_domain_id for one in bounced})
    services.hard_bounces(
        [
            services.HardBounce(
                key=address.key_of(one.recipient),
                tencent=one.receiving_domain_id in theirs
                or address.mailbox_provider(address.receiving_domain(one.recipient)) == "tencent",
                message_id=one.message_id,
                reason=one.words,
                api_user_id=one.api_user_id,
            )
            for one in bounced
        ],
        now=now,
    )


def tencent_domains(domain_ids: Iterable[int]) -> set[int]:
    """Those of these receiving domains whose mail Tencent's servers take, as far as they were looked up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.id FROM delivery_receivingdomain d JOIN delivery_site s ON s.id = d.site_id "
            "WHERE d.id = ANY(%s) AND s.tencent",
            [list(domain_ids)],
        )
        return {row[0] for row in cursor.fetchall()}
