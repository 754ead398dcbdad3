"""A list over API users with everything that a list can have: what the kit's own tests look at. A URL conf."""

from __future__ import annotations

from typing import Any

from console import urls
from console.badges import Badge
from console.filters import ChoiceFilter, ChoicesFilter, FilterSet, IdFilter, TextFilter, YesNoFilter
from console.lists import Action, Button, Empty, ListPage
from console.models import ApiUser
from console.tables import (
    ActionsColumn,
    AddressColumn,
    MainColumn,
    NumberColumn,
    RowAction,
    StatusColumn,
    Table,
    TagColumn,
    TimeColumn,
)

ON, OFF = Badge("ok", "check", "Enabled"), Badge("bad", "x", "Disabled", "by hand")


class DemoFilter(FilterSet):
    main = ("name", "type", "enabled")
    name = TextFilter("name", "Name", lookup_expr="istartswith", placeholder="whole or first part")
    type = ChoicesFilter("type", "Type", choices=ApiUser.Type.choices, badges={"batch": Badge("ok", "check", "Batch")})
    enabled = YesNoFilter("enabled", "Enabled")
    quota = IdFilter("daily_quota", "Daily quota")
    only_domain = ChoiceFilter("only_domain", "Sender domain", choices=[("a.example", "a.example")])


class DemoTable(Table):
    status = StatusColumn("Status", badge=lambda user: ON if user.enabled else OFF, accessor="enabled", width="cw-11")
    name = MainColumn("Name", url=lambda user: f"/?{user.pk}", sub=lambda user: user.get_type_display(), sort="name")
    reply_to = AddressColumn("Reply-To")
    type = TagColumn("Type", width="cw-6")
    quota = NumberColumn("Daily quota", accessor="daily_quota", width="cw-6", sort="daily_quota", wide=True)
    created = TimeColumn("Created", accessor="created_at", sort="created_at")
    actions = ActionsColumn(
        lambda user: [
            RowAction("Pause", "/theme/", icon="player-pause", post=True),
            RowAction("Edit", "/"),
            RowAction("Delete…", "/", danger=True, permission="console.delete_apiuser"),
        ]
    )


def delete(rows: Any, request: Any) -> str:
    return f"Deleted {rows.delete()[1]['console.ApiUser']}."


DEMO = ListPage(
    name="demo",
    route="demo/",
    title="Demonstration",
    description="One row for each credential.",
    rows=lambda window: window.limit(ApiUser.objects.all(), "created_at"),
    window="Created",
    filters=DemoFilter,
    table=DemoTable,
    permission="console.view_apiuser",
    noun=("API user", "API users"),
    default_sort="-created",
    actions=[
        Action(
            name="delete",
            label="Delete",
            permission="console.delete_apiuser",
            run=delete,
            consequence="What they hold is refused from now on.",
            icon="trash",
        )
    ],
    empty=Empty(
        title="No API user yet",
        text="Mail is requested with one.",
        icon="key",
        button=Button(label="Create API user", page="home"),
    ),
    create=Button(label="Create API user", page="home", permission="console.add_apiuser"),
    refresh=5,
)

urlpatterns = [*urls.urlpatterns, *(page.url() for page in DEMO)]
handler500 = urls.handler500
