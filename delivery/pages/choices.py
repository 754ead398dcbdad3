"""What can be chosen to send with: templates, sender addresses and groups, each with what one must know of it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Func, IntegerField, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.templatetags.posthorn import num
from delivery.models import RecipientGroup, SenderAddress, Template


class TemplateChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        names = ", ".join(obj.current.variables) if obj.current else ""
        facts = [obj.get_type_display(), _("version %s") % obj.current.number if obj.current else "", names]
        return f"{obj.pk} {obj.name} ({' · '.join(filter(None, facts))})"


class AddressChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        name = f"{obj.sender_name} <{obj.address}>" if obj.sender_name else obj.address
        return name if obj.domain.verified else _("%(name)s, pending verification") % {"name": name}


class GroupChoice(forms.ModelChoiceField):
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
