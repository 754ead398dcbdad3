"""What was found when a sending IP was last looked at from outside."""

from __future__ import annotations

from typing import Any

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
