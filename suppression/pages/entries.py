"""What the pages of the four lists, and of all together, have in common: filters, table, what can be done."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from console.badges import Badge
from console.filters import ChoiceFilter, DayFilter, FilterSet, ModelFilter, TextFilter
from console.models import ApiUser
from console.tables import DASH, AddressColumn, CodeColumn, Column, NumberColumn, StatusColumn, Table, TimeColumn
from console.views import page_url
from suppression import address
from suppression.models import Entry, UnsubscribeReason

IN_FORCE = Badge("calm", "ban", _("In force"))
LET_THROUGH = Badge("warn", "player-play", _("Not intercepted"), title=_("Mail to it goes out"))
EXPIRED = Badge("calm", "clock", _("Expired"))
STATES = {"in_force": IN_FORCE, "let_through": LET_THROUGH, "expired": EXPIRED}


def state(entry: Entry) -> Badge:
    """As it is at this moment."""
    if entry.is_over(timezone.now()):
        return EXPIRED
    return IN_FORCE if entry.intercepted else LET_THROUGH


_STATE_CHOICES = [(key, badge.word) for key, badge in STATES.items()]


class EntryFilter(FilterSet):
    """Entries are kept by Address.key, so a whole address is found however it is typed."""

    main = ("address", "domain", "api_user", "state")

    address = TextFilter("key", _("Address"), placeholder=_("whole or first part"), method="by_address")
    domain = TextFilter("domain", _("Receiving domain"), placeholder="example.com", method="by_domain")
    api_user = ModelFilter("api_user", _("API user"), queryset=ApiUser.objects.all(), method="by_api_user")
    state = ChoiceFilter(
        "state", _("State"), choices=[(key, one.word) for key, one in STATES.items()], method="by_state"
    )
    since = DayFilter("latest_at", _("Latest from"))
    until = DayFilter("latest_at", _("Latest up to"), last=True)

    def by_address(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        """A whole address finds its domain as well, where that is blocked."""
        try:
            found = address.parse(value)
        except address.MalformedAddress:
            first = value.strip().lower()
            return rows.filter(Q(key__startswith=first) | Q(key__startswith=f"@{first.removeprefix('@')}"))
        return rows.filter(key__in=[found.key, f"@{found.domain}"])

    def by_domain(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        try:
            domain = address.parse(f"x@{value.strip().removeprefix('@')}").domain
        except address.MalformedAddress:
            return rows.none()
        return rows.filter(domain=domain)

    def by_api_user(self, rows: QuerySet[Entry], name: str, value: ApiUser) -> QuerySet[Entry]:
        """What holds for it alone, and what its mail brought about."""
        return rows.filter(Q(api_user=value) | Q(origin=value))

    def by_state(self, rows: QuerySet[Entry], name: str, value: str) -> QuerySet[Entry]:
        over = Q(expires_at__lte=timezone.now())
        if value == "expired":
            return rows.filter(over)
        # Not ~over: of what never ends that would be unknown.
        return rows.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), intercepted=value == "in_force")


def _contact(entry: Entry) -> str:
    """The page of the address, which the floor above has."""
    return f"{page_url('contact')}?{urlencode({'address': entry.key})}"


class KeyColumn(AddressColumn):
    """An address, or a domain that is blocked as a whole."""

    def render(self, value: str, record: Entry) -> SafeString:  # type: ignore[override]
        if not record.is_domain:
            return super().render(value, record)
        return format_html(
            '<span class="ph-row flex-nowrap"><span class="ph-cut" title="{0}">{0}</span>'
            '<span class="ph-tag">{1}</span></span>',
            str(record),
            _("whole domain"),
        )

    def value(self, value: str, record: Entry) -> str:  # type: ignore[override]
        return str(record)


class ForColumn(Column):
    """The API user that an entry holds for, or whose mail brought it about."""

    def render(self, record: Entry) -> Any:
        return super().render(self.value(record))

    def value(self, record: Entry) -> str:
        found = record.api_user or record.origin
        return str(found) if found else str(_("All"))


class ReasonColumn(CodeColumn):
    """What a server or a report said, verbatim; an operator's words; or one of the reasons of the unsubscribe page."""

    def render(self, value: str, record: Entry) -> Any:  # type: ignore[override]
        text = self.value(value, record)
        if not text:
            return DASH
        verbatim = record.list in (Entry.List.BOUNCE, Entry.List.SPAM_REPORT)
        return super().render(text) if verbatim else Column.render(self, text)

    def value(self, value: str, record: Entry) -> str:  # type: ignore[override]
        return str(REASONS.get(value, value)) if record.list == Entry.List.UNSUBSCRIPTION else value


REASONS = {"": _("Not given"), **dict(UnsubscribeReason.choices)}


class EntryTable(Table):
    address = KeyColumn(_("Address"), accessor="key", phone="m-a", main=True, url=_contact)
    state = StatusColumn(_("State"), accessor="pk", badge=state, width="cw-9")
    domain = Column(_("Receiving domain"), muted=True, widest=True, phone="m-hide", width="cw-9")
    api_user = ForColumn(_("API user"), accessor="pk", width="cw-7")
    reason = ReasonColumn(_("Reason"), empty_values=())
    created = TimeColumn(_("Created"), accessor="created_at", style="minutes", widest=True, phone="m-hide")
    latest = TimeColumn(_("Latest"), accessor="latest_at", style="minutes", sort=("latest_at", "id"))
    expires = TimeColumn(_("Expires"), accessor="expires_at", style="minutes", default=_("Never"))
    hits = NumberColumn(_("Hits"), width="cw-5", phone="m-hide")
    by = Column(_("Changed by"), accessor="changed_by", muted=True, widest=True, phone="m-hide", width="cw-7")


def rows() -> QuerySet[Entry]:
    return Entry.objects.select_related("api_user", "origin", "changed_by")


def of_person(request: HttpRequest) -> Any:
    """Who did it, for what is written down."""
    return request.user
