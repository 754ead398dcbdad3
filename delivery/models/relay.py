"""Relays: servers that take a sender domain's mail from us and deliver it themselves."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from delivery.models.domain import SenderDomain


class Relay(models.Model):
    """The smarthost of one sender domain. The password is encrypted with DKIM_KEYS (services/relays.py)."""

    class Tls(models.TextChoices):
        STARTTLS = "required", _("STARTTLS")
        IMPLICIT = "implicit", _("TLS from the start")
        NONE = "off", _("None")

    domain = models.OneToOneField(SenderDomain, on_delete=models.CASCADE, related_name="relay")
    host = models.CharField(_("host"), max_length=253)
    port = models.PositiveIntegerField(_("port"), default=587)
    tls = models.CharField(_("encryption"), max_length=10, choices=Tls, default=Tls.STARTTLS)
    check_certificate = models.BooleanField(_("check the certificate"), default=True)
    login = models.CharField(_("login"), max_length=200, blank=True)
    password = models.BinaryField(editable=False, default=b"")
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("relay")
        verbose_name_plural = _("relays")
        ordering: ClassVar = ["domain"]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
