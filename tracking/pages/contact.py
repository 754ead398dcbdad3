"""Contact: one address's whole history, what keeps mail from it, and the way to take that away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console import list_views
from console.badges import Badge
from console.filters import FilterSet, TextFilter
from console.lists import ListPage
from console.registry import Page, register
from console.tables import CodeColumn, Column, MainColumn, TagColumn, TimeColumn
from console.views import Hit, confirm, count_text, search_handler
from delivery.models import Message
from delivery.pages.email_status import MessageStatusColumn, Table, annotated, url_of_message
from suppression import editing
from suppression.address import Address, MalformedAddress, parse
from suppression.models import Entry
from suppression.pages.entries import IN_FORCE, REASONS, state
from tracking import contacts
from tracking.timeline import entry_of

# What an address is on none of is said as well; the order in which one is told why mail is stopped.
LISTS = list(Entry.List)


class ContactFilter(FilterSet):
    """The address stands in the URL and is asked for by the page's own form."""

    hidden = ("address",)

    address = TextFilter("recipient", gettext_lazy("Address"), method="by_address")

    def by_address(self, rows: QuerySet[Message], name: str, text: str) -> QuerySet[Message]:
        return contacts.only(rows, parse(text))


class ContactTable(Table):
    status = MessageStatusColumn(gettext_lazy("Status"), accessor="pk", width="cw-13", phone="m-b")
    subject = MainColumn(
        gettext_lazy("Subject"), url=lambda record: url_of_message(record.pk), phone="m-full", strong=False
    )
    requested = TimeColumn(gettext_lazy("Requested"), accessor="requested_at", sort="id", phone="m-a")
    api_user = Column(gettext_lazy("API user"), accessor="api_user_name", width="cw-9", muted=True, phone="m-hide")
    label = TagColumn(gettext_lazy("Label"), width="cw-6", wide=True, phone="m-hide")
    sent = TimeColumn(gettext_lazy("Sent"), accessor="sent_at", phone="m-hide", wide=True)
    last_reply = CodeColumn(gettext_lazy("Last reply"))


@dataclass(frozen=True, slots=True)
class Stop:
    """An entry as the page shows it; None: the address is not on this list."""

    list: str
    badge: Badge
    entry: Entry | None = None
    reason: str = ""
    subject: str | None = None
    in_force: bool = False


class AddressForm(forms.Form):
    """Asks whose page is wanted."""

    undone = ""

    address = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=400,
        widget=forms.TextInput(attrs={"placeholder": "ann@example.com", "autocomplete": "off", "inputmode": "email"}),
        error_messages={"required": gettext_lazy("Enter a whole address, like ann@example.com.")},
    )

    def clean_address(self) -> Address:
        try:
            return parse(self.cleaned_data["address"])
        except MalformedAddress as error:
            raise forms.ValidationError(error.reason) from None


def url_of(address: str) -> str:
    """The page of an address."""
    return f"{reverse('contact')}?{urlencode({'address': address})}"


def contact(request: HttpRequest) -> HttpResponse:
    """Without an address: asks for one. Else the list of its messages, with everything else around it."""
    form = AddressForm(request.GET if "address" in request.GET else None)
    if not form.is_valid():
        return render(request, "tracking/contact_find.html", {"form": form})
    return list_views.list_page(request, page=HISTORY)


def _around(request: HttpRequest) -> dict[str, Any]:
    """What the page shows beside the list: seven statements, however much there is."""
    address = parse(request.GET["address"])
    entries = contacts.entries_of(address)
    newest = list(contacts.newest(address, contacts.MAX_MESSAGES).values_list("pk", flat=True))
    happened = contacts.events_of(newest)
    sources = [entry.message_id for entry in entries if entry.message_id is not None]
    subjects = contacts.subjects([*sources, *(event.message_id for event in happened)])
    stops = [_stop(entry, subjects) for entry in entries]
    standing = [stop for stop in stops if stop.in_force]
    missing = [_none(name) for name in LISTS if name not in {stop.list for stop in stops}]
    return {
        "address": address.canonical,
        "url_address": urlencode({"address": address.canonical}),
        "stops": sorted([*stops, *missing], key=lambda stop: LISTS.index(Entry.List(stop.list))),
        "standing": standing,
        "on": len({stop.list for stop in standing}),
        "removable": [entry for entry in entries if not entry.is_domain],
        "complaints": contacts.complaints_of(newest),
        "figures": contacts.figures_of(address),
        "events": [(entry_of(event), event.message_id, subjects.get(event.message_id, "")) for event in happened],
        "events_cut": len(happened) >= contacts.MAX_EVENTS or len(newest) >= contacts.MAX_MESSAGES,
        "crumbs": [(_("Email status"), reverse("messages")), (_("contact"), "")],
    }


