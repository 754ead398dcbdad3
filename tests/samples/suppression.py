"""Entries of the suppression lists, and what people did to them."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from django.utils import timezone

from console.models import ApiUser
from suppression import services
from suppression.models import Change, Entry, UnsubscribeReason, Upload
from suppression.services import HardBounce
from tests.factories.suppression import EntryFactory
from tests.samples import rows, url_of

_number = itertools.count()
REASONS = ["", *UnsubscribeReason.values]


def _user(number: int) -> ApiUser:
    user, _made = ApiUser.objects.get_or_create(name=f"shop-{number % 4}", defaults={"type": "batch"})
    return user


@rows("unsubscriptions")
def unsubscriptions(n: int) -> None:
    for _ in range(n):
        number = next(_number)
        reason = REASONS[number % len(REASONS)]
        services.unsubscribe(
            f"gone{number}@example.com", api_user_id=_user(number).pk, now=timezone.now(), reason=reason
        )


@rows("spam-reports")
def spam_reports(n: int) -> None:
    for _ in range(n):
        number = next(_number)
        services.complain(
            f"angry{number}@example.com", now=timezone.now(), reason="abuse", api_user_id=_user(number).pk
        )


@rows("bounced")
def bounced(n: int) -> None:
    for _ in range(n):
        number = next(_number)
        words = "550 5.1.1 The email account that you tried to reach does not exist."
        services.hard_bounces(
            [HardBounce(f"nobody{number}@qq.com", number % 2 == 0, None, words, _user(number).pk)],
            now=timezone.now() - dt.timedelta(days=number % 3),
        )
    Entry.objects.filter(list=Entry.List.BOUNCE, pk__in=list(Entry.objects.values_list("pk", flat=True)[1:2])).update(
        intercepted=False
    )


@rows("blocks")
def blocks(n: int) -> None:
    for _ in range(n):
        number = next(_number)
        key = f"@competitor{number}.example" if number % 3 == 0 else f"someone.with.a.long.name{number}@example.com"
        user = _user(number) if number % 2 else None
        EntryFactory(key=key, api_user=user, reason="asked by phone", expires_at=timezone.now() + dt.timedelta(days=9))


@rows("blocklist")
def blocklist(n: int) -> None:
    for make in (unsubscriptions, spam_reports, bounced, blocks):
        make(-(-n // 4))


@rows("suppression-changes")
def changes(n: int) -> None:
    for number in range(n):
        Change.objects.create(
            action=Change.Action.values[number % 4],
            list=["", *Entry.List.values][number % 5],
            count=number + 1,
            what="ann@example.com, bea@example.com, …",
            upload=upload() if number % 2 else None,
            made_by="operator",
            made_at=timezone.now(),
        )


def upload() -> Upload:
    errors = [[3, "nobody", "There is no @. An address looks like ann@example.com."]]
    return Upload.objects.create(
        list=Entry.List.BLOCK,
        filename="blocks.csv",
        encoding="UTF-8",
        total=12,
        added=9,
        repeated=2,
        malformed=1,
        errors=errors,
        made_by="operator",
        made_at=timezone.now(),
    )


@url_of("suppression-upload", "suppression-upload-malformed")
def uploaded() -> dict[str, Any]:
    return {"pk": upload().pk}


@url_of("suppression-import-columns")
def brought() -> dict[str, Any]:
    content = (
        b"EmailAddress,SuppressionReason,Origin,CreatedAt\n"
        b"ann@example.com,HardBounce,Recipient,2026-01-17T08:58:33-05:00\n"
        b"bea@example.com,SpamComplaint,Recipient,2026-02-17T08:58:33-05:00\n"
        b"cid@example.com,ManualSuppression,Customer,2026-03-17T08:58:33-05:00\n"
    )
    made = Upload.objects.create(filename="suppressions.csv", encoding="UTF-8", content=content, made_at=timezone.now())
    return {"pk": made.pk}


@url_of("bounced-turn")
def turned() -> dict[str, Any]:
    return {"pk": EntryFactory(list=Entry.List.BOUNCE).pk}
