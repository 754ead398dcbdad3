"""What the preflight's findings are called, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from delivery.services.preflight import Finding

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise as StrPromise

ABOUT: dict[str, StrPromise] = {
    "ehlo": _("EHLO name"),
    "reverse": _("Reverse DNS"),
    "port25": _("Port 25"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """`seen`: how it is. `todo`: how to mend it, "" when there is nothing to mend."""

    seen: str
    todo: str


_WORDS: dict[str, tuple[StrPromise, StrPromise | str]] = {
    "ehlo_ok": (_("%(name)s leads to this IP."), ""),
    "ehlo_simulated": (_("%(name)s. The simulator does not look at it."), ""),
    "ehlo_short": (
        _("%(name)s is no name that DNS knows."),
        _("Set EHLO_NAME to a full host name of yours, such as mail.example.com, whose A record is %(ip)s."),
    ),
    "ehlo_nowhere": (
        _("%(name)s has no address in DNS."),
        _("Publish an A record (AAAA for IPv6) of %(name)s with %(ip)s, or set EHLO_NAME to a name that has one."),
    ),
    "ehlo_elsewhere": (
        _("%(name)s leads to %(there)s, not to %(ip)s."),
        _("Add %(ip)s to the addresses of %(name)s, or set EHLO_NAME to a name that leads to every sending IP."),
    ),
    "reverse_ok": (_("%(host)s, which leads back to %(ip)s."), ""),
    "reverse_missing": (
        _("%(ip)s has no reverse DNS."),
        _(
            "Ask whoever gave you the IP (hosting or network provider) for a PTR record to %(name)s. Gmail and "
            "Outlook refuse mail without one."
        ),
    ),
    "reverse_unconfirmed": (
        _("%(ip)s is called %(host)s, but that name does not lead back to it."),
        _("Publish an A record (AAAA for IPv6) of %(host)s with %(ip)s, or have the PTR record name another host."),
    ),
    "reverse_generic": (
        _("%(host)s leads back to %(ip)s, but looks like a name that nobody chose."),
        _("Have the PTR record name a host of yours, best %(name)s: names made of the address are taken for homes."),
    ),
    "reverse_private": (
        _("%(ip)s is a private address; others see the one that it is translated to."),
        _("See that the public address has reverse DNS to %(name)s, and that only this machine sends mail from it."),
    ),
    "reverse_unknown_ip": (
        _("Which IP mail leaves from is not known, as no connection came about."),
        _("Set SENDING_IPS, or mend the connection first."),
    ),
    "port_ok": (_("%(host)s answered: %(said)s"), ""),
    "port_closed": (
        _("%(host)s can't be reached at port %(port)s from here: %(said)s."),
        _(
            "Many networks block port 25. Ask yours to open it and look at your own firewall; or send through a relay, "
            "to be set on the sender domain's page."
        ),
    ),
    "port_not_ours": (
        _("This machine does not have the address %(ip)s."),
        _("Give it to a network interface, or take it out of SENDING_IPS."),
    ),
    "port_mute": (
        _("%(host)s took the connection and said nothing."),
        _("Something on the way, a firewall or a proxy, swallows SMTP. Have it let port %(port)s pass."),
    ),
    "port_refused": (
        _("%(host)s does not want to talk to this IP: %(said)s"),
        _("See what it says. The IP may stand on a block list: ask for its removal, or send from another."),
    ),
    "port_no_target": (
        _("%(name)s has no address of this IP's kind, so nothing was tried."),
        _("Set PREFLIGHT_HOST to a mail server that has one."),
    ),
    "dns_silent": (
        _("DNS does not answer for %(name)s."),
        _("See that DNS_SERVERS, or this machine's, can be reached."),
    ),
}


def words(finding: Finding) -> Words:
    seen, todo = _WORDS[finding.code]
    return Words(str(seen) % finding.values, str(todo) % finding.values)
