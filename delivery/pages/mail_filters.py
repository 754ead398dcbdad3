"""What mail is told apart by, on every page that asks: messages themselves, and what is counted of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from console.filters import ChoicesFilter, FilterSet, ModelFilter, TextFilter
from console.models import ApiUser
from delivery.models import ReceivingDomain, SenderAddress, SenderDomain, Template, TemplateVersion

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet


def receiving_domain(text: str) -> QuerySet[ReceivingDomain]:
    """The domain as it was typed: none, or one."""
    return ReceivingDomain.objects.filter(name=text.lower().removeprefix("@"))


def of_types(rows: QuerySet[Any], types: Sequence[str]) -> QuerySet[Any]:
    """Those whose API user is of one of these types; all where none is named."""
    return rows.filter(api_user_id__in=users_of(types)) if types else rows


def users_of(types: Sequence[str]) -> list[int]:
    """The keys of the API users of these types."""
    return list(ApiUser.objects.filter(type__in=types).values_list("pk", flat=True))


def of_template(rows: QuerySet[Any], template: Template) -> QuerySet[Any]:
    """Those of any version of it."""
    return rows.filter(version_id__in=versions_of(template))


def versions_of(template: Template) -> list[int]:
    """Their keys."""
    return list(TemplateVersion.objects.filter(template=template).values_list("pk", flat=True))


def of_sender(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Those from this address, in each spelling there is: comparing without regard to case would cost three times as
    much a row."""
    prefix, _at, domain = text.rpartition("@")
    known = SenderAddress.objects.filter(prefix__iexact=prefix, domain__name=domain.lower()).select_related("domain")
    return rows.filter(sender__in={text, text.lower(), *(one.address for one in known)})


class MailFilter(FilterSet):
    """Of rows with `sender_domain_id`, `receiving_domain_id`, `api_user_id`, `label` and, but for by_template,
    `version_id`. By the keys alone: they point at rows that may be gone."""

    sender_domain = ModelFilter(
        "sender_domain", _("Sender domain"), queryset=SenderDomain.objects.order_by("name"), method="by_key"
    )
    receiving_domain = TextFilter(
        "receiving_domain", _("Receiving domain"), placeholder="gmail.com", method="by_receiving_domain"
    )
    api_user = ModelFilter("api_user", _("API user"), queryset=ApiUser.objects.order_by("name"), method="by_key")
    type = ChoicesFilter("type", _("Email type"), choices=ApiUser.Type.choices, method="by_type")
    label = TextFilter("label", _("Label"), lookup_expr="exact", max_length=64)
    template = ModelFilter("template", _("Template"), queryset=Template.objects.order_by("name"), method="by_template")

    def by_key(self, queryset: QuerySet[Any], name: str, chosen: Model) -> QuerySet[Any]:
        return queryset.filter(**{f"{name}_id": chosen.pk})

    def by_receiving_domain(self, queryset: QuerySet[Any], name: str, text: str) -> QuerySet[Any]:
        found = receiving_domain(text).values_list("pk", flat=True).first()
        return queryset.none() if found is None else queryset.filter(receiving_domain_id=found)

    def by_type(self, queryset: QuerySet[Any], name: str, types: list[str]) -> QuerySet[Any]:
        return of_types(queryset, types)

    def by_template(self, queryset: QuerySet[Any], name: str, template: Template) -> QuerySet[Any]:
        return of_template(queryset, template)
