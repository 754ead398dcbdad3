"""The suppression lists, in one table: which list an entry is on is one of its columns."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.models import ApiUser


class Entry(models.Model):
    """One address (or, on the block list, domain) that must not be mailed."""

    class List(models.TextChoices):
        SPAM_REPORT = "spam_report", _("Spam reports")
        BLOCK = "block", _("Block list")
        BOUNCE = "bounce", _("Bounced")
        UNSUBSCRIPTION = "unsubscription", _("Unsubscriptions")

    list = models.CharField(_("list"), max_length=14, choices=List)
    # Address.key: the canonical address in lower case. A domain of the block list stands as "@domain".
    key = models.CharField(_("address"), max_length=321)
    # Null: holds for every API user.
    api_user = models.ForeignKey(
        ApiUser, null=True, blank=True, on_delete=models.CASCADE, related_name="+", verbose_name=_("API user")
    )
    created_at = models.DateTimeField(_("created"))
    latest_at = models.DateTimeField(_("latest"))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    hits = models.PositiveIntegerField(_("hits"), default=1)

    class Meta:
        verbose_name = _("suppression entry")
        verbose_name_plural = _("suppression entries")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key", "list", "api_user"], name="one_entry_a_key", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.key
