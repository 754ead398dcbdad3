"""Sender addresses, with a preview of what an inbox shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.filters import FilterSet, ModelFilter, TextFilter
from console.lists import Button, Empty, ListPage
from console.menu import Section
from console.registry import Page, register
from console.tables import ActionsColumn, Column, MainColumn, RowAction, StatusColumn, Table, TimeColumn
from console.views import confirm
from delivery.models import SenderAddress, SenderDomain
from delivery.models.address import ADDRESSES_PER_DOMAIN
from delivery.pages.domains import domain_badge
from delivery.services import addresses


class AddressFilter(FilterSet):
    prefix = TextFilter("prefix", gettext_lazy("Prefix"), lookup_expr="istartswith")
    sender_name = TextFilter("sender_name", gettext_lazy("Sender name"), lookup_expr="icontains")
    domain = ModelFilter("domain", gettext_lazy("Domain"), queryset=lambda request: SenderDomain.objects.all())


class AddressTable(Table):
    address = MainColumn(
        gettext_lazy("Address"), url="address", sub=lambda address: address.sender_name, sort=("domain__name", "prefix")
    )
    domain = Column(
        gettext_lazy("Domain"), accessor="domain__name", sort="domain__name", muted=True, phone="m-hide", wide=True
    )
    status = StatusColumn(
        gettext_lazy("Status"),
        badge=lambda address: domain_badge(address.domain),
        accessor="pk",
        width="cw-14",
    )
    created = TimeColumn(gettext_lazy("Created"), accessor="created_at", style="minutes", sort="created_at")
    actions = ActionsColumn(
        lambda address: [
            RowAction(
                gettext_lazy("Edit"),
                reverse("address", args=[address.pk]),
                icon="pencil",
                permission="delivery.change_senderaddress",
            ),
            RowAction(
                gettext_lazy("Delete…"),
                reverse("address-delete", args=[address.pk]),
                icon="trash",
                permission="delivery.delete_senderaddress",
                danger=True,
            ),
        ]
    )


class AddressForm(forms.Form):
    domain = forms.ModelChoiceField(
        label=gettext_lazy("Domain"),
        queryset=SenderDomain.objects.order_by("name"),
        empty_label=None,
        help_text=gettext_lazy("Sending needs a verified one; a pending one can be prepared."),
    )
    prefix = forms.CharField(  # type: ignore[assignment]  # a form's own prefix stays None: fields are no attributes
        label=gettext_lazy("Prefix"),
        max_length=64,
        widget=forms.TextInput(attrs={"placeholder": "news", "autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy("The part before the @."),
        error_messages={"required": addresses.NO_PREFIX},
    )
    sender_name = forms.CharField(
        label=gettext_lazy("Sender name"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("What recipients read first; {{variables}} may stand in it. Empty: the address."),
    )


_CREATE = Button(
    label=gettext_lazy("Create sender address"), page="address-new", permission="delivery.add_senderaddress"
)


def _preview(data: Mapping[str, Any]) -> dict[str, Any]:
    """What an inbox shows of what has been typed so far."""
    text = str(data.get("domain") or "")
    domain = SenderDomain.objects.filter(pk=int(text)).first() if text.isdecimal() and len(text) < 18 else None
    prefix = " ".join(str(data.get("prefix") or "").split())[:64]
    name = " ".join(str(data.get("sender_name") or "").split())[:100]
    # The name of a domain alone also has a place in the preview before a prefix is typed.
    address = f"{prefix or 'prefix'}@{domain.name if domain else 'example.com'}"
    return {"name": name, "address": address, "initial": (name or address)[:1].upper(), "now": timezone.now()}


def preview(request: HttpRequest) -> HttpResponse:
    """The preview alone, asked by htmx while one types."""
    return render(request, "delivery/address_preview.html", {"preview": _preview(request.GET)})


def _form_page(request: HttpRequest, form: AddressForm, address: SenderAddress | None, status: int) -> HttpResponse:
    shown = form.data if form.is_bound else form.initial
    context = {
        "form": form,
        "address": address,
        "title": _("Edit %(address)s") % {"address": address} if address else _("Create sender address"),
        "submit": _("Save") if address else _("Create"),
        "cancel": reverse("addresses"),
        "crumbs": [(_("Sender addresses"), reverse("addresses"))],
        "preview": _preview(shown),
        "most": ADDRESSES_PER_DOMAIN,
        "no_domain": not SenderDomain.objects.exists(),
    }
    return render(request, "delivery/address.html", context, status=status)


def _edit(request: HttpRequest, address: SenderAddress | None, initial: dict[str, Any]) -> HttpResponse:
    if request.method != "POST":
        return _form_page(request, AddressForm(initial=initial), address, 200)
    form = AddressForm(request.POST)
    if "preview" in request.POST:
        # Without scripts the preview is asked for by a button; nothing is checked or saved.
        data = {name: request.POST.get(name, "") for name in form.fields}
        return _form_page(request, AddressForm(initial=data), address, 200)
    if form.is_valid():
        try:
            saved = addresses.save_address(address=address, **form.cleaned_data)
        except addresses.AddressRefused as refused:
            form.add_error(refused.field or None, str(refused))
        else:
            messages.success(request, _("%(address)s is saved.") % {"address": saved})
            return redirect("addresses")
    return _form_page(request, form, address, 422)


def new(request: HttpRequest) -> HttpResponse:
    wanted = request.GET.get("domain", "")
    first = SenderDomain.objects.order_by("name").first()
    initial = {"domain": wanted if wanted.isdecimal() else first.pk if first else ""}
    return _edit(request, None, initial)


def edit(request: HttpRequest, pk: int) -> HttpResponse:
    address = get_object_or_404(SenderAddress.objects.select_related("domain"), pk=pk)
    initial = {"domain": address.domain_id, "prefix": address.prefix, "sender_name": address.sender_name}
    return _edit(request, address, initial)


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    address = get_object_or_404(SenderAddress.objects.select_related("domain"), pk=pk)
    if request.method == "POST":
        try:
            addresses.delete_address(address)
        except addresses.AddressRefused as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("%(address)s is deleted.") % {"address": address.address})
        return redirect("addresses")
    consequences = [
        _("It can't be chosen for new mail any more."),
        _("Mail that was sent from it stays on the status pages."),
    ]
    if why := addresses.in_use(address):
        consequences.insert(0, why)
    return confirm(
        request,
        title=_("Delete %(address)s?") % {"address": address.address},
        button=_("Delete address"),
        cancel="addresses",
        consequences=consequences,
        crumbs=[(_("Sender addresses"), reverse("addresses"))],
    )


register(
    ListPage(
        name="addresses",
        route="addresses/",
        title=gettext_lazy("Sender addresses"),
        noun=(gettext_lazy("address"), gettext_lazy("addresses")),
        rows=lambda: SenderAddress.objects.select_related("domain"),
        filters=AddressFilter,
        table=AddressTable,
        permission="delivery.view_senderaddress",
        order_by=("domain__name", "prefix"),
        default_sort="address",
        section=Section.CONFIGURATION,
        order=20,
        create=_CREATE,
        empty=Empty(
            icon="mail",
            title=gettext_lazy("No sender address yet"),
            text=gettext_lazy("What recipients see as the sender: a name, and an address at one of your domains."),
            button=_CREATE,
        ),
    ),
    Page(
        name="address-new",
        route="addresses/new/",
        view=new,
        title=_CREATE.label,
        permission="delivery.add_senderaddress",
        parent="addresses",
    ),
    Page(
        name="address-preview",
        route="addresses/preview/",
        view=preview,
        title=gettext_lazy("Preview"),
        permission="delivery.view_senderaddress",
        parent="addresses",
        methods=("GET", "HEAD"),
    ),
    Page(
        name="address",
        route="addresses/<int:pk>/",
        view=edit,
        title=gettext_lazy("Sender address"),
        permission="delivery.change_senderaddress",
        parent="addresses",
    ),
    Page(
        name="address-delete",
        route="addresses/<int:pk>/delete/",
        view=delete,
        title=gettext_lazy("Delete sender address"),
        permission="delivery.delete_senderaddress",
        parent="addresses",
    ),
)
