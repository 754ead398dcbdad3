"""The Blocklist: all four lists together, where an address stands on any; and what people did to them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.badges import Badge
from console.filters import ChoiceFilter, ChoicesFilter, DayFilter, FilterSet, TextFilter
from console.lists import Action, Button, Empty, ListPage
from console.menu import Section
from console.registry import register
from console.tables import Column, MainColumn, NumberColumn, StatusColumn, Table, TimeColumn
from suppression import editing
from suppression.models import Change, Entry
from suppression.pages import entries
from suppression.pages.entries import EntryFilter, EntryTable, ReasonColumn
from suppression.pages.lists import deleted_text


class BlocklistFilter(EntryFilter):
    main = ("address", "list", "api_user", "state")

    list = ChoicesFilter("list", _("List"), choices=Entry.List.choices)


class BlocklistTable(EntryTable):
    on = Column(_("List"), accessor="get_list_display", width="cw-9", phone="m-full")
    created = TimeColumn(_("There since"), accessor="created_at", style="minutes", sort="id")
    reason = ReasonColumn(_("Reason"), empty_values=(), wide=True)
    latest = TimeColumn(_("Latest"), accessor="latest_at", style="minutes", wide=True, phone="m-hide")
    hits = NumberColumn(_("Hits"), width="cw-5", wide=True, phone="m-hide")

    class Meta(Table.Meta):
        sequence = ("address", "on", "state", "created", "expires", "...")


def rows() -> QuerySet[Entry]:
    # All there are: named, so that the indexes that begin with the list answer here, too.
    return entries.rows().filter(list__in=Entry.List.values)


def remove(found: QuerySet[Any], request: HttpRequest) -> str:
    return deleted_text(editing.delete(found, by=entries.of_person(request), now=timezone.now()))


# --- what people did

_BADGES = {
    Change.Action.ADDED: Badge("calm", "plus", Change.Action.ADDED.label),
    Change.Action.DELETED: Badge("calm", "trash", Change.Action.DELETED.label),
    Change.Action.LET_THROUGH: Badge("calm", "player-play", Change.Action.LET_THROUGH.label),
    Change.Action.INTERCEPTED: Badge("calm", "ban", Change.Action.INTERCEPTED.label),
}


class ChangeFilter(FilterSet):
    by = TextFilter("made_by", _("By"), placeholder=_("user name"))
    action = ChoiceFilter("action", _("What"), choices=Change.Action.choices)
    list = ChoiceFilter("list", _("List"), choices=Entry.List.choices)
    since = DayFilter("made_at", _("From"))
    until = DayFilter("made_at", _("Up to"), last=True)


class ChangeTable(Table):
    made = TimeColumn(_("Time"), accessor="made_at", sort="id")
    what = MainColumn(_("Addresses"), url=lambda change: _upload_url(change), strong=False)
    action = StatusColumn(_("What"), badge=lambda change: _BADGES[change.action], accessor="pk", width="cw-11")
    count = NumberColumn(_("Entries"), width="cw-6")
    on = Column(_("List"), accessor="get_list_display", width="cw-9", default=_("Several"))
    by = Column(_("By"), accessor="made_by", width="cw-9")


def _upload_url(change: Change) -> str:
    return reverse("suppression-upload", args=[change.upload_id]) if change.upload_id else ""


register(
    ListPage(
        name="blocklist",
        route="blocklist/",
        title=_("Blocklist"),
        noun=(_("entry"), _("entries")),
        description=_("All four lists together: whether an address may be mailed, and since when not."),
        rows=rows,
        filters=BlocklistFilter,
        table=BlocklistTable,
        permission="suppression.view_entry",
        default_sort="-created",
        section=Section.RESPONSE,
        order=64,
        buttons=(
            Button(label=_("Changes"), page="suppression-changes", icon="history", primary=False),
            Button(
                label=_("Import from another service"),
                page="suppression-import",
                permission="suppression.add_upload",
                icon="file-upload",
                primary=False,
            ),
        ),
        actions=[
            Action(
                name="remove",
                label=_("Remove"),
                permission="suppression.delete_entry",
                run=remove,
                consequence=_("They are taken off their lists, whichever these are, and mailed again."),
                icon="trash",
            )
        ],
        empty=Empty(
            icon="shield-check",
            title=_("Nobody is on a list"),
            text=_(
                "Hard bounces, spam reports and unsubscriptions come here by themselves. Bring what other services "
                "know of your recipients before you send."
            ),
            button=Button(
                label=_("Import from another service"), page="suppression-import", permission="suppression.add_upload"
            ),
        ),
    ),
    ListPage(
        name="suppression-changes",
        route="blocklist/changes/",
        title=_("Changes of the lists"),
        noun=(_("change"), _("changes")),
        description=_("What people put on the lists, took off, or let through, and who did it."),
        rows=Change.objects.all,
        filters=ChangeFilter,
        table=ChangeTable,
        permission="suppression.view_change",
        default_sort="-made",
        parent="blocklist",
        empty=Empty(icon="history", title=_("Nobody has changed a list yet")),
    ),
)
