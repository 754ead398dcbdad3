"""Sender addresses: prefix, domain and the name that recipients read."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from delivery.models.domain import SenderDomain

ADDRESSES_PER_DOMAIN = 10


class SenderAddress(models.Model):
    domain = models.ForeignKey(
        SenderDomain, on_delete=models.CASCADE, related_name="addresses", verbose_name=_("domain")
    )
    prefix = models.CharField(_("prefix"), max_length=64, help_text=_("The part before the @."))
    sender_name = models.CharField(_("sender name"), max_length=100, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("sender address")
        verbose_name_plural = _("sender addresses")
        ordering: ClassVar = ["domain__name", "prefix"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["domain", "prefix"], name="one_address_a_prefix")]

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        return f"{self.prefix}@{self.domain.name}"
