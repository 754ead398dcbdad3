"""What can be chosen to send with: templates, sender addresses and groups, each with what one must know of it."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.db.models import Func, IntegerField, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.templatetags.posthorn import num
from delivery.models import RecipientGroup, SenderAddress, Template
from delivery.services.texts import SUBJECT_LENGTH


class SubjectField(forms.CharField):
    """The subject of mail that is to be sent."""

    default_error_messages: ClassVar = {"required": gettext_lazy("Enter a subject.")}

    def __init__(self) -> None:
        super().__init__(
            label=gettext_lazy("Subject"),
            max_length=SUBJECT_LENGTH,
            help_text=gettext_lazy("May hold variables, as {{first_name}}. 256 characters at most."),
        )


class TemplateChoice(forms.ModelChoiceField):
    default_error_messages: ClassVar = {"required": gettext_lazy("Choose a template.")}

    def label_from_instance(self, obj: Any) -> str:
        names = ", ".join(obj.current.variables) if obj.current else ""
        facts = [obj.get_type_display(), _("version %s") % obj.current.number if obj.current else "", names]
        return f"{obj.pk} {obj.name} ({' · '.join(filter(None, facts))})"


class AddressChoice(forms.ModelChoiceField):
    default_error_messages: ClassVar = {"required": gettext_lazy("Choose the address that it is sent from.")}

    def label_from_instance(self, obj: Any) -> str:
        name = f"{obj.sender_name} <{obj.address}>" if obj.sender_name else obj.address
        return name if obj.domain.verified else _("%(name)s, pending verification") % {"name": name}


class GroupChoice(forms.ModelChoiceField):
    default_error_messages: ClassVar = {"required": gettext_lazy("Choose who gets it.")}

    def label_from_instance(self, obj: Any) -> str:
        count = ngettext("%(n)s recipient", "%(n)s recipients", obj.size) % {"n": num(obj.size)}
        return f"{obj.name} ({count})"


def templates(*, most_variables: int | None = None) -> QuerySet[Template]:
    """Templates that can be sent, newest first; with at most this many variables."""
    found = Template.objects.filter(deleted_at=None, current__isnull=False).select_related("current")
    if most_variables is not None:
        length = Func("current__variables", function="jsonb_array_length", output_field=IntegerField())
        found = found.alias(holes=length).filter(holes__lte=most_variables)
    return found


def addresses() -> QuerySet[SenderAddress]:
    return SenderAddress.objects.select_related("domain").order_by("domain__name", "prefix")


def groups() -> QuerySet[RecipientGroup]:
    return RecipientGroup.objects.order_by("-id")


def lacks(form: forms.Form, **words: str) -> list[tuple[str, str]]:
    """What must be made before the form can be sent, as nothing can be chosen: (page, words). `words`: by field."""
    needed = (
        ("sender_address", "addresses", _("a sender address")),
        ("template", "templates", _("an email template")),
        ("group", "groups", _("a recipient group")),
    )
    return [
        (page, words.get(name, usual))
        for name, page, usual in needed
        if isinstance(field := form.fields.get(name), forms.ModelChoiceField)
        and field.queryset is not None
        and not field.queryset.exists()
    ]
