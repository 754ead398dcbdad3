"""What was sent on a day: by sender domain, which warms up by it, and by API user, which may have a daily quota."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.models import ApiUser
from delivery.models.domain import SenderDomain


class DomainDay(models.Model):
    """A sender domain's day in the account's time zone. Counts no retries, no suppressed and no simulator mail."""

    domain = models.ForeignKey(SenderDomain, on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField(_("day"))
    # The level in force on that day.
    level = models.PositiveSmallIntegerField(_("level"))
    # First attempts, reserved when they are claimed.
    attempted = models.PositiveIntegerField(_("attempted"), default=0)
    delivered = models.PositiveIntegerField(_("delivered"), default=0)
    invalid = models.PositiveIntegerField(_("invalid"), default=0)
    spam = models.PositiveIntegerField(_("refused as spam"), default=0)
    complaints = models.PositiveIntegerField(_("complaints"), default=0)
    opens = models.PositiveIntegerField(_("opens"), default=0)
    blocked_at = models.DateTimeField(_("blocked"), null=True)
    # Once the day is over: where the level went, and by which figure (services/warmup.py, Why). Null: not judged yet.
    moved = models.SmallIntegerField(null=True)
    why = models.CharField(max_length=12, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["domain", "day"], name="one_row_a_domain_and_day")]

    def __str__(self) -> str:
        return f"{self.domain_id} {self.day}"


class ApiUserDay(models.Model):
    """First attempts of an API user's mail on a day."""

    api_user = models.ForeignKey(ApiUser, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField(_("day"))
    attempted = models.PositiveIntegerField(_("attempted"), default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["api_user", "day"], name="one_row_a_user_and_day")]

    def __str__(self) -> str:
        return f"{self.api_user_id} {self.day}"
