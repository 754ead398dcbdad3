"""Recipient groups, the people in them, and the imports that brought them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class RecipientGroup(models.Model):
    name = models.CharField(_("name"), max_length=100, unique=True)
    description = models.CharField(_("description"), max_length=300, blank=True)
    # Names of the columns that imports brought, in order of first appearance.
    variables: models.JSONField[list[str], list[str]] = models.JSONField(default=list, editable=False)
    size = models.PositiveIntegerField(_("recipients"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("recipient group")
        verbose_name_plural = _("recipient groups")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.name


class Recipient(models.Model):
    """One address of a group. `key` is the canonical address: a later row with the same key replaces the variables."""

    group = models.ForeignKey(RecipientGroup, on_delete=models.CASCADE, related_name="recipients", db_index=False)
    address = models.CharField(_("address"), max_length=320)
    key = models.CharField(max_length=320)
    domain = models.CharField(_("receiving domain"), max_length=253)
    variables: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["group", "key"], name="one_recipient_a_key")]
        # A task walks its group by id, in chunks.
        indexes: ClassVar = [models.Index(fields=["group", "id"], name="recipient_walk")]

    def __str__(self) -> str:
        return self.address


class GroupImport(models.Model):
    """What one file brought: shown after the import, its malformed rows downloadable."""

    group = models.ForeignKey(RecipientGroup, on_delete=models.CASCADE, related_name="imports")
    filename = models.CharField(_("file"), max_length=255)
    encoding = models.CharField(_("encoding"), max_length=20, blank=True)
    total = models.PositiveIntegerField(_("total"), default=0)
    valid = models.PositiveIntegerField(_("valid"), default=0)
    repeated = models.PositiveIntegerField(_("repeated"), default=0)
    malformed = models.PositiveIntegerField(_("malformed"), default=0)
    # [line, value, reason] of malformed rows, the first 10,000.
    errors: models.JSONField[list[Any], list[Any]] = models.JSONField(default=list)
    made_by = models.CharField(_("imported by"), max_length=150, blank=True)
    made_at = models.DateTimeField(_("imported"), auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.filename
