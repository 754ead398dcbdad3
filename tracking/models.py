"""Events: what recipients, their programs and their servers did after a mail was delivered."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from console import ids


class Event(models.Model):
    """Partitioned by its own id, a month each. `message_id` has no constraint, as in delivery/models/message.py."""

    class Kind(models.TextChoices):
        OPEN = "open", _("Opened")
        CLICK = "click", _("Clicked")
        UNSUBSCRIBE = "unsubscribe", _("Unsubscribed")

    partition_by = "id"

    id = models.BigIntegerField(primary_key=True, default=ids.new_id, editable=False)
    message_id = models.BigIntegerField()
    kind = models.TextField(choices=Kind)
    link = models.TextField(blank=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.TextField(blank=True)
    detail: models.JSONField[Any, Any] = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("event")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["message_id", "id"], name="event_message")]

    def __str__(self) -> str:
        return f"{self.kind} {self.message_id}"
