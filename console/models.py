"""Who uses the installation, and who may send through it: the account, its people and its API users."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any, ClassVar

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """A person who signs in. Roles are groups: see console/roles.py."""

    class Theme(models.TextChoices):
        SYSTEM = "", _("As the system")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    theme = models.CharField(_("theme"), max_length=5, choices=Theme, default=Theme.SYSTEM, blank=True)

    @property
    def initials(self) -> str:
        words = (self.get_full_name() or self.username).split()
        return "".join(word[0] for word in words[:2]).upper()


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(
            _("“%(value)s” is no time zone. Write it as Asia/Tokyo or Europe/Berlin."), params={"value": value}
        )


class Account(models.Model):
    """The one account of an installation: row 1."""

    name = models.CharField(_("name"), max_length=100, default="Posthorn")
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[validate_time_zone])
    sending_stopped_at = models.DateTimeField(_("all sending stopped at"), null=True, blank=True, editable=False)
    sending_stopped_by = models.CharField(_("stopped by"), max_length=150, blank=True, editable=False)
    retry_hours = models.PositiveSmallIntegerField(
        _("retry window in hours"),
        default=72,
        validators=[MinValueValidator(1), MaxValueValidator(120)],
        help_text=_("How long mail is tried before it ends as a soft bounce: 1 to 120 hours."),
    )
    track_opens = models.BooleanField(_("track opens"), default=True)
    track_clicks = models.BooleanField(_("track clicks"), default=True)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("account")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def current(cls) -> Account:
        account, _made = cls.objects.get_or_create(pk=1)
        return account

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)

    def stop_sending(self, *, by: str, now: dt.datetime) -> bool:
        """Nothing goes out from now on. False when that was so already: who stopped it first stays named."""
        rows = Account.objects.filter(pk=self.pk, sending_stopped_at=None)
        return bool(rows.update(sending_stopped_at=now, sending_stopped_by=by[:150]))

    def resume_sending(self) -> bool:
        """True when it was stopped: then what was held is to be taken up again."""
        rows = Account.objects.filter(pk=self.pk, sending_stopped_at__isnull=False)
        return bool(rows.update(sending_stopped_at=None, sending_stopped_by=""))


class ApiUser(models.Model):
    """A credential that mail is requested with. The console has one of each type of its own."""

    class Type(models.TextChoices):
        TRIGGER = "trigger", _("Trigger")
        BATCH = "batch", _("Batch")

    name = models.CharField(_("name"), max_length=64, unique=True)
    type = models.CharField(_("type"), max_length=7, choices=Type)
    secret_hash = models.CharField(max_length=128, editable=False, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    reply_to = models.EmailField(_("Reply-To"), blank=True, max_length=320)
    # A name, not a key: this floor knows no domains, and a domain can't be renamed.
    only_domain = models.CharField(
        _("sender domain"), max_length=253, blank=True, help_text=_("Empty: may send from every verified domain.")
    )
    track_opens = models.BooleanField(_("track opens"), default=True)
    track_clicks = models.BooleanField(_("track clicks"), default=True)
    daily_quota = models.PositiveIntegerField(_("daily quota"), null=True, blank=True, help_text=_("Empty: no limit."))
    is_console = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("API user")
        verbose_name_plural = _("API users")
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["type"], condition=models.Q(is_console=True), name="one_console_user_a_type"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def console(cls, type: str) -> ApiUser:
        """The console's own API user of this type."""
        user, _made = cls.objects.get_or_create(type=type, is_console=True, defaults={"name": f"console-{type}"})
        return user

    def may_send_from(self, domain: str) -> bool:
        return self.only_domain in ("", domain)

    def new_secret(self) -> str:
        """Make a secret, keep its hash, and return it: the only time that it can be read."""
        secret = get_random_string(40)
        self.secret_hash = make_password(secret)
        return secret

    def has_secret(self, secret: str) -> bool:
        return check_password(secret, self.secret_hash)


class Node(models.Model):
    """A node number of ids.py and who holds it."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    token = models.CharField(max_length=16, blank=True)
    leased_until = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.number)


class Heartbeat(models.Model):
    """The last sign of life of a running part: the supervisor replaces what falls silent."""

    name = models.CharField(max_length=64, primary_key=True, help_text="part@host:pid, e.g. deliver@mail1:4711")
    part = models.CharField(max_length=16, db_index=True)
    beat_at = models.DateTimeField()
    detail: models.JSONField[Any, Any] = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name
