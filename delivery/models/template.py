"""Email templates and their versions. A message keeps the version that it was sent with."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.languages import DEFAULT_LANGUAGE, LANGUAGES
from delivery import templating


class Template(models.Model):
    class Type(models.TextChoices):
        HTML = "html", _("HTML")
        TEXT = "text", _("Plain text")

    name = models.CharField(_("name"), max_length=100, unique=True)
    type = models.CharField(_("type"), max_length=4, choices=Type, default=Type.HTML)
    summary = models.CharField(
        _("summary"), max_length=200, blank=True, help_text=_("The preview text that inboxes show after the subject.")
    )
    # Of the line to unsubscribe that batch mail gets whose body has no such link.
    language = models.CharField(
        _("language"),
        max_length=7,
        choices=list(LANGUAGES.items()),
        default=DEFAULT_LANGUAGE,
        db_default=DEFAULT_LANGUAGE,
    )
    current = models.ForeignKey(
        "TemplateVersion",
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("version"),
    )
    # A template that mail was sent with is put away, not deleted: its versions show what was sent.
    deleted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("email template")
        verbose_name_plural = _("email templates")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def usable(self) -> TemplateVersion | None:
        """The version that mail is made of; None where there is no body yet, or the template was put away."""
        return self.current if self.deleted_at is None else None


class TemplateVersion(models.Model):
    """What was typed or uploaded, and what is sent: CSS inlined, the text alternative made. Never changed once made."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    type = models.CharField(max_length=4, choices=Template.Type)
    summary = models.CharField(max_length=200, blank=True)
    language = models.CharField(
        max_length=7, choices=list(LANGUAGES.items()), default=DEFAULT_LANGUAGE, db_default=DEFAULT_LANGUAGE
    )
    source = models.TextField(_("body"))
    html = models.TextField(blank=True)
    text = models.TextField()
    variables: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    made_by = models.CharField(_("made by"), max_length=150, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["template", "number"], name="one_version_a_number")]

    def __str__(self) -> str:
        return f"{self.template} v{self.number}"

    def compiled(self, *, batch: bool) -> templating.Compiled:
        """Ready to be filled. In batch mail whose body has no link to unsubscribe, one in the template's language."""
        with translation.override(self.language):
            words = gettext("Unsubscribe")
        return templating.compile(self.html or None, self.text, batch=batch, unsubscribe=words, language=self.language)
