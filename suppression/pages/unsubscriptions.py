"""Unsubscriptions: who is mailed no more by which API user."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from console.filters import FilterSet, ModelFilter, TextFilter
from console.lists import Action, Empty, ListPage
from console.menu import Section
from console.models import ApiUser
from console.registry import register
from console.tables import AddressColumn, Column, NumberColumn, Table, TimeColumn
from console.views import count_text
from suppression import address
from suppression.models import Entry


class EntryFilter(FilterSet):
    """Entries are kept by Address.key, so a whole address is found however it is typed."""

    address = TextFilter("key", _("Address"), placeholder=_("whole or first part"), method="by_address")
    api_user = ModelFilter("api_user", _("API user"), queryset=ApiUser.objects.all())

    def by_address(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        try:
            return rows.filter(key=address.parse(value).key)
        except address.MalformedAddress:
            return rows.filter(key__startswith=value.strip().lower())


class EntryTable(Table):
    address = AddressColumn(_("Address"), accessor="key", sort="key", phone="m-a")
    domain = Column(_("Receiving domain"), muted=True, wide=True)
    api_user = Column(_("API user"), width="cw-11")
    created = TimeColumn(_("Created"), accessor="created_at", sort=("created_at", "id"))
    latest = TimeColumn(_("Latest"), accessor="latest_at", sort=("latest_at", "id"))
    reason = Column(_("Reason"), default=_("Not given"), width="cw-14")
    hits = NumberColumn(_("Hits"), sort=("hits", "id"), width="cw-5")


def entries() -> QuerySet[Any]:
    return Entry.objects.filter(list=Entry.List.UNSUBSCRIPTION).select_related("api_user")


def delete(rows: QuerySet[Any], request: HttpRequest) -> str:
    """Take these addresses off the list: they are mailed again."""
    count, _by_model = rows.delete()
    return ngettext("%(n)s unsubscription deleted.", "%(n)s unsubscriptions deleted.", count) % {"n": count_text(count)}


register(
    ListPage(
        name="unsubscriptions",
        route="unsubscriptions/",
        title=_("Unsubscriptions"),
        noun=(_("unsubscription"), _("unsubscriptions")),
        description=_("Addresses that get no more mail of the API user whose mail they unsubscribed from."),
        rows=entries,
        filters=EntryFilter,
        table=EntryTable,
        permission="suppression.view_entry",
        default_sort="-latest",
        section=Section.RESPONSE,
        order=60,
        actions=[
            Action(
                name="delete",
                label=_("Delete"),
                permission="suppression.delete_entry",
                run=delete,
                consequence=_("These addresses are mailed again. Do this only when their owners have asked for it."),
                icon="trash",
            )
        ],
        empty=Empty(
            icon="user",
            title=_("Nobody has unsubscribed yet"),
            text=_("Whoever uses the unsubscribe link of a mail stands here, and gets no more mail of that API user."),
        ),
    )
)
