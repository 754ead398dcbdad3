"""Entries of the suppression lists."""

from __future__ import annotations

import itertools

from django.utils import timezone

from console.models import ApiUser
from suppression import services
from tests.samples import rows

_number = itertools.count()


@rows("unsubscriptions")
def unsubscriptions(n: int) -> None:
    for _ in range(n):
        number = next(_number)
        user, _made = ApiUser.objects.get_or_create(name=f"shop-{number % 4}", defaults={"type": "batch"})
        services.unsubscribe(f"gone{number}@example.com", api_user_id=user.pk, now=timezone.now())
