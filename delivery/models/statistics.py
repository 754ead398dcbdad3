"""What is counted for the statistics: deltas, appended with what happened, and the sums that they are folded into.

Everything is counted in the quarter-hour of the message's request, whenever it happened: quarter-hours add up to the
days of every time zone.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

LABEL_LENGTH = 64


class _Columns(models.Model):
    """The columns are named in services/columns.py, which says what counts in which."""

    at = models.DateTimeField()
    api_user_id = models.BigIntegerField()
    sender_domain_id = models.BigIntegerField()
    receiving_domain_id = models.BigIntegerField()
    template_id = models.BigIntegerField()
    label = models.TextField()

    requested = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    paid = models.IntegerField(default=0)
    invalid = models.IntegerField(default=0)
    spam = models.IntegerField(default=0)
    other = models.IntegerField(default=0)
    delivered = models.IntegerField(default=0)

    opens = models.IntegerField(default=0)
    unique_opens = models.IntegerField(default=0)
    automatic_opens = models.IntegerField(default=0)
    clicks = models.IntegerField(default=0)
    unique_clicks = models.IntegerField(default=0)
    automatic_clicks = models.IntegerField(default=0)
    unsubscriptions = models.IntegerField(default=0)
    complaints = models.IntegerField(default=0)

    class Meta:
        abstract = True


class Delta(_Columns):
    """What a transaction changed: only ever inserted, and taken away when it is folded. No row is waited for."""

    class Meta:
        verbose_name = "delta"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.label}"


class Statistic(_Columns):
    """The sums. Each stands here twice: by receiving domain, and over all of them (`receiving_domain_id` 0), which is
    what most pages ask for and fewer rows by far. Whoever sums says which of the two is meant."""

    pk = models.CompositePrimaryKey(
        "receiving_domain_id", "at", "api_user_id", "sender_domain_id", "template_id", "label"
    )

    class Meta:
        verbose_name = "statistic"
        # For recounting a period; pages ask by the primary key.
        indexes: ClassVar = [models.Index(fields=["at"], name="statistic_at")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.label}"


class Folded(models.Model):
    """One row: everything that was committed before `at` is in the sums."""

    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}"
