"""The four lists: who stands on each, and taking entries off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy, ngettext

from console.lists import Action, Button, Empty, ListPage
from console.menu import Section
from console.registry import Page, register
from console.tables import ActionsColumn, RowAction
from console.views import back, count_text
from suppression import editing
from suppression.models import Entry
from suppression.pages import entries
from suppression.pages.entries import EntryFilter, EntryTable, ForColumn, ReasonColumn

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

ADD_ADDRESSES = gettext_lazy("Add addresses")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One list as its pages show it. `name`: of its page; `follows`: what comes of deleting an entry."""

    list: Entry.List
    name: str
    route: str
    order: int
    noun: tuple[StrPromise, StrPromise]
    description: StrPromise
    follows: StrPromise
    empty: Empty
    add: StrPromise = ADD_ADDRESSES
    table: type[EntryTable] = EntryTable
    actions: tuple[Action, ...] = ()

    @property
    def title(self) -> str:
        return str(self.list.label)

    @property
    def add_page(self) -> str:
        return f"{self.name}-add"

    def rows(self) -> QuerySet[Entry]:
        return entries.rows().filter(list=self.list)

    def url(self) -> str:
        return reverse(self.name)


def _delete(kind: Entry.List) -> Callable[[QuerySet[Any], HttpRequest], str]:
    def run(rows: QuerySet[Any], request: HttpRequest) -> str:
        count = editing.delete(rows, by=entries.of_person(request), now=timezone.now(), name=kind)
        return deleted_text(count)

    return run


def deleted_text(count: int) -> str:
    return ngettext("%(n)s entry is deleted.", "%(n)s entries are deleted.", count) % {"n": count_text(count)}


# --- bounced: an entry may be kept and yet not stop mail


def _intercept(rows: QuerySet[Any], request: HttpRequest, on: bool) -> str:
    count = editing.intercept(rows, on, by=entries.of_person(request), now=timezone.now(), name=Entry.List.BOUNCE)
    said = (
        ngettext("Mail to %(n)s address is intercepted.", "Mail to %(n)s addresses is intercepted.", count)
        if on
        else ngettext("Mail to %(n)s address goes out again.", "Mail to %(n)s addresses goes out again.", count)
    )
    return said % {"n": count_text(count)}


def intercept_on(rows: QuerySet[Any], request: HttpRequest) -> str:
    return _intercept(rows, request, True)


def intercept_off(rows: QuerySet[Any], request: HttpRequest) -> str:
    return _intercept(rows, request, False)


def turn(request: HttpRequest, pk: int) -> HttpResponse:
    """One entry the other way, from its row."""
    with transaction.atomic():
        entry = get_object_or_404(Entry, pk=pk, list=Entry.List.BOUNCE)
        messages.success(request, _intercept(Entry.objects.filter(pk=pk), request, not entry.intercepted))
    return back(request, "bounced")


def _row_actions(entry: Entry) -> list[RowAction]:
    if entry.is_over(timezone.now()):
        return []
    label = gettext_lazy("Let through") if entry.intercepted else gettext_lazy("Intercept")
    url = reverse("bounced-turn", args=[entry.pk])
    icon = "player-play" if entry.intercepted else "ban"
    return [RowAction(label, url, icon=icon, permission="suppression.change_entry", post=True)]


class ReportTable(EntryTable):
    """What a report says of itself is one word."""

    reason = ReasonColumn(gettext_lazy("Reason"), empty_values=(), width="cw-9")


class BouncedTable(ReportTable):
    """A bounce holds for all API users: whose mail it was can wait for a wide screen, the address can't."""

    api_user = ForColumn(gettext_lazy("API user"), accessor="pk", width="cw-7", wide=True, phone="m-hide")
    actions = ActionsColumn(_row_actions)


