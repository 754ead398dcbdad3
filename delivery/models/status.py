"""The names of what can become of a message and a task, and which may follow which. No tables here.

Every screen, export, API and callback uses these names.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    HELD = "held", _("Held")
    SENDING = "sending", _("Sending")
    SENT = "sent", _("Sent")
    DELIVERED = "delivered", _("Delivered")
    SOFT_BOUNCE = "soft_bounce", _("Soft bounce")
    INVALID = "invalid", _("Invalid")
    CONTROL_GROUP = "control_group", _("Control group")
    CANCELLED = "cancelled", _("Cancelled")


OPEN = frozenset({Status.HELD, Status.SENDING})
FINAL = frozenset(Status) - OPEN
# The receiver has it, or a relay that has not said more.
TAKEN = frozenset({Status.DELIVERED, Status.SENT})
FAILED = frozenset({Status.SOFT_BOUNCE, Status.INVALID})

# What a request may make, and what may follow. Everything else is refused and logged.
FIRST = frozenset({Status.HELD, Status.SENDING, Status.CONTROL_GROUP, Status.INVALID})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.HELD: frozenset({Status.SENDING, Status.INVALID, Status.CANCELLED}),
    Status.SENDING: frozenset(
        {Status.HELD, Status.DELIVERED, Status.SENT, Status.SOFT_BOUNCE, Status.INVALID, Status.CANCELLED}
    ),
    Status.SENT: frozenset({Status.DELIVERED, Status.SOFT_BOUNCE}),
    Status.DELIVERED: frozenset({Status.SOFT_BOUNCE}),
    Status.SOFT_BOUNCE: frozenset(),
    Status.INVALID: frozenset(),
    Status.CONTROL_GROUP: frozenset(),
    Status.CANCELLED: frozenset(),
}


def may_become(old: Status, new: Status) -> bool:
    return new in TRANSITIONS[old]


def sources(new: Status) -> list[str]:
    """The statuses from which `new` may be reached: what an UPDATE must ask for."""
    return sorted(old.value for old, following in TRANSITIONS.items() if new in following)


class Reason(models.TextChoices):
    """Why a message ended as soft_bounce (six of them) or invalid (all)."""

    BLACKLIST = "blacklist", _("blacklist")
    UNSUBSCRIBE = "unsubscribe", _("unsubscribe")
    SERVER_ERROR = "server_error", _("server error")
    FORMAT_ERROR = "format_error", _("format error")
    NOT_EXIST = "not_exist", _("not exist")
    IP_OR_DOMAIN = "ip_or_domain", _("IP or domain")
    SPAM = "spam", _("spam")
    REJECTED = "rejected", _("rejected")
    OTHER = "other", _("other")


# The address is at fault.
OF_ADDRESSES = frozenset({Reason.NOT_EXIST, Reason.FORMAT_ERROR})
_OF_SOFT_BOUNCES = frozenset(
    {Reason.SERVER_ERROR, Reason.IP_OR_DOMAIN, Reason.NOT_EXIST, Reason.SPAM, Reason.REJECTED, Reason.OTHER}
)


def soft_reason(found: str) -> Reason:
    """Which of the six a soft bounce shows: what else a server or a bounce mail may say is `other`."""
    return Reason(found) if found in _OF_SOFT_BOUNCES else Reason.OTHER


class HeldBy(models.TextChoices):
    """Why nothing may be tried now."""

    CREDITS = "credits", _("credits used up")
    API_USER = "api_user", _("API user disabled")
    ACCOUNT = "account", _("sending stopped for the account")
    QUOTA = "quota", _("daily quota reached")
    DOMAIN_BLOCKED = "domain_blocked", _("domain blocked for today")
    DOMAIN_UNVERIFIED = "domain_unverified", _("domain not verified")
    TASK_PAUSED = "task_paused", _("task paused")
    WINDOW = "window", _("outside the send window")


class TaskStatus(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    SENDING = "sending", _("Sending")
    PAUSED = "paused", _("Paused")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")
    FAILED = "failed", _("Failed")


TASK_UNDER_WAY = (TaskStatus.WAITING, TaskStatus.SENDING, TaskStatus.PAUSED)
TASK_MAY_BE_PAUSED = (TaskStatus.WAITING, TaskStatus.SENDING)
# Begun, and rows may still be made.
TASK_BEGUN = (TaskStatus.SENDING, TaskStatus.PAUSED)
# Mail may go: of failed and stopped tasks what was begun goes its way.
TASK_MAIL_GOES = (TaskStatus.SENDING, TaskStatus.STOPPED, TaskStatus.FAILED)


class PauseCause(models.TextChoices):
    """Who or what paused a task: only that, or an operator, ends the pause."""

    OPERATOR = "operator", _("by an operator")
    QUOTA = "quota", HeldBy.QUOTA.label
    CREDITS = "credits", HeldBy.CREDITS.label
    DOMAIN = "domain", _("sender domain blocked or not verified")
    ACCOUNT = "account", HeldBy.ACCOUNT.label
