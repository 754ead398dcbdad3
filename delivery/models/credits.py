"""The account's credits and their ledger."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Credits(models.Model):
    """Row 1: the account's. What is left is `balance` and the entries that are not folded into it yet."""

    # Not limited: nothing is reserved, and nothing is written down.
    limited = models.BooleanField(default=False)
    balance = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("credits")
        verbose_name_plural = _("credits")

    def __str__(self) -> str:
        return str(self.balance)


class CreditEntry(models.Model):
    """One move of credits; never changed, but for being folded. The sum of all is what is left."""

    class Kind(models.TextChoices):
        TOP_UP = "top_up", _("Top-up")
        SET = "set", _("Limit set")
        RESERVED = "reserved", _("Reserved for requests")
        RETURNED = "returned", _("Given back")

    at = models.DateTimeField(_("time"))
    kind = models.CharField(_("what"), max_length=8, choices=Kind)
    delta = models.BigIntegerField(_("credits"))
    # Null: regular mail, or a person's doing.
    task_id = models.BigIntegerField(null=True)
    by = models.CharField(_("by"), max_length=150, blank=True)
    note = models.CharField(_("note"), max_length=200, blank=True)
    folded = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("credit entry")
        verbose_name_plural = _("credit ledger")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="credit_unfolded", condition=models.Q(folded=False)),
            models.Index(fields=["at"], name="credit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.delta}"
