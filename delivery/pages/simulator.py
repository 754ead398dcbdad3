"""Mailbox simulator: each of its addresses, what it does, how mail to it ends; a mail to it at a click."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Badge
from console.clients import ip_of
from console.forms import posted
from console.menu import Section
from console.registry import Page, register
from delivery import badges
from delivery.models import Message, Reason, SenderAddress, Status, Template
from delivery.models.status import OPEN
from delivery.pages.choices import AddressChoice, TemplateChoice, addresses, templates
from delivery.pages.email_status import annotated
from delivery.services.simulator import last_tries, try_address
from delivery.services.templates import TemplateRefused
from delivery.simulator.behaviour import BEHAVIOURS, MOODY, Behaviour
from suppression import address as canonical
from suppression.models import Entry

ALL = "all"
# For so long after a mail the page looks for what comes back of it.
SOON = dt.timedelta(minutes=2)
LOCALS = [one.local for one in (*BEHAVIOURS, *MOODY)]
# On which list an address is afterwards.
LISTED = {"complaint": Entry.List.SPAM_REPORT, "unsubscription": Entry.List.UNSUBSCRIPTION}


class TryForm(forms.Form):
    undone = gettext_lazy("Nothing was sent.")

    sender_address = AddressChoice(label=gettext_lazy("From"), queryset=SenderAddress.objects.none(), empty_label=None)
    template = TemplateChoice(label=gettext_lazy("Template"), queryset=Template.objects.none(), empty_label=None)
    to = forms.ChoiceField(choices=[(name, name) for name in (ALL, *LOCALS)])

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # what forms.Form takes
        sender, template = self.fields["sender_address"], self.fields["template"]
        assert isinstance(sender, forms.ModelChoiceField) and isinstance(template, forms.ModelChoiceField)
        sender.queryset = addresses().filter(domain__verified_at__isnull=False)
        template.queryset = templates()


@dataclass(frozen=True, slots=True)
class Place:
    """One address on the page, with the last mail that was sent to it here."""

    behaviour: Behaviour
    address: str
    does: str
    ends: Badge
    # The list that its recipient is on afterwards, if any.
    then: str
    message: Message | None
    badge: Badge | None
    # The lists that the last mail's recipient is on now.
    on: list[str]


def simulator(request: HttpRequest) -> HttpResponse:
    if request.method == "POST" and not request.user.has_perm("delivery.send"):
        raise PermissionDenied
    form = TryForm(**posted(request))
    choices = {name: form.fields[name].queryset.exists() for name in ("sender_address", "template")}  # type: ignore[attr-defined]  # choices of models
    if request.method == "POST" and form.is_valid():
        wanted = [one.local for one in BEHAVIOURS] if form.cleaned_data["to"] == ALL else [form.cleaned_data["to"]]
        try:
            for local in wanted:
                try_address(
                    local,
                    sender_address=form.cleaned_data["sender_address"],
                    template=form.cleaned_data["template"],
                    subject=_("A try: %(address)s") % {"address": local},
                    now=timezone.now(),
                    request_ip=ip_of(request),
                )
        except TemplateRefused as refused:
            form.add_error(None, str(refused))
        else:
            text = ngettext("%(n)s mail is on its way.", "%(n)s mails are on their way.", len(wanted))
            messages.success(request, text % {"n": len(wanted)} + " " + _("The rows below show what becomes of it."))
            return redirect("simulator")
    tries = _tries()
    usual, moody = ([_place(one, tries) for one in some] for some in (BEHAVIOURS, MOODY))
    context = {
        "form": form,
        "usual": usual,
        "moody": moody,
        "domain": settings.SIMULATOR_DOMAIN,
        "ready": all(choices.values()),
        "has": choices,
        "open": any(one.message is not None and _moves(one) for one in (*usual, *moody)),
    }
    return render(request, "delivery/simulator.html", context, status=422 if form.errors else 200)


def _tries() -> dict[str, tuple[Message, list[str]]]:
    """Local part → the last mail to it, and the lists that its recipient is on."""
    now = timezone.now()
    last = last_tries(LOCALS, now=now)
    found = {message.pk: message for message in annotated(Message.objects.filter(pk__in=last.values()))}
    keys = {pk: canonical.key_of(message.recipient) for pk, message in found.items()}
    on: dict[str, list[str]] = {}
    entries = Entry.objects.filter(key__in=keys.values()).order_by(F("created_at"))
    for key, name in entries.values_list("key", "list"):
        on.setdefault(key, []).append(str(Entry.List(name).label))
    return {local: (found[pk], on.get(keys[pk], [])) for local, pk in last.items() if pk in found}


def _place(behaviour: Behaviour, tries: dict[str, tuple[Message, list[str]]]) -> Place:
    message, on = tries.get(behaviour.local, (None, []))
    status, reason = behaviour.ends
    ends = badges.MESSAGE[Status(status)]
    hard = reason == Reason.NOT_EXIST
    then = Entry.List.BOUNCE if hard else LISTED.get(behaviour.feedback)
    return Place(
        behaviour,
        behaviour.address(settings.SIMULATOR_DOMAIN),
        _(behaviour.does),
        ends.but(Reason(reason).label) if reason else ends,
        str(then.label) if then else "",
        message,
        badges.message_badge(message, getattr(message, "due", None)) if message else None,
        on,
    )


def _moves(place: Place) -> bool:
    """Whether something is still to come: the mail is under way, or what it brings back is."""
    message = place.message
    if message is None:
        return False
    if message.status in OPEN:
        return True
    recent = timezone.now() - message.requested_at < SOON
    return recent and (message.status != place.behaviour.ends[0] or bool(place.then and not place.on))


if settings.SIMULATOR:
    register(
        Page(
            name="simulator",
            route="simulator/",
            view=simulator,
            title=gettext_lazy("Mailbox simulator"),
            permission="delivery.view_message",
            section=Section.SENDING,
            order=40,
        )
    )
