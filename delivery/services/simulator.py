"""Trying the simulator's addresses from the console, one mail at a click, and what became of the last ones."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from console import ids
from console.models import ApiUser
from delivery.models import SenderAddress, Template
from delivery.services import templates
from delivery.services.requests import Made
from delivery.simulator.behaviour import behaviour_of

# The label of such mails begins with it, and goes on with something new each time: whoever bounced or complained is on
# a list afterwards, and would be stopped.
TRY = "try-"
LABEL = "simulator"
REMEMBERED = dt.timedelta(days=30)


def try_address(
    local: str,
    *,
    sender_address: SenderAddress,
    template: Template,
    subject: str,
    now: dt.datetime,
    request_ip: str | None = None,
) -> Made:
    """Send to `local`+label at the simulator's domain, as batch mail is sent: only that can be unsubscribed from.

    Raises TemplateRefused; KeyError for an address that the simulator does not have.
    """
    if behaviour_of(local) is None:
        raise KeyError(local)
    return templates.send_test(
        template,
        sender_address=sender_address,
        subject=subject or _("A try"),
        recipient=f"{local}+{TRY}{secrets.token_hex(4)}@{settings.SIMULATOR_DOMAIN}",
        values=templates.sample_values(list(template.current.variables) if template.current else []),
        now=now,
        request_ip=request_ip,
        type=ApiUser.Type.BATCH,
        label=LABEL,
    )


def last_tries(locals_: Sequence[str], *, now: dt.datetime) -> dict[str, int]:
    """Local part → id of the last message that was sent to it here, of the last 30 days. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            # The operators of the index by recipient (text_pattern_ops); "." is what follows "-". The greatest of the
            # ids as they stand would be walked to, through all that came since.
            """
            SELECT l.local, m.id FROM unnest(%(locals)s::text[]) AS l(local)
            CROSS JOIN LATERAL (
                SELECT max(id + 0) AS id FROM delivery_message
                WHERE lower(recipient) ~>=~ (l.local || '+try-') AND lower(recipient) ~<~ (l.local || '+try.')
                  AND split_part(lower(recipient), '@', 2) = %(domain)s AND id >= %(since)s
            ) m
            WHERE m.id IS NOT NULL
            """,
            {
                "locals": list(locals_),
                "domain": settings.SIMULATOR_DOMAIN.lower(),
                "since": ids.id_at(now - REMEMBERED),
            },
        )
        return dict(cursor.fetchall())
