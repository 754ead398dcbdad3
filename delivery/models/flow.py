"""What goes through the queues, counted as it happens, and how each queue stands: for the queue page alone.

Counts are written by whoever makes or settles mail, as rows of its own, and read by summing: nobody waits for a row of
somebody else's.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from delivery.models.queue import Queue, QueuePause


class Flow(models.Model):
    """Counts of one worker (0: of many, added up) in the `seconds` from `at`, by queue and sender domain."""

    worker = models.BigIntegerField()
    at = models.DateTimeField()
    seconds = models.SmallIntegerField()
    queue_id = models.BigIntegerField()
    sender_domain_id = models.BigIntegerField()
    # Mail that joined the queue; attempts; mail that left it with its final status.
    joined = models.IntegerField(default=0)
    tried = models.IntegerField(default=0)
    left = models.IntegerField(default=0)
    # Of what left: tried at all, taken by the receiving side, failed after an attempt. Rejected: stopped by a list,
    # at the request or later, and not tried.
    sent = models.IntegerField(default=0)
    delivered = models.IntegerField(default=0)
    bounced = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    # The last that a server said in these seconds.
    reply = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["seconds", "at"], name="flow_at")]

    def __str__(self) -> str:
        return f"{self.queue_id} {self.at} {self.seconds} s"


class Standing(models.Model):
    """How a queue stood at the last look (services/standing.py). Only of queues that have mail, move or are paused."""

    class Status(models.TextChoices):
        PAUSED = "paused", _("Paused")
        RUNNING = "running", _("Running")
        IDLE = "idle", _("Idle")

    queue = models.OneToOneField(Queue, on_delete=models.CASCADE, primary_key=True, related_name="+")
    status = models.CharField(max_length=10, choices=Status)
    # In the order of the page: paused for too long, paused, running, idle.
    rank = models.SmallIntegerField()
    # The pause in force, also where only some sending IPs are paused; it may be gone since.
    pause = models.ForeignKey(
        QueuePause, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    since = models.DateTimeField(null=True)
    pace = models.FloatField(default=1.0)
    # All that is not settled, and of these: put off, held.
    waiting = models.IntegerField()
    later = models.IntegerField()
    held = models.IntegerField()
    next_due = models.DateTimeField(null=True)
    joined_5 = models.IntegerField()
    joined_15 = models.IntegerField()
    joined_30 = models.IntegerField()
    tried_5 = models.IntegerField()
    tried_15 = models.IntegerField()
    tried_30 = models.IntegerField()
    left_5 = models.IntegerField()
    left_15 = models.IntegerField()
    left_30 = models.IntegerField()
    reply = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.queue.receiving_domain} · {self.queue.api_user}"


class LookedAt(models.Model):
    """When the standings were taken last, and how long that took. One row."""

    at = models.DateTimeField()
    seconds = models.FloatField()

    def __str__(self) -> str:
        return str(self.at)
