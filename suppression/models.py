"""The suppression lists, in one table: which list an entry is on is one of its columns. And what people did to them."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from console.models import ApiUser
from suppression import columns

_Rows = list[list[Any]]


def _no_rows() -> _Rows:
    return []


class UnsubscribeReason(models.TextChoices):
    """What the unsubscribe page asks. Empty: not given, as by one click."""

    NOT_WANTED = "not_wanted", _("I don't want to receive such mail any more")
    NOT_MINE = "not_mine", _("This is not my subscription")
    SPAM = "spam", _("This is spam")
    FRAUD = "fraud", _("This is a fraudulent email and I want to report it")


class Entry(models.Model):
    """One address (or, on the block list, domain) that must not be mailed."""

    class List(models.TextChoices):
        SPAM_REPORT = columns.SPAM_REPORT, _("Spam reports")
        BLOCK = columns.BLOCK, _("Custom blocks")
        BOUNCE = columns.BOUNCE, _("Bounced")
        UNSUBSCRIPTION = columns.UNSUBSCRIPTION, _("Unsubscriptions")

    list = models.CharField(_("list"), max_length=14, choices=List)
    # Address.key: the canonical address in lower case. A domain of the block list stands as "@domain". Compared byte
    # by byte, so that the index of the key answers whole addresses and their first parts alike.
    key = models.CharField(_("address"), max_length=321, db_collation="C")
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
    # Whose mail put it here last, where it holds for all. No constraint: it outlives the API user.
    origin = models.ForeignKey(
        ApiUser,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("came from"),
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
            # With the id, as the pages sort: an upload puts thousands there at one moment.
            models.Index(fields=["list", "latest_at", "id"], name="entry_by_latest"),
            models.Index(fields=["list", "domain", "latest_at", "id"], name="entry_by_domain"),
        ]

    def __str__(self) -> str:
        return self.key.removeprefix("@")

    @property
    def is_domain(self) -> bool:
        return self.key.startswith("@")

    def is_over(self, now: dt.datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Upload(models.Model):
    """A file, or typed lines, put on a list; or a file of another service whose columns are still to be confirmed."""

    # Empty: the rows say which list, each its own.
    list = models.CharField(_("list"), max_length=14, choices=Entry.List, blank=True)
    filename = models.CharField(_("file"), max_length=255, blank=True)
    # Kept until its columns are confirmed.
    content = models.BinaryField(null=True)
    encoding = models.CharField(_("encoding"), max_length=20, blank=True)
    total = models.PositiveIntegerField(_("total"), default=0)
    added = models.PositiveIntegerField(_("added"), default=0)
    repeated = models.PositiveIntegerField(_("there already"), default=0)
    left_out = models.PositiveIntegerField(_("left out"), default=0)
    malformed = models.PositiveIntegerField(_("malformed"), default=0)
    # [line, value, reason] of malformed rows, the first 10,000.
    errors: models.JSONField[_Rows, _Rows] = models.JSONField(default=_no_rows)
    made_by = models.CharField(_("by"), max_length=150, blank=True)
    made_at = models.DateTimeField(_("made"))

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.filename or str(self.get_list_display())


class Change(models.Model):
    """What a person did to the lists. Kept when the entries are gone."""

    class Action(models.TextChoices):
        ADDED = "added", _("Added")
        DELETED = "deleted", _("Deleted")
        LET_THROUGH = "let_through", _("Set to not intercepted")
        INTERCEPTED = "intercepted", _("Set to intercepted")

    action = models.CharField(_("action"), max_length=11, choices=Action)
    # Empty: several lists.
    list = models.CharField(_("list"), max_length=14, choices=Entry.List, blank=True)
    count = models.PositiveIntegerField(_("entries"))
    # The first of the addresses, and how many more.
    what = models.CharField(_("what"), max_length=1000)
    upload = models.ForeignKey(Upload, null=True, on_delete=models.SET_NULL, related_name="+")
    made_by = models.CharField(_("by"), max_length=150)
    made_at = models.DateTimeField(_("made"))

    class Meta:
        verbose_name = _("change of the suppression lists")
        verbose_name_plural = _("changes of the suppression lists")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.what}"
