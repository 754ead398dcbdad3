"""Sender domains, their DKIM keys, and the DNS records that each must publish."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from delivery.return_path import bounce_host


class SenderDomain(models.Model):
    """A domain that mail is sent from. Its name never changes: records, addresses and messages hang on it."""

    name = models.CharField(_("domain"), max_length=253, unique=True)
    verified_at = models.DateTimeField(_("verified"), null=True, blank=True, editable=False)
    # Why a domain that was verified is pending again; shown on its page and the overview.
    problem = models.CharField(_("problem"), max_length=500, blank=True, editable=False)
    # Mail that is not ours runs on it (an MX or SPF of others): a subdomain is the better choice.
    corporate_mail = models.CharField(_("corporate mail"), max_length=300, blank=True, editable=False)
    track_opens = models.BooleanField(_("track opens"), default=True)
    track_clicks = models.BooleanField(_("track clicks"), default=True)
    # The domain's own name for our links, once it leads to us; empty: they carry the installation's.
    tracking_host = models.CharField(_("tracking host"), max_length=253, blank=True, editable=False)
    level = models.PositiveSmallIntegerField(_("warm-up level"), default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True, editable=False)
    next_check_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    # When a record was first seen to be authoritatively gone; a second sight an hour later demotes.
    missing_since = models.DateTimeField(null=True, blank=True, editable=False)
    # DNS is asked every ten minutes until then, hourly after.
    watch_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("sender domain")
        verbose_name_plural = _("sender domains")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def verified(self) -> bool:
        return self.verified_at is not None

    @property
    def bounce_host(self) -> str:
        """Where bounces of this domain go: the host part of its envelope senders."""
        return bounce_host(self.name)


class DkimKey(models.Model):
    """A signing key. The private half is encrypted with DKIM_KEYS (services/dkim_keys.py), never leaves the server."""

    domain = models.ForeignKey(SenderDomain, on_delete=models.CASCADE, related_name="dkim_keys")
    selector = models.CharField(_("selector"), max_length=63)
    public_key = models.TextField(_("public key"), help_text=_("Base64 of the DER form, as the p= tag wants it."))
    private_key = models.BinaryField(editable=False)
    # One signs. While a rotation waits for its record, the new key is published but does not sign yet.
    active = models.BooleanField(_("signs"), default=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["domain", "selector"], name="one_key_a_selector"),
            models.UniqueConstraint(
                fields=["domain"], condition=models.Q(active=True), name="one_signing_key_a_domain"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


class DnsRecord(models.Model):
    """A record to publish, beside what DNS answered when it was last asked."""

    class Purpose(models.TextChoices):
        DKIM = "dkim", _("DKIM")
        BOUNCE_MX = "bounce_mx", _("Bounce host MX")
        BOUNCE_SPF = "bounce_spf", _("Bounce host SPF")
        DMARC = "dmarc", _("DMARC")
        SPF = "spf", _("SPF")
        TRACKING = "tracking", _("Tracking host")

    class State(models.TextChoices):
        UNCHECKED = "unchecked", _("Not checked yet")
        MATCHES = "matches", _("Matches")
        MISSING = "missing", _("Missing")
        DIFFERS = "differs", _("Differs")
        SEVERAL = "several", _("Several records")
        NOT_SET = "not_set", _("Not set")
        NO_ANSWER = "no_answer", _("DNS does not answer")

    domain = models.ForeignKey(SenderDomain, on_delete=models.CASCADE, related_name="records")
    purpose = models.CharField(max_length=12, choices=Purpose)
    type = models.CharField(_("type"), max_length=5)
    host = models.CharField(_("host"), max_length=320)
    expected = models.TextField(_("expected value"))
    current = models.TextField(_("current value"), blank=True)
    state = models.CharField(_("status"), max_length=10, choices=State, default=State.UNCHECKED)
    required = models.BooleanField(_("required"), default=True)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["domain", "purpose", "host"], name="one_record_a_host")
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.host}"
