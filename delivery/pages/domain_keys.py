"""Rotation of a sender domain's DKIM key: a new one is made, published, made to sign; the old one is removed."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.registry import register
from console.views import confirm
from delivery.models import DkimKey, SenderDomain
from delivery.pages.domains import change_page
from delivery.services import domains


def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    if request.method == "POST":
        try:
            domains.rotate_key(domain)
        except domains.DomainRefused as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("A new key is made. Publish its record; then let it sign."))
        return redirect("domain", pk=pk)
    return confirm(
        request,
        title=_("Make a new DKIM key for %(domain)s?") % {"domain": domain.name},
        button=_("Make a new key"),
        danger=False,
        cancel=reverse("domain", args=[pk]),
        consequences=[
            _("It gets a selector and a record of its own; the old key goes on signing."),
            _("Once DNS answers the new record, you let the new key sign."),
            _("The old record stays published for a week more: mail on its way is still checked against it."),
        ],
        crumbs=[(_("Sender domains"), reverse("domains")), (domain.name, reverse("domain", args=[pk]))],
    )


def activate(request: HttpRequest, pk: int, key: int) -> HttpResponse:
    chosen = get_object_or_404(DkimKey.objects.select_related("domain"), pk=key, domain_id=pk)
    try:
        domains.activate_key(chosen)
    except domains.DomainRefused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(
            request,
            _("Mail is signed with %(selector)s from now on. Keep the old record for a week, then remove the old key.")
            % {"selector": chosen.selector},
        )
    return redirect("domain", pk=pk)


def remove_key(request: HttpRequest, pk: int, key: int) -> HttpResponse:
    chosen = get_object_or_404(DkimKey.objects.select_related("domain"), pk=key, domain_id=pk)
    if request.method == "POST":
        try:
            domains.remove_key(chosen)
        except domains.DomainRefused as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("The key is removed. Its DNS record can go too."))
        return redirect("domain", pk=pk)
    return confirm(
        request,
        title=_("Remove the DKIM key %(selector)s?") % {"selector": chosen.selector},
        button=_("Remove key"),
        cancel=reverse("domain", args=[pk]),
        consequences=[
            _("It does not sign. Mail that was signed with it less than a week ago may still be on its way.")
        ],
        crumbs=[(_("Sender domains"), reverse("domains")), (chosen.domain.name, reverse("domain", args=[pk]))],
    )


register(
    change_page("domain-key-new", "keys/new/", rotate, gettext_lazy("Make a new DKIM key")),
    change_page("domain-key-activate", "keys/<int:key>/activate/", activate, gettext_lazy("Let a key sign"), post=True),
    change_page("domain-key-remove", "keys/<int:key>/remove/", remove_key, gettext_lazy("Remove a key")),
)
