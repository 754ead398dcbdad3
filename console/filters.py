"""Filters of a list: django-filter's FilterSet, drawn in the look. Each is written once: page, chips, bulk, export."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import django_filters
from django import forms
from django.core.validators import MaxValueValidator
from django.db.models import Model, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.badges import Badge
from console.ids import MAX_ID

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

    Label = StrPromise | str

# Names of a list's own parameters: no filter may be called so.
RESERVED = frozenset(
    {"from", "to", "page", "after", "before", "size", "sort", "id", "all", "step", "count", "cols", "live"}
    | {"csrfmiddlewaretoken"}
)


class FilterSet(django_filters.FilterSet):
    """Base of every list's filters. `main`: the four or five that are always visible; the rest stands under
    "More filters". Without `main` all are visible."""

    main: ClassVar[tuple[str, ...]] = ()
    # Chosen elsewhere on the page; the form carries them on.
    hidden: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def always_visible(cls) -> tuple[str, ...]:
        return cls.main or tuple(cls.base_filters)


class TextFilter(django_filters.CharFilter):
    """What was typed, trimmed. `lookup_expr`: "iexact" unless given ("istartswith", "icontains", "exact")."""

    def __init__(
        self, field_name: str, label: Label, *, placeholder: Label = "", lookup_expr: str = "iexact", **kw: Any
    ):
        attrs = {"placeholder": placeholder} if placeholder else {}
        widget = forms.TextInput(attrs={"autocomplete": "off", **attrs})
        kw.setdefault("max_length", 320)
        super().__init__(field_name=field_name, label=label, lookup_expr=lookup_expr, widget=widget, **kw)


class IdFilter(django_filters.NumberFilter):
    """An id typed by hand."""

    field_class = forms.IntegerField

    def __init__(self, field_name: str, label: Label, **kw: Any):
        widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
        super().__init__(field_name=field_name, label=label, widget=widget, min_value=0, max_value=MAX_ID, **kw)

    def get_max_validator(self) -> MaxValueValidator | None:
        return None


class ChoiceFilter(django_filters.ChoiceFilter):
    """One of several, or Any."""

    def __init__(self, field_name: str, label: Label, *, choices: Any, **kw: Any):
        super().__init__(field_name=field_name, label=label, choices=choices, empty_label=_("Any"), **kw)


class ChoicesFilter(django_filters.MultipleChoiceFilter):
    """Any of several, ticked in a menu. `badges`: how each value is drawn."""

    def __init__(
        self, field_name: str, label: Label, *, choices: Any, badges: Mapping[str, Badge] | None = None, **kw: Any
    ):
        self.badges = badges or {}
        kw.setdefault("widget", forms.CheckboxSelectMultiple)
        # A field of the row's own makes no row come twice.
        kw.setdefault("distinct", False)
        super().__init__(field_name=field_name, label=label, choices=choices, **kw)


class ModelFilter(django_filters.ModelChoiceFilter):
    """One row of another table, or Any. Give a `queryset` (or a function of the request)."""

    def __init__(self, field_name: str, label: Label, *, queryset: Any, **kw: Any):
        super().__init__(field_name=field_name, label=label, queryset=queryset, empty_label=_("Any"), **kw)


class YesNoFilter(django_filters.ChoiceFilter):
    """Yes, no, or Any."""

    def __init__(self, field_name: str, label: Label, *, yes: Label = "", no: Label = "", **kw: Any):
        super().__init__(
            field_name=field_name,
            label=label,
            choices=[("yes", yes or _("Yes")), ("no", no or _("No"))],
            empty_label=_("Any"),
            **kw,
        )

    def filter(self, qs: QuerySet[Model], value: str) -> QuerySet[Model]:
        return super().filter(qs, value == "yes") if value in ("yes", "no") else qs


class DayField(forms.DateField):
    """A day as YYYY-MM-DD, between 2000 and 2088."""

    default_error_messages: ClassVar = {"invalid": _("Enter a day as YYYY-MM-DD.")}

    def __init__(self, **kw: Any):
        kw.setdefault(
            "widget", forms.TextInput(attrs={"placeholder": "YYYY-MM-DD", "autocomplete": "off", "class": "ph-tab"})
        )
        super().__init__(input_formats=["%Y-%m-%d"], **kw)

    def to_python(self, value: Any) -> dt.date | None:
        day = super().to_python(value)
        if day is not None and not 2000 <= day.year <= 2088:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return day


class DayFilter(django_filters.Filter):
    """Times from a day of the account's zone on; with `last`, up to and with that day."""

    field_class = DayField

    def __init__(self, field_name: str, label: Label, *, last: bool = False, **kw: Any):
        self.last = last
        super().__init__(field_name=field_name, label=label, **kw)

    def filter(self, qs: QuerySet[Model], value: dt.date | None) -> QuerySet[Model]:
        if value is None:
            return qs
        day = value + dt.timedelta(days=1) if self.last else value
        moment = dt.datetime.combine(day, dt.time(), tzinfo=timezone.get_current_timezone())
        return qs.filter(**{f"{self.field_name}__{'lt' if self.last else 'gte'}": moment})


def shown_value(bound: forms.BoundField, value: Any) -> list[tuple[str, str]]:
    """A filter in force, as chips: (parameter's value, what a person reads), one for each value chosen."""
    if value in (None, "", [], ()):
        return []
    if isinstance(bound.field, forms.ModelChoiceField):
        return [(str(value.pk), str(value))]
    choices: Iterable[Any] = getattr(bound.field, "choices", ())
    words = {str(key): str(word) for key, word in choices} if choices else {}
    values = value if isinstance(value, list | tuple | set) else [value]
    return [(str(one), words.get(str(one), _text(one))) for one in values]


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else str(value)
