"""Regular sending: one mail to up to 20 people in one To field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.clients import ip_of
from console.forms import JsonObjectField, posted
from console.menu import Section
from console.registry import Page, register
from delivery.models import Message, SenderAddress, Template
from delivery.models.status import OPEN
from delivery.pages.choices import AddressChoice, SubjectField, TemplateChoice, addresses, lacks, templates
from delivery.pages.email_status import MessageTable, annotated
from delivery.services.regular import (
    MAX_RECIPIENTS,
    MAX_VARIABLES,
    NO_RECIPIENT,
    NewRegular,
    RegularRefused,
    read_recipients,
    send_regular,
)
from delivery.services.texts import LABEL_LENGTH


class RegularForm(forms.Form):
    undone = gettext_lazy("Nothing was sent.")

    subject = SubjectField()
    template = TemplateChoice(
        label=gettext_lazy("Template"),
        queryset=Template.objects.none(),
        empty_label=gettext_lazy("Choose a template"),
        help_text=gettext_lazy("Templates with at most one variable. For more, create a batch task."),
    )
    sender_address = AddressChoice(
        label=gettext_lazy("From"),
        queryset=SenderAddress.objects.none(),
        empty_label=gettext_lazy("Choose a sender address"),
    )
    recipients = forms.CharField(
        label=gettext_lazy("Recipients"),
        max_length=20_000,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "ph-mono", "autocomplete": "off"}),
        help_text=gettext_lazy("Up to 20 addresses, one a line. All stand in the To field: they see each other."),
        error_messages={"required": NO_RECIPIENT},
    )
    variables = JsonObjectField(
        label=gettext_lazy("Variables"),
        required=False,
        max_length=20_000,
        help_text=gettext_lazy('JSON, as {"first_name": "Ann"}. The same for all recipients.'),
    )
    label = forms.CharField(
        label=gettext_lazy("Label"),
        max_length=LABEL_LENGTH,
        required=False,
        help_text=gettext_lazy("Groups the figures of several mails. Matched exactly."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        template, sender = self.fields["template"], self.fields["sender_address"]
        assert isinstance(template, forms.ModelChoiceField) and isinstance(sender, forms.ModelChoiceField)
        template.queryset = templates(most_variables=MAX_VARIABLES)
        sender.queryset = addresses()

    def clean_recipients(self) -> str:
        text = str(self.cleaned_data["recipients"])
        try:
            read_recipients(text)
        except RegularRefused as refused:
            raise forms.ValidationError(str(refused).split("\n")) from None
        return text


def regular(request: HttpRequest) -> HttpResponse:
    form = RegularForm(**posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            new = NewRegular(**form.cleaned_data, request_ip=ip_of(request))
            made = send_regular(new, now=timezone.now())
        except RegularRefused as refused:
            for text in str(refused).split("\n"):
                form.add_error(refused.field if refused.field in form.fields else None, text)
        else:
            query = "&".join(f"id={message_id}" for message_id in made.ids)
            return redirect(f"{reverse('regular-sent')}?{query}")
    context = {
        "form": form,
        "title": _("Regular sending"),
        "submit": _("Send"),
        "submit_hint": _("All sending is stopped: it is held until an administrator lets sending go on.")
        if request.account.sending_stopped_at  # type: ignore[attr-defined]
        else _("Sending begins at once, before batch mail."),
        "lacks": lacks(form, template=_("an email template with one variable at most")),
    }
    return render(request, "delivery/regular.html", context, status=422 if form.is_bound else 200)


def sent(request: HttpRequest) -> HttpResponse:
    """What becomes of the mail just sent, row by row."""
    ids = [int(text) for text in request.GET.getlist("id")[:MAX_RECIPIENTS] if text.isdecimal() and len(text) < 20]
    found = list(annotated(Message.objects.filter(pk__in=ids)).order_by("pk")) if ids else []
    context = {
        "rows": found,
        "table": MessageTable(found, request=request),
        "open": any(message.status in OPEN for message in found),
        "crumbs": [(_("Regular sending"), reverse("regular")), (_("sent"), "")],
    }
    return render(request, "delivery/regular_sent.html", context)


register(
    Page(
        name="regular",
        route="regular/",
        view=regular,
        title=gettext_lazy("Regular sending"),
        permission="delivery.send",
        section=Section.SENDING,
        order=10,
    ),
    Page(
        name="regular-sent",
        route="regular/sent/",
        view=sent,
        title=gettext_lazy("Regular mail requested"),
        permission="delivery.view_message",
        parent="regular",
        methods=("GET", "HEAD"),
    ),
)
