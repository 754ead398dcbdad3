"""Returned mail that nobody could read."""

from __future__ import annotations

import secrets
from typing import Any

from django.utils import timezone

from tests.factories.sending import message
from tests.feedback.mails import bounce_host, report, return_path
from tests.samples import rows, url_of
from tracking.models import FeedbackMail


def failed(n: int) -> FeedbackMail:
    sent, now = message(), timezone.now()
    raw = report(sent)
    made: FeedbackMail = FeedbackMail.objects.create(
        digest=secrets.token_bytes(32),
        received_at=now,
        envelope_to=return_path(sent) if n % 3 else f"fbl@{bounce_host(sent)}",
        envelope_from="" if n % 3 else "abuse@provider.example",
        client_ip="192.0.2.9",
        raw=raw,
        size=len(raw),
        state=FeedbackMail.State.FAILED,
        tries=5,
        due=now,
        done_at=now,
        error="" if n % 4 == 2 else "UnicodeEncodeError: 'utf-8' codec can't encode character '\\udcff' in position 61",
    )
    return made


@rows("returned-mail")
def several(n: int) -> None:
    for number in range(n):
        failed(number)


@url_of("returned-mail-page", "returned-mail-raw", "returned-mail-again", "returned-mail-discard-one")
def one() -> dict[str, Any]:
    return {"pk": failed(1).pk}
