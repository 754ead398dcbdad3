"""Sending a template to oneself: a test."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.clients import ip_of
from console.forms import JsonObjectField, posted
from console.registry import Page, register
from console.views import page_url
from delivery.models import SenderAddress, Template
from delivery.pages.choices import SubjectField
from delivery.services import templates
from suppression.address import MalformedAddress, parse

VERIFIED = SenderAddress.objects.filter(domain__verified_at__isnull=False).select_related("domain")


class VerifiedAddresses(forms.ModelChoiceField):
    def label_from_instance(self, address: Any) -> str:
        return f"{address.sender_name} <{address.address}>" if address.sender_name else str(address.address)


class TestForm(forms.Form):
    undone = gettext_lazy("Nothing was sent.")

    sender_address = VerifiedAddresses(
        label=gettext_lazy("From"),
        queryset=VERIFIED,
        empty_label=None,
        help_text=gettext_lazy("Addresses of verified domains."),
    )
    recipient = forms.CharField(
        label=gettext_lazy("To"),
        max_length=320,
        widget=forms.TextInput({"autocomplete": "email", "spellcheck": "false"}),
        error_messages={"required": gettext_lazy("Enter the address that it goes to.")},
    )
    subject = SubjectField()
    variables = JsonObjectField(label=gettext_lazy("Variables"), required=False)

    def clean_recipient(self) -> str:
        try:
            return parse(self.cleaned_data["recipient"]).canonical
        except MalformedAddress as malformed:
            raise forms.ValidationError(_(malformed.reason)) from None


def test_send(request: HttpRequest, pk: int) -> HttpResponse:
    template = get_object_or_404(Template.objects.filter(deleted_at=None).select_related("current"), pk=pk)
    names = list(template.current.variables) if template.current else []
    initial = {
        "recipient": f"success+test@{settings.SIMULATOR_DOMAIN}"
        if settings.SIMULATOR
        else getattr(request.user, "email", ""),
        "subject": _("Test: %(name)s") % {"name": template.name},
        "variables": templates.sample_values(names),
    }
    form = TestForm(initial=initial, **posted(request))
    sender = form.fields["sender_address"]
    if not VERIFIED.all().exists():
        sender.help_text = _("There is none yet: verify a sender domain and create an address at it first.")
    if request.method == "POST" and form.is_valid():
        try:
            made = templates.send_test(
                template,
                sender_address=form.cleaned_data["sender_address"],
                subject=form.cleaned_data["subject"],
                recipient=form.cleaned_data["recipient"],
                values=form.cleaned_data["variables"],
                now=timezone.now(),
                request_ip=ip_of(request),
            )
        except templates.TemplateRefused as refused:
            form.add_error(refused.field or None, str(refused))
        else:
            messages.success(request, _("The test to %(to)s is requested.") % {"to": form.cleaned_data["recipient"]})
            return redirect(page_url("message", made.ids[0]) or reverse("template", args=[pk]))
    context = {
        "form": form,
        "title": _("Send a test of %(name)s") % {"name": template.name},
        "submit": _("Send test"),
        "cancel": reverse("template", args=[pk]),
        "crumbs": [(_("Email templates"), reverse("templates")), (template.name, reverse("template", args=[pk]))],
    }
    return render(request, "console/form_page.html", context, status=422 if form.is_bound else 200)


register(
    Page(
        name="template-test",
        route="templates/<int:pk>/test/",
        view=test_send,
        title=gettext_lazy("Send a test"),
        permission="delivery.send",
        parent="templates",
    )
)