SPAM_REPORTS = Kind(
    list=Entry.List.SPAM_REPORT,
    name="spam-reports",
    route="spam-reports/",
    order=40,
    noun=(gettext_lazy("spam report"), gettext_lazy("spam reports")),
    description=gettext_lazy(
        "Who reported our mail as spam gets none of any API user for 180 days after the latest report."
    ),
    follows=gettext_lazy("These people are mailed again. Whoever reports twice costs more reputation than they bring."),
    table=ReportTable,
    empty=Empty(
        icon="shield-x",
        title=gettext_lazy("Nobody has reported spam"),
        text=gettext_lazy(
            "Reports of feedback loops, and of the unsubscribe page, put people here for 180 days by themselves."
        ),
    ),
)
BOUNCED = Kind(
    list=Entry.List.BOUNCE,
    name="bounced",
    route="bounced/",
    order=50,
    noun=(gettext_lazy("bounced address"), gettext_lazy("bounced addresses")),
    description=gettext_lazy(
        "Addresses that do not exist, left alone for 30, 60, then 180 days; Tencent's mailboxes for 1, 2, 4 … 30 days."
    ),
    follows=gettext_lazy("These addresses are mailed again, and their hard bounces are counted anew."),
    table=BouncedTable,
    actions=(
        Action(
            name="let-through",
            label=gettext_lazy("Let through"),
            permission="suppression.change_entry",
            run=intercept_off,
            consequence=gettext_lazy("Mail to them goes out, and the entries stay on the list."),
            danger=False,
            icon="player-play",
            all_matching=False,
        ),
        Action(
            name="intercept",
            label=gettext_lazy("Intercept"),
            permission="suppression.change_entry",
            run=intercept_on,
            consequence=gettext_lazy("Mail to them is stopped again until the entries expire."),
            danger=False,
            icon="ban",
            all_matching=False,
        ),
    ),
    empty=Empty(
        icon="mail-x",
        title=gettext_lazy("No address has bounced"),
        text=gettext_lazy("Whoever does not exist, as the receiving server says, stands here by itself."),
    ),
)
UNSUBSCRIPTIONS = Kind(
    list=Entry.List.UNSUBSCRIPTION,
    name="unsubscriptions",
    route="unsubscriptions/",
    order=60,
    noun=(gettext_lazy("unsubscription"), gettext_lazy("unsubscriptions")),
    description=gettext_lazy("Addresses that get no more mail of the API user whose mail they unsubscribed from."),
    follows=gettext_lazy("These addresses are mailed again. Do this only when their owners have asked for it."),
    empty=Empty(
        icon="user",
        title=gettext_lazy("Nobody has unsubscribed yet"),
        text=gettext_lazy(
            "Whoever uses the unsubscribe link of a mail stands here, and gets no more mail of that API user."
        ),
    ),
)
BLOCKS = Kind(
    list=Entry.List.BLOCK,
    name="blocks",
    route="blocks/",
    order=62,
    noun=(gettext_lazy("block"), gettext_lazy("blocks")),
    description=gettext_lazy("Addresses and whole domains that you do not want to mail, for one API user or for all."),
    follows=gettext_lazy("These addresses and domains are mailed again."),
    add=gettext_lazy("Add blocks"),
    empty=Empty(
        icon="ban",
        title=gettext_lazy("Nothing is blocked"),
        text=gettext_lazy("Add addresses or whole domains that must not be mailed, typed or from a file."),
        button=Button(label=gettext_lazy("Add blocks"), page="blocks-add", permission="suppression.add_entry"),
    ),
)
KINDS = (SPAM_REPORTS, BOUNCED, UNSUBSCRIPTIONS, BLOCKS)


def kind_of(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.list == name)


def _page(kind: Kind) -> ListPage:
    return ListPage(
        name=kind.name,
        route=kind.route,
        title=kind.list.label,
        noun=kind.noun,
        description=kind.description,
        rows=kind.rows,
        filters=EntryFilter,
        table=kind.table,
        permission="suppression.view_entry",
        default_sort="-latest",
        section=Section.RESPONSE,
        order=kind.order,
        create=Button(label=kind.add, page=kind.add_page, permission="suppression.add_entry"),
        # Where what came back is counted: tracking has such a page of each list that mail feeds.
        buttons=[Button(label=gettext_lazy("Counts"), page=f"{kind.name}-counts", icon="chart-bar")],
        actions=[
            *kind.actions,
            Action(
                name="delete",
                label=gettext_lazy("Delete"),
                permission="suppression.delete_entry",
                run=_delete(kind.list),
                consequence=kind.follows,
                icon="trash",
            ),
        ],
        empty=kind.empty,
    )


register(
    *map(_page, KINDS),
    Page(
        name="bounced-turn",
        route="bounced/<int:pk>/turn/",
        view=turn,
        title=gettext_lazy("Let through or intercept"),
        permission="suppression.change_entry",
        parent="bounced",
        methods=("POST",),
    ),
)
