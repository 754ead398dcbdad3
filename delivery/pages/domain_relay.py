"""The relay of a sender domain: set, changed, removed."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.forms import posted
from console.registry import register
from console.views import confirm
from delivery.engine.route import ascii_domain
from delivery.models import QueuePause, Relay, SenderDomain
from delivery.pages.domains import change_page
from delivery.services import relays


class RelayForm(forms.Form):
    host = forms.CharField(
        label=gettext_lazy("Host"),
        max_length=253,
        widget=forms.TextInput(attrs={"placeholder": "smtp.example.com", "autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy("The name that its certificate is made out to, or an IP address."),
        error_messages={"required": gettext_lazy("Enter the relay's name, like smtp.example.com.")},
    )
    port = forms.IntegerField(
        label=gettext_lazy("Port"),
        min_value=1,
        max_value=65535,
        initial=587,
        help_text=gettext_lazy("587 for STARTTLS, 465 for TLS from the start, 25 within your own network."),
        error_messages=dict.fromkeys(
            ("required", "invalid", "min_value", "max_value"), gettext_lazy("Enter a port, 1 to 65535.")
        ),
    )
    tls = forms.ChoiceField(
        label=gettext_lazy("Encryption"),
        choices=Relay.Tls.choices,
        widget=forms.RadioSelect,
        initial=Relay.Tls.STARTTLS,
        help_text=gettext_lazy("With STARTTLS or TLS from the start, nothing is sent to a relay that can't do it."),
    )
    check_certificate = forms.BooleanField(
        label=gettext_lazy("Check the certificate"),
        required=False,
        initial=True,
        help_text=gettext_lazy("It must be good for the host. Leave it on unless the relay is your own and near."),
    )
    login = forms.CharField(
        label=gettext_lazy("Login"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy("Empty: the relay knows us by our address."),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        max_length=200,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, relay: Relay | None = None, **kwargs: Any) -> None:
        self.relay = relay
        if relay is not None:
            names = ("host", "port", "tls", "check_certificate", "login")
            kwargs["initial"] = {name: getattr(relay, name) for name in names}
        super().__init__(*args, **kwargs)
        kept = bool(relay and relay.password)
        self.fields["password"].help_text = (
            _("Kept encrypted and never shown. Leave it empty to keep the one that is there.")
            if kept
            else _("Kept encrypted and never shown.")
        )

    def clean_host(self) -> str:
        host = str(self.cleaned_data["host"]).strip().lower().strip("[]")
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            pass
        try:
            return ascii_domain(host)
        except ValueError:
            raise forms.ValidationError(_("Enter a host name such as smtp.example.com, without a port.")) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("login") or "host" not in data:
            return data
        kept = self.relay if self.relay and self.relay.password else None
        if not data.get("password"):
            if kept is None:
                self.add_error("password", _("A login needs its password."))
            elif (kept.host, kept.login) != (data["host"], data["login"]):
                self.add_error("password", _("Enter the password again: the one that is kept is for another login."))
        if data.get("tls") == Relay.Tls.NONE and not _is_loopback(data["host"]):
            self.add_error(
                "tls", _("A login must not go in the clear: choose an encryption, or leave the login empty.")
            )
        return data


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Shown:
    """The relay on its domain's page. `pause`: it takes nothing from us now."""

    relay: Relay
    pause: QueuePause | None


def shown(domain: SenderDomain) -> Shown | None:
    relay = Relay.objects.filter(domain=domain).first()
    if relay is None:
        return None
    pauses = QueuePause.objects.filter(limit_group__name=f"relay:{relay.host}", paused_until__gt=timezone.now())
    return Shown(relay, pauses.order_by("since").first())


def edit(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    relay = Relay.objects.filter(domain=domain).first()
    form = RelayForm(relay=relay, **posted(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        relays.set_relay(
            domain,
            host=data["host"],
            port=data["port"],
            tls=Relay.Tls(data["tls"]),
            check_certificate=data["check_certificate"],
            login=data["login"],
            password=data["password"] or None,
        )
        messages.success(
            request,
            _("Mail of %(domain)s goes through %(host)s from now on.") % {"domain": domain, "host": data["host"]},
        )
        return redirect("domain", pk=pk)
    context = {
        "form": form,
        "domain": domain,
        "title": _("Relay of %(domain)s") % {"domain": domain.name},
        "submit": _("Save"),
        "cancel": reverse("domain", args=[pk]),
        "crumbs": [(_("Sender domains"), reverse("domains")), (domain.name, reverse("domain", args=[pk]))],
    }
    return render(request, "delivery/domain_relay.html", context, status=422 if form.is_bound else 200)


def remove(request: HttpRequest, pk: int) -> HttpResponse:
    domain = get_object_or_404(SenderDomain, pk=pk)
    relay = Relay.objects.filter(domain=domain).first()
    if relay is None:
        raise Http404
    if request.method == "POST":
        relays.remove(domain)
        messages.success(
            request, _("Mail of %(domain)s goes to the recipients' own servers again.") % {"domain": domain}
        )
        return redirect("domain", pk=pk)
    return confirm(
        request,
        title=_("Remove the relay of %(domain)s?") % {"domain": domain.name},
        button=_("Remove relay"),
        cancel=reverse("domain", args=[pk]),
        consequences=[
            _("Mail goes straight to the recipients' own servers, what waits too. Port 25 must get out for that."),
            _("The login and password are deleted."),
        ],
        crumbs=[(_("Sender domains"), reverse("domains")), (domain.name, reverse("domain", args=[pk]))],
    )


register(
    change_page("domain-relay", "relay/", edit, gettext_lazy("Relay")),
    change_page("domain-relay-remove", "relay/remove/", remove, gettext_lazy("Remove the relay")),
)
