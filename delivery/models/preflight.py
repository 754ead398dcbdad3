"""What was found when a sending IP was last looked at from outside, and what goes out from it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class IpCheck(models.Model):
    """The last preflight of one sending IP; "" is the system's own choice (services/preflight.py)."""

    ip = models.CharField(_("sending IP"), max_length=45, unique=True, blank=True)
    checked_at = models.DateTimeField(_("checked"))
    # [{"about", "state", "code", "values"}, …]: a preflight.Finding each.
    findings: models.JSONField[list[Any], list[Any]] = models.JSONField(default=list)

    class Meta:
        verbose_name = _("preflight of a sending IP")
        verbose_name_plural = _("preflights of sending IPs")

    def __str__(self) -> str:
        return self.ip or "system"


class IpDay(models.Model):
    """What went out from one IP on one day of the account's: added to by every worker, every few seconds."""

    ip = models.CharField(max_length=45)
    day = models.DateField()
    # Attempts that had a connection, and mails that were taken.
    tried = models.IntegerField(default=0)
    taken = models.IntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["ip", "day"], name="one_row_an_ip_and_day")]

    def __str__(self) -> str:
        return f"{self.ip} {self.day}"