def _stop(entry: Entry, subjects: dict[int, str]) -> Stop:
    label = Entry.List(entry.list).label
    stands = state(entry)
    badge = Badge("bad", "ban", label) if stands is IN_FORCE else Badge(stands.tone, stands.icon, label, stands.word)
    subject = subjects.get(entry.message_id) if entry.message_id is not None else None
    return Stop(entry.list, badge, entry, _reason(entry), subject, stands is IN_FORCE)


def _none(name: str) -> Stop:
    return Stop(name, Badge("calm", "check", Entry.List(name).label))


def _reason(entry: Entry) -> str:
    """As the lists say it."""
    return str(REASONS.get(entry.reason, entry.reason)) if entry.list == Entry.List.UNSUBSCRIPTION else entry.reason


def unblock(request: HttpRequest) -> HttpResponse:
    """Asks, naming what is taken away; acts by POST on what was shown, and on nothing that came since."""
    data = request.POST if request.method == "POST" else request.GET
    form = AddressForm(data)
    if not form.is_valid():
        return redirect("contact")
    address: Address = form.cleaned_data["address"]
    entries = Entry.objects.filter(key=address.key).select_related("api_user").order_by("list", "pk")
    if request.method == "POST":
        shown = [int(text) for text in request.POST.getlist("entry") if text.isdecimal() and len(text) < 19]
        with transaction.atomic():
            count = editing.delete(entries.filter(pk__in=shown), by=request.user, now=timezone.now())  # type: ignore[arg-type]
        if count:
            said = ngettext(
                "%(address)s is taken off: %(count)s entry deleted.",
                "%(address)s is taken off: %(count)s entries deleted.",
                count,
            )
            messages.success(request, said % {"address": address.canonical, "count": count_text(count)})
        else:
            messages.info(request, _("It was on none of the lists any more. Nothing was done."))
        return redirect(url_of(address.canonical))
    found = list(entries[: contacts.MAX_ENTRIES])
    if not found:
        messages.info(request, _("%s is on no list that it could be taken off.") % address.canonical)
        return redirect(url_of(address.canonical))
    lists = {entry.list for entry in found}
    return confirm(
        request,
        title=_("Unblock %s?") % address.canonical,
        button=_("Unblock"),
        cancel=url_of(address.canonical),
        template="tracking/unblock.html",
        extra={
            "address": address.canonical,
            "entries": [(entry, Entry.List(entry.list).label, _reason(entry)) for entry in found],
            "asked": Entry.List.UNSUBSCRIPTION in lists or Entry.List.SPAM_REPORT in lists,
            "bounced": Entry.List.BOUNCE in lists,
            "domain_blocked": Entry.objects.filter(key=f"@{address.domain}").exists(),
            "domain": address.domain,
        },
        crumbs=[(_("Email status"), reverse("messages")), (_("contact"), url_of(address.canonical))],
    )


@search_handler
def find(text: str, request: HttpRequest) -> list[Hit]:
    """A whole address leads to its page, whether or not it was ever mailed."""
    try:
        address = parse(text) if "@" in text and request.user.has_perm("delivery.view_message") else None
    except MalformedAddress:
        return []
    return [Hit(_("Contact"), address.canonical, url_of(address.canonical))] if address else []


HISTORY = ListPage(
    name="contact",
    route="contact/",
    title=gettext_lazy("Contact"),
    noun=(gettext_lazy("message"), gettext_lazy("messages")),
    rows=lambda: annotated(Message.objects.all()),
    filters=ContactFilter,
    table=ContactTable,
    permission="delivery.view_message",
    default_sort="-requested",
    parent="messages",
    template="tracking/contact.html",
    context=_around,
)

register(
    # Not the list itself: a list is the same for everybody, and this one is nothing before an address is given.
    Page(
        name="contact",
        route="contact/",
        view=contact,
        title=gettext_lazy("Contact"),
        permission="delivery.view_message",
        parent="messages",
        methods=("GET", "HEAD"),
    ),
    Page(
        name="contact-unblock",
        route="contact/unblock/",
        view=unblock,
        title=gettext_lazy("Unblock"),
        permission="suppression.delete_entry",
        parent="messages",
    ),
)
