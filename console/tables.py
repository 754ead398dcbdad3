"""Tables: django-tables2's columns in the look. A list declares one; its page and its export are drawn from it.

A column's `render` is what the page shows and `value` what an export writes. Rows are a plain list of the page's
objects: the list sorts, counts and cuts in the database (console/lists.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import django_tables2 as tables
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from console import registry
from console.badges import Badge
from console.templatetags.posthorn import DASH, address, badge, bar, cut, num, when

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise


class Column(tables.Column):
    """A column of text. All kinds of columns take these:

    width: "cw-3" … "cw-14" (posthorn.css); "" shares what is left. sort: the field(s) by which the head sorts; None =
    it doesn't. phone: "m-a" first line left, "m-b" first line right, "m-full" a line of its own, "m-hide"; "" = a line
    "label value". wide: shown from 1500 px on only; widest: from 1800. muted: in the quiet colour. title: what hovering
    says.
    export: what an export writes where that is not the accessor's field (console/exporting.py): a field's name, an
    expression, or several, each under a head of its own.
    """

    number = False

    def __init__(
        self,
        verbose_name: StrPromise | str | None = None,
        *,
        width: str = "",
        sort: str | Sequence[str] | None = None,
        phone: str = "",
        wide: bool = False,
        widest: bool = False,
        muted: bool = False,
        export: str | Combinable | Mapping[Any, str | Combinable] | None = None,
        **kwargs: Any,
    ) -> None:
        self.export = export
        self.width, self.phone, self.muted = width, phone, muted
        self.wide, self.widest = wide or widest, widest
        self.sort: tuple[str, ...] = (sort,) if isinstance(sort, str) else tuple(sort or ())
        kwargs.setdefault("default", DASH)
        # The database sorts; the table would sort a page once more, by what the cells hold.
        super().__init__(verbose_name=verbose_name, orderable=False, **kwargs)

    @property
    def _from(self) -> str:
        """The class that says from which width of the window on it is shown."""
        return "p4" if self.wide and self.widest else "p3" if self.wide else ""

    @property
    def th_class(self) -> str:
        return " ".join(filter(None, [self.width, self._from, "ph-num" if self.number else ""]))

    @property
    def td_class(self) -> str:
        parts = [
            self.phone,
            self._from,
            "ph-num" if self.number else "",
            "ph-muted" if self.muted else "",
        ]
        return " ".join(filter(None, parts))

    def render(self, value: Any) -> Any:
        return cut(value)

    def value(self, value: Any) -> Any:
        return value


class MainColumn(Column):
    """What the row is about: its link covers the row. `url`: a page's name (given the record's pk) or a function of
    the record; `sub`: a muted second line, a function of the record."""

    def __init__(
        self,
        *args: Any,
        url: str | Callable[[Any], str],
        sub: Callable[[Any], Any] | None = None,
        strong: bool = True,
        **kwargs: Any,
    ) -> None:
        self.url, self.sub, self.strong = url, sub, strong
        kwargs.setdefault("phone", "m-a")
        super().__init__(*args, **kwargs)

    def render(self, value: Any, record: Any, table: Any) -> SafeString:  # type: ignore[override]
        url = self._url(record, table)
        under = self.sub(record) if self.sub else ""
        return format_html(
            "{}{}",
            format_html(
                '<{} class="{}ph-cut{}"{} title="{}">{}</{}>',
                "a" if url else "span",
                "ph-go " if url else "",
                " ph-strong" if self.strong else "",
                format_html(' href="{}"', url) if url else "",
                value,
                value,
                "a" if url else "span",
            ),
            format_html('<span class="ph-sub ph-cut">{}</span>', under) if under else "",
        )

    def _url(self, record: Any, table: Any) -> str:
        """Where the row leads; "" where this person may not go."""
        if callable(self.url):
            return self.url(record)
        page = registry.pages().get(self.url)
        user = getattr(table.request, "user", None)
        return "" if page and user and not page.allows(user) else reverse(self.url, args=[record.pk])


class StatusColumn(Column):
    """A status as a badge. `badge`: a function of the record; without it the value itself is a Badge."""

    def __init__(self, *args: Any, badge: Callable[[Any], Badge] | None = None, **kwargs: Any) -> None:
        self.badge = badge
        kwargs.setdefault("phone", "m-b")
        super().__init__(*args, **kwargs)

    def render(self, value: Any, record: Any) -> SafeString:  # type: ignore[override]
        return badge(self.badge(record) if self.badge else value)

    def value(self, value: Any, record: Any) -> str:  # type: ignore[override]
        return str(self.badge(record) if self.badge else value)


class AddressColumn(Column):
    """An email address: the domain stays readable. `url`: a function of the record, for a link of its own."""

    def __init__(self, *args: Any, url: Callable[[Any], str] | None = None, main: bool = False, **kwargs: Any) -> None:
        self.url, self.main = url, main
        super().__init__(*args, **kwargs)

    def render(self, value: Any, record: Any) -> SafeString:  # type: ignore[override]
        if self.url is None:
            return address(value)
        cls = "ph-go" if self.main else "text-reset"
        return format_html('<a class="{}" href="{}">{}</a>', cls, self.url(record), address(value))


class TimeColumn(Column):
    """A time in the account's zone, both zones on hover. style: see the tag `when`."""

    def __init__(self, *args: Any, style: str = "seconds", **kwargs: Any) -> None:
        self.style = style
        kwargs.setdefault("width", "cw-7" if style == "seconds" else "cw-6")
        super().__init__(*args, **kwargs)

    def render(self, value: dt.datetime) -> SafeString:
        return when(value, self.style)


