"""What an export of a list holds: the columns of its table, those that the page shows and those that it has room for
only on a wide screen.

Where each column is a field or an expression, PostgreSQL writes the cells and COPY streams them. Where one is worked
out in Python, all are: such lists are short.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from django.core.exceptions import FieldError
from django.db import models
from django.db.models import Case, F, Func, QuerySet, TextField, Value, When
from django.utils.translation import gettext as _

from console.files.lines import FORMULA, defused
from console.lists import Listing
from console.tables import ActionsColumn, Column, IdColumn, NumberColumn
from console.templatetags.posthorn import DASH

CHUNK = 1000

Kind = Literal["text", "number"]


@dataclass(frozen=True, slots=True)
class Content:
    """`heads` and `kinds` of the columns. `query`: a queryset of one text a column, or None: then `rows` makes them.
    Ids are text: 19 digits are more than a spreadsheet's numbers hold."""

    heads: list[str]
    kinds: list[Kind]
    listing: Listing
    query: QuerySet[Any, tuple[str | None, ...]] | None

    def sql(self) -> tuple[str, tuple[Any, ...]]:
        """The statement and its parameters."""
        assert self.query is not None
        sql, params = self.query.query.sql_with_params()
        return sql, tuple(params)

    def rows(self) -> Iterator[list[str]]:
        """Where there is no query: a chunk of objects at a time."""
        objects = self.listing.ordered().iterator(chunk_size=CHUNK)
        columns = _columns(self.listing)
        while chunk := list(islice(objects, CHUNK)):
            for row in self.listing.page.table(chunk).rows:
                yield [_text(row.get_cell_value(name)) for name, _column in columns]


def content(listing: Listing) -> Content:
    """What an export of this listing holds, in its order. The listing must be valid."""
    columns = [
        (head, _kind(column), source)
        for name, column in _columns(listing)
        for head, source in _sources(name, column).items()
    ]
    if all(source is not None for _head, _kind_, source in columns):
        made = _in_sql(listing, columns)
        if made is not None:
            return made
    heads = [str(column.verbose_name or name) for name, column in _columns(listing)]
    return Content(heads, [_kind(column) for _name, column in _columns(listing)], listing, None)


def _columns(listing: Listing) -> list[tuple[str, Column]]:
    table = listing.page.table
    return [(name, column) for name, column in table.base_columns.items() if not isinstance(column, ActionsColumn)]


def _kind(column: Column) -> Kind:
    return "number" if isinstance(column, NumberColumn) else "text"


def _sources(name: str, column: Column) -> dict[str, Any]:
    """Head → field, expression, or None where only Python can tell."""
    head = str(column.verbose_name or name)
    if isinstance(column.export, Mapping):
        return {str(each): source for each, source in column.export.items()}
    if column.export is not None:
        return {head: column.export}
    plain = type(column).value in (Column.value, IdColumn.value)
    return {head: str(column.accessor or name).replace(".", "__") if plain else None}


def _in_sql(listing: Listing, columns: Sequence[tuple[str, Kind, Any]]) -> Content | None:
    """None where a source is no field of the rows, or there would be more columns."""
    sources = {f"s{n}": F(one) if isinstance(one, str) else one for n, (_head, _kind_, one) in enumerate(columns)}
    try:
        typed = listing.ordered().annotate(**sources)
        fields = [typed.query.annotations[name].output_field for name in sources]
    except (FieldError, AttributeError):
        return None
    # Of distinct rows Django selects what they are sorted by as well.
    if typed.query.distinct or any(isinstance(field, models.ForeignKey) for field in fields):
        return None
    heads: list[str] = []
    kinds: list[Kind] = []
    cells: dict[str, Any] = {}
    for number, ((head, kind, _source), field) in enumerate(zip(columns, fields, strict=True)):
        source = F(f"s{number}")
        made: list[tuple[str, Kind, Any]]
        if isinstance(field, models.DateTimeField):
            made = [(_("%s (UTC)") % head, "text", _sql(_UTC, source))]
            if listing.page.window:
                # To be joined with other systems' logs.
                made.append((_("%s (ms)") % head, "number", _sql(_STAMP, source)))
        else:
            made = [(head, kind, _cell(f"s{number}", field))]
        for each, kind_, cell in made:
            cells[f"c{len(cells)}"] = cell
            heads.append(each)
            kinds.append(kind_)
    return Content(heads, kinds, listing, typed.annotate(**cells).values_list(*cells))


_UTC = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')"
# Cut off as _UTC is: rounded, the two would name different milliseconds.
_STAMP = "trunc(extract(epoch FROM %(expressions)s) * 1000)::bigint::text"
_TEXT = "(%(expressions)s)::text"
# \& is the character that was found.
_DEFUSED = f"regexp_replace(%(expressions)s, '{FORMULA}', '''\\&')"
_NUMBERS = (models.IntegerField, models.FloatField, models.DecimalField)


def _sql(template: str, *sources: Any) -> Func:
    return Func(*sources, template=template, output_field=TextField())


def _cell(name: str, field: models.Field[Any, Any]) -> Any:
    if isinstance(field, models.GenericIPAddressField):
        return _sql("host(%(expressions)s)", F(name))
    if isinstance(field, models.BooleanField):
        return Case(When(**{name: True}, then=Value(_("yes"))), default=Value(_("no")), output_field=TextField())
    text = _sql(_TEXT, F(name))
    return text if isinstance(field, _NUMBERS) else _sql(_DEFUSED, text)


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
    if value is None or value == DASH:
        return ""
    return str(value) if isinstance(value, int | float) else str(defused(str(value)))
