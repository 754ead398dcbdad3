"""What is counted for the statistics: deltas, appended with what happened, and the sums that they are folded into.

Everything is counted in the quarter-hour of the message's request, whenever it happened: quarter-hours add up to the
days of every time zone.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class _Sums(models.Model):
    """The columns are named in services/columns.py, which says what counts in which."""

    at = models.DateTimeField()

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


class _OfMail(_Sums):
    api_user_id = models.BigIntegerField()
    sender_domain_id = models.BigIntegerField()
    template_id = models.BigIntegerField()
    label = models.TextField()

    class Meta:
        abstract = True


class Delta(_OfMail):
    """What a transaction changed: only ever inserted, and taken away when it is folded. No row is waited for."""

    receiving_domain_id = models.BigIntegerField()

    class Meta:
        verbose_name = "delta"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.label}"


class Statistic(_OfMail):
    """The sums by receiving domain."""

    pk = models.CompositePrimaryKey(
        "receiving_domain_id", "at", "api_user_id", "sender_domain_id", "template_id", "label"
    )
    receiving_domain_id = models.BigIntegerField()

    class Meta:
        verbose_name = "statistic"
        # For recounting a period; pages ask by the primary key.
        indexes: ClassVar = [models.Index(fields=["at"], name="statistic_at")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.label}"


class Total(_OfMail):
    """The same sums over all receiving domains: fewer rows by far, and close together."""

    pk = models.CompositePrimaryKey("at", "api_user_id", "sender_domain_id", "template_id", "label")

    class Meta:
        verbose_name = "total"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.label}"


class Summary(_Sums):
    """The same sums of one value of one dimension: what is asked most is a row for each quarter-hour."""

    class Dimension(models.IntegerChoices):
        ALL = 0, "everything"
        API_USER = 1, "API user"
        SENDER_DOMAIN = 2, "sender domain"
        RECEIVING_DOMAIN = 3, "receiving domain"
        TEMPLATE = 4, "template"
        LABEL = 5, "label"

    pk = models.CompositePrimaryKey("dimension", "key", "at")
    dimension = models.SmallIntegerField(choices=Dimension)
    # An id as text, or the label; of ALL: empty.
    key = models.TextField()

    class Meta:
        verbose_name = "summary"
        indexes: ClassVar = [models.Index(fields=["at"], name="summary_at")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.get_dimension_display()} {self.key}"


class Folded(models.Model):
    """One row: everything that was committed before `at` is in the sums."""

    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}"