class NumberColumn(Column):
    """A number: right-aligned, thousands separated, zeros muted. An id is no number: it has no separators."""

    number = True

    def __init__(self, *args: Any, decimals: int = 0, unit: str = "", **kwargs: Any) -> None:
        self.decimals, self.unit = decimals, unit
        super().__init__(*args, **kwargs)

    def render(self, value: float) -> SafeString:
        cls = "ph-muted" if not value else ""
        return format_html('<span class="{}">{}{}</span>', cls, num(value, self.decimals), self.unit)


class IdColumn(Column):
    """An id, as it is."""

    number = True

    def render(self, value: Any) -> str:
        return str(value)

    def value(self, value: Any) -> str:
        return str(value)


class TagColumn(Column):
    """A label or type in a small frame."""

    def render(self, value: Any) -> SafeString:
        return format_html('<span class="ph-tag">{}</span>', value)


class CodeColumn(Column):
    """The remote server's own words, or anything else verbatim: one line of monospace, whole on hover."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("phone", "m-full")
        super().__init__(*args, **kwargs)

    def render(self, value: Any) -> SafeString:
        return format_html('<span class="ph-cut ph-mono ph-muted" title="{0}">{0}</span>', value)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a ProgressColumn's function gives. `above` stands right of the done count, `under` below the bar."""

    done: int
    whole: int
    above: str = ""
    under: str = ""
    tone: str = ""


class ProgressColumn(Column):
    def __init__(self, *args: Any, progress: Callable[[Any], Progress], **kwargs: Any) -> None:
        self.progress = progress
        kwargs.setdefault("width", "cw-14")
        kwargs.setdefault("phone", "m-full")
        kwargs.setdefault("empty_values", ())
        super().__init__(*args, **kwargs)

    def render(self, record: Any, bound_column: Any) -> SafeString:  # type: ignore[override]
        it = self.progress(record)
        return format_html(
            '<div class="ph-row ph-spread ph-tab ph-small mb-1 flex-nowrap"><span class="ph-nowrap">{}</span>'
            '<span class="ph-muted ph-nowrap">{}</span></div>{}{}',
            num(it.done),
            it.above,
            bar(it.done, it.whole, f"{bound_column.header}: {record}", it.tone),
            format_html('<span class="ph-sub ph-cut" title="{0}">{0}</span>', it.under) if it.under else "",
        )

    def value(self, record: Any) -> str:
        it = self.progress(record)
        return f"{it.done}/{it.whole}"


@dataclass(frozen=True, slots=True)
class RowAction:
    """One thing to do with one row. post: acts at once by POST; else a link (to a page that asks). owner: a person's
    key, who may do it also without the permission."""

    label: StrPromise | str
    url: str
    icon: str = ""
    permission: str = ""
    owner: int | None = None
    danger: bool = False
    post: bool = False


def _offered(action: RowAction, user: Any) -> bool:
    owned = action.owner is not None and action.owner == user.pk
    return owned or not action.permission or user.has_perm(action.permission)


class ActionsColumn(Column):
    """The row's actions: the first as a small button unless `only_menu`, the rest under ⋯; dangerous ones last."""

    def __init__(
        self, actions: Callable[[Any], Sequence[RowAction]], *, only_menu: bool = False, **kwargs: Any
    ) -> None:
        self.actions, self.only_menu = actions, only_menu
        kwargs.setdefault("width", "cw-3" if only_menu else "cw-9")
        kwargs.setdefault("phone", "m-full")
        super().__init__(_("Actions"), accessor="pk", exclude_from_export=True, **kwargs)

    def offered(self, record: Any, user: Any) -> list[RowAction]:
        """What this person may do with the row."""
        return [action for action in self.actions(record) if _offered(action, user)]

    def is_for_others(self, records: Sequence[Any], user: Any) -> bool:
        """Whether all that could be done with these rows is for people with other roles."""
        if any(self.offered(record, user) for record in records):
            return False
        return any(self.actions(record) for record in records)

    def render(self, record: Any, table: Any) -> SafeString:  # type: ignore[override]
        request: HttpRequest = table.request
        actions = self.offered(record, request.user)
        actions.sort(key=lambda action: action.danger)
        split = 0 if self.only_menu or (actions and actions[0].danger and len(actions) > 1) else 1
        return SafeString(
            render_to_string(
                "console/row_actions.html",
                {
                    "buttons": actions[:split],
                    "menu": actions[split:],
                    "record": record,
                    "token": get_token(request),
                    "back": request.get_full_path(),
                },
            )
        )


class Table(tables.Table):
    """Base of every table. `fixed`: columns keep their widths and text is cut. `plain`: stays a table on a phone."""

    fixed = True
    plain = False

    class Meta:
        template_name = "console/table.html"
        orderable = False

    @classmethod
    def sortable(cls) -> dict[str, tuple[str, ...]]:
        """The fields behind each head that sorts, by the column's name."""
        return {name: column.sort for name, column in cls.base_columns.items() if getattr(column, "sort", ())}

    def choose(self, names: Sequence[str]) -> None:
        """Show these columns whatever the screen's width, and hide the others that may be hidden."""
        for name, bound in self.columns.items():
            if name in names:
                bound.column.wide = False
            elif can_be_hidden(bound.column):
                self.columns.hide(name)

    @classmethod
    def headers(cls) -> list[str]:
        return [str(column.verbose_name or name) for name, column in cls.base_columns.items()]


def can_be_hidden(column: Any) -> bool:
    """All but what the row is about, and its actions."""
    return not isinstance(column, MainColumn | ActionsColumn) and not getattr(column, "main", False)
