"""What waits, for whom, and who works on it.

`Site` is where to connect; `LimitGroup` is whose patience is used up. A receiving domain remembers both for a while.
Until it is resolved, a domain is a limit group of its own.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.models import ApiUser
from delivery.models.status import HeldBy


class LimitGroup(models.Model):
    """`mx:KEY` of a site, `provider:NAME` of a big provider, `domain:NAME` of a domain not yet resolved.

    Empty limits are those of rules/providers.toml, by the same names.
    """

    name = models.CharField(_("name"), max_length=300, unique=True)
    connections = models.PositiveSmallIntegerField(_("connections"), null=True, blank=True)
    messages_per_connection = models.PositiveSmallIntegerField(_("messages per connection"), null=True, blank=True)
    rate = models.FloatField(_("messages a second"), null=True, blank=True)
    pause_minutes = models.PositiveSmallIntegerField(_("pause after “too much”, minutes"), null=True, blank=True)
    retry_minutes = models.PositiveSmallIntegerField(_("between two attempts, minutes"), null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """What people call it."""
        return group_title(self.name)


def group_title(name: str) -> str:
    """`provider:google` → “Google”; of a site its hosts, of a domain or a relay itself."""
    kind, _colon, rest = name.partition(":")
    return (rest.capitalize() if kind == "provider" else rest) or name


class Site(models.Model):
    """A set of MX hosts: where mail for all domains that share it is taken."""

    # Sorted lower-case host names joined with commas; a digest where that is too long for an index.
    key = models.CharField(max_length=500, unique=True)
    # [[host, [address, …]], …] in the order in which they are tried.
    hosts: models.JSONField[list[Any], list[Any]] = models.JSONField(default=list)
    tencent = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.key


class ReceivingDomain(models.Model):
    name = models.CharField(_("receiving domain"), max_length=253, unique=True)
    site = models.ForeignKey(Site, null=True, on_delete=models.SET_NULL, related_name="domains")
    limit_group = models.ForeignKey(LimitGroup, on_delete=models.PROTECT, related_name="domains")
    resolved_until = models.DateTimeField(null=True)
    # NXDOMAIN counts only when it is seen again an hour later.
    nxdomain_since = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class Queue(models.Model):
    """One per API user and receiving domain."""

    api_user = models.ForeignKey(ApiUser, on_delete=models.CASCADE, related_name="+")
    receiving_domain = models.ForeignKey(ReceivingDomain, on_delete=models.CASCADE, related_name="+", db_index=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["receiving_domain", "api_user"], name="one_queue_a_user_and_domain")
        ]

    def __str__(self) -> str:
        return f"{self.api_user_id} {self.receiving_domain_id}"


class Waiting(models.Model):
    """A message that is not settled: narrow, unpartitioned, deleted when it settles. The hot path reads nothing else.

    Each state has a partial index that answers its one question, so that rows in other states are never stepped over.
    """

    class State(models.IntegerChoices):
        READY = 0, "ready"  # may be claimed, by (priority, turn)
        LATER = 1, "later"  # put off until `due`, then made ready
        HELD = 2, "held"  # by `held_by`, until that ends
        CLAIMED = 3, "claimed"  # with `claim_token`, until `claim_deadline` and a grace

    class Priority(models.IntegerChoices):
        TRIGGER = 0, "trigger"
        BATCH = 1, "batch"

    message_id = models.BigIntegerField(primary_key=True)
    limit_group = models.ForeignKey(LimitGroup, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    queue = models.ForeignKey(Queue, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    # Null for regular mail.
    task_id = models.BigIntegerField(null=True)
    state = models.SmallIntegerField(choices=State, default=State.READY)
    held_by = models.TextField(choices=HeldBy, blank=True, default="")
    priority = models.SmallIntegerField(choices=Priority)
    # Fairness among tasks: the place in line, counted from where the line stood when the task began.
    turn = models.BigIntegerField(default=0)
    # Attempts that count for the retry schedule, and all that are in the send log: an answer that is not about the
    # message ("too many connections") is logged but not counted.
    attempts = models.SmallIntegerField(default=0)
    logged = models.SmallIntegerField(default=0)
    due = models.DateTimeField()
    # The day for whose quota it was counted when it was first tried; null: for none (services/quota.py).
    reserved_on = models.DateField(null=True)
    # Its credit: reserved, or wanting one, for which it is held. Null: it costs none (services/credits.py).
    credit = models.BooleanField(null=True)
    # End of the retry window, fixed at the first attempt.
    expires_at = models.DateTimeField(null=True)
    # Some server answered at some attempt: at the end of the window that is a soft bounce, else never reached.
    answered = models.BooleanField(default=False)
    claim_token = models.BigIntegerField(null=True)
    claim_deadline = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["limit_group", "priority", "turn", "message_id"],
                name="waiting_ready",
                condition=models.Q(state=0),
            ),
            models.Index(fields=["due"], name="waiting_later", condition=models.Q(state=1)),
            models.Index(fields=["claim_deadline"], name="waiting_claimed", condition=models.Q(state=3)),
            models.Index(fields=["held_by", "task_id", "message_id"], name="waiting_held", condition=models.Q(state=2)),
            models.Index(
                fields=["task_id", "message_id"], name="waiting_of_task", condition=models.Q(task_id__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return str(self.message_id)


class Worker(models.Model):
    """An engine process that is alive: `leased_until` is by the database's clock."""

    token = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=64)
    leased_until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name


class Share(models.Model):
    """A part of 1/`part` of a limit group's limits, leased to one worker (engine/shares.py)."""

    limit_group = models.ForeignKey(LimitGroup, on_delete=models.CASCADE, related_name="shares", db_index=False)
    worker_token = models.BigIntegerField(db_index=True)
    part = models.SmallIntegerField()
    leased_until = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["limit_group", "worker_token"], name="one_share_a_worker")
        ]

    def __str__(self) -> str:
        return f"{self.limit_group_id} 1/{self.part}"


class QueuePause(models.Model):
    """A limit group slowed down or paused, from one sending IP ("": from all)."""

    class Reason(models.TextChoices):
        QUOTA = "quota", _("limited by the receiving domain's quota")
        REPUTATION = "reputation", _("limited by our IP's quota or reputation")
        CONNECTING = "connecting", _("connecting too often")
        RELAY = "relay", _("the relay takes nothing from us now")
        OPERATOR = "operator", _("paused by an operator")

    limit_group = models.ForeignKey(LimitGroup, on_delete=models.CASCADE, related_name="pauses", db_index=False)
    sending_ip = models.CharField(_("sending IP"), max_length=45, blank=True)
    pace = models.FloatField(default=1.0)
    # When the pace began to creep back: the end of the last pause.
    pace_at = models.DateTimeField()
    paused_until = models.DateTimeField(_("next attempt"), null=True)
    since = models.DateTimeField(_("since"))
    reason = models.CharField(_("reason"), max_length=10, choices=Reason)
    # The server's own words.
    said = models.CharField(max_length=500, blank=True)
    paused_by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["limit_group", "sending_ip"], name="one_pause_an_ip")]

    def __str__(self) -> str:
        return f"{self.limit_group_id} {self.reason}"
