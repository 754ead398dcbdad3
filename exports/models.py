"""Exports: what was asked for, how far it is, and where the file is."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

KEPT_DAYS = 7


class Format(models.TextChoices):
    CSV = "csv", _("CSV")
    XLSX = "xlsx", _("Excel (.xlsx)")


class State(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


UNDER_WAY = (State.WAITING, State.RUNNING)


class Export(models.Model):
    # The list's name among all pages.
    page = models.CharField(_("list"), max_length=64)
    # The list's parameters with the period made absolute, and the zone by whose clock they were meant.
    params: models.JSONField[dict[str, list[str]], dict[str, list[str]]] = models.JSONField(default=dict)
    zone = models.CharField(max_length=64, default="UTC")
    # The filters as a person reads them, as they stood.
    filters = models.CharField(_("filters"), max_length=1000, blank=True)
    format = models.CharField(_("format"), max_length=4, choices=Format)
    state = models.CharField(_("status"), max_length=9, choices=State, default=State.WAITING)
    # Rows that were expected when it was asked for; about, for large lists.
    expected = models.BigIntegerField(null=True)
    rows = models.BigIntegerField(_("rows"), default=0)
    size = models.BigIntegerField(_("size"), default=0)
    file = models.CharField(max_length=200, blank=True)
    problem = models.CharField(max_length=500, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", verbose_name=_("asked for by")
    )
    requested_at = models.DateTimeField(_("asked for"))
    started_at = models.DateTimeField(_("start"), null=True)
    ended_at = models.DateTimeField(_("end"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    # Who is making it, and until when that is believed; how often it was begun.
    claim = models.BigIntegerField(null=True)
    claimed_until = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["state", "id"], name="export_state")]

    def __str__(self) -> str:
        return f"{self.page} {self.pk}"

    def is_over(self, now: dt.datetime) -> bool:
        """Whether its file has expired, be it deleted already or not."""
        late = self.state == State.DONE and self.expires_at is not None and self.expires_at <= now
        return late or self.state == State.EXPIRED

    @property
    def file_name(self) -> str:
        """What the browser saves it as."""
        return f"{self.page}-{self.requested_at:%Y-%m-%d}-{self.pk}.{self.format}"
