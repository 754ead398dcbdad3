"""The suppression lists, in one table: which list an entry is on is one of its columns."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from console.models import ApiUser


class UnsubscribeReason(models.TextChoices):
    """What the unsubscribe page asks. Empty: not given, as by one click."""

    NOT_WANTED = "not_wanted", _("I don't want to receive such mail any more")
    NOT_MINE = "not_mine", _("This is not my subscription")
    SPAM = "spam", _("This is spam")
    FRAUD = "fraud", _("This is a fraudulent email and I want to report it")


class Entry(models.Model):
    """One address (or, on the block list, domain) that must not be mailed."""

    class List(models.TextChoices):
        SPAM_REPORT = "spam_report", _("Spam reports")
        BLOCK = "block", _("Block list")
        BOUNCE = "bounce", _("Bounced")
        UNSUBSCRIPTION = "unsubscription", _("Unsubscriptions")

    list = models.CharField(_("list"), max_length=14, choices=List)
    # Address.key: the canonical address in lower case. A domain of the block list stands as "@domain".
    key = models.CharField(_("address"), max_length=321)
    # What stands behind the @ of the key, for filters and counts.
    domain = models.GeneratedField(
        expression=models.Func(models.F("key"), models.Value("@"), models.Value(2), function="split_part"),
        output_field=models.CharField(max_length=253),
        db_persist=True,
        verbose_name=_("receiving domain"),
    )
    # Null: holds for every API user.
    api_user = models.ForeignKey(
        ApiUser, null=True, blank=True, on_delete=models.CASCADE, related_name="+", verbose_name=_("API user")
    )
    created_at = models.DateTimeField(_("created"))
    latest_at = models.DateTimeField(_("latest"))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    # Of an unsubscription an UnsubscribeReason; else words.
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    # How often it was put here: of the bounce list the n of suppression/expiry.py.
    hits = models.PositiveIntegerField(_("hits"), default=1)
    # Bounce list only: an operator may let mail through and still keep the entry.
    intercepted = models.BooleanField(_("intercepted"), default=True, db_default=True)
    # The message that put it here last, where one did; messages may be gone before it.
    message_id = models.BigIntegerField(null=True, blank=True)
    # Who added or changed it by hand.
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = _("suppression entry")
        verbose_name_plural = _("suppression entries")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key", "list", "api_user"], name="one_entry_a_key", nulls_distinct=False)
        ]
        indexes: ClassVar = [
            models.Index(fields=["list", "latest_at"], name="entry_latest"),
            models.Index(fields=["list", "domain", "latest_at"], name="entry_domain"),
        ]

    def __str__(self) -> str:
        return self.key
