"""Regular sending: one mail to a few people who see each other in the one To field.

One row each, one SMTP transaction each. Everything is checked before anything is made.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.models import ApiUser
from delivery import templating
from delivery.engine.retry import is_simulated
from delivery.models import HeldBy, SenderAddress, SenderDomain, Template
from delivery.services import quota, senders, texts
from delivery.services.refused import Refused
from delivery.services.requests import Made, Request, Wanted, as_json, make_messages
from suppression import services as suppression
from suppression.address import Address, MalformedAddress, parse

MAX_RECIPIENTS = 20
MAX_VARIABLES = 1
NO_RECIPIENT = gettext_lazy("Enter at least one address, one a line.")


class RegularRefused(Refused):
    """Nothing was made; the text says what to do. `field` is the form's field that it belongs to."""


@dataclass(frozen=True, slots=True)
class NewRegular:
    """What a regular mail is made from. `recipients`: addresses, one a line, as typed."""

    template: Template
    subject: str
    sender_address: SenderAddress
    recipients: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    request_ip: str | None = None


def read_recipients(text: str) -> list[Address]:
    """The addresses, each once. Raises RegularRefused naming every line that is none."""
    found: dict[str, Address] = {}
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            address = parse(line)
        except MalformedAddress as malformed:
            wrong.append(
                _("Line %(line)s, “%(value)s”: %(reason)s")
                % {"line": number, "value": _shown(line), "reason": malformed.reason}
            )
            continue
        found.setdefault(address.key, address)
    if wrong:
        more = len(wrong) - MAX_RECIPIENTS
        tail = ngettext("… and %(n)s more line.", "… and %(n)s more lines.", more) % {"n": more}
        raise RegularRefused("\n".join([*wrong[:MAX_RECIPIENTS], *([tail] if more > 0 else [])]), "recipients")
    if not found:
        raise RegularRefused(str(NO_RECIPIENT), "recipients")
    if len(found) > MAX_RECIPIENTS:
        raise RegularRefused(
            _("%(count)s recipients. A regular mail takes at most %(most)s: take some out, or create a batch task.")
            % {"count": len(found), "most": MAX_RECIPIENTS},
            "recipients",
        )
    return list(found.values())


def missing_variables(new: NewRegular) -> list[str]:
    """Variables of template, subject and sender name that have no value."""
    version = new.template.current
    wanted = list(version.variables) if version else []
    for text in (new.subject, new.sender_address.sender_name):
        wanted += templating.variables(text)
    known = {*new.variables, templating.UNSUBSCRIBE_URL}
    return [name for name in dict.fromkeys(wanted) if name not in known]


def send_regular(new: NewRegular, *, now: dt.datetime) -> Made:
    """Check everything, then make one row for each recipient. Raises RegularRefused; then nothing is made."""
    api_user = ApiUser.console(ApiUser.Type.TRIGGER)
    version = _check_template(new.template)
    domain = new.sender_address.domain
    if why := senders.obstacle(domain, api_user):
        raise RegularRefused(why, "sender_address")
    if not api_user.enabled:
        raise RegularRefused(
            _("The API user %(name)s is disabled. An administrator can enable it.") % {"name": api_user}
        )
    subject = _checked(texts.subject, new.subject, "subject")
    label = _checked(texts.label, new.label, "label")
    values = _checked(texts.values, new.variables, "variables")
    addresses = read_recipients(new.recipients)
    missing = missing_variables(new)
    if missing:
        raise RegularRefused(
            _('There is no value for: %(names)s. Add it as {%(example)s: "…"}.')
            % {"names": ", ".join(missing), "example": f'"{missing[0]}"'},
            "variables",
        )
    filled = templating.fill_line(subject, values)
    sender_name = templating.fill_line(new.sender_address.sender_name, values)
    with transaction.atomic():
        stops = suppression.stopped((one.key for one in addresses), api_user_id=api_user.pk, now=now)
        reached = [one.canonical for one in addresses if one.key not in stops]
        _check_quota(domain, api_user, [one for one in addresses if one.key not in stops], now)
        request = Request(
            api_user=api_user,
            sender_domain=domain,
            version_id=version.pk,
            sender=new.sender_address.address,
            label=label,
            # An address that parse() took holds neither comma nor blank, so this can be taken apart again.
            to_field=", ".join(reached) if len(reached) > 1 else "",
            request_ip=new.request_ip,
        )
        return make_messages(
            request,
            [Wanted(one.canonical, one.key, one.domain, filled, sender_name, as_json(values)) for one in addresses],
            now=now,
        )


def _check_quota(domain: SenderDomain, api_user: ApiUser, addresses: list[Address], now: dt.datetime) -> None:
    counted = sum(not is_simulated(one.domain) for one in addresses)
    if not counted:
        return
    left, why = quota.left_today(domain.pk, api_user, now=now)
    if counted <= left:
        return
    if why == HeldBy.DOMAIN_BLOCKED:
        text = _(
            "%(domain)s is blocked for today: too much of its mail was refused. Send tomorrow, or from another one."
        )
    elif left:
        text = _("Today's quota leaves %(left)s of %(domain)s's mails, and this is %(count)s. Send the rest tomorrow.")
    else:
        text = _("The daily quota of %(domain)s is used up. Send tomorrow, or from another domain.")
    raise RegularRefused(text % {"domain": domain, "left": left, "count": counted}, "sender_address")


def _check_template(template: Template) -> Any:
    version = template.usable
    if version is None:
        raise RegularRefused(str(texts.NO_BODY), "template")
    if len(version.variables) > MAX_VARIABLES:
        raise RegularRefused(
            _(
                "This template uses %(count)s variables (%(names)s); regular sending takes one at most. "
                "Choose another template, or create a batch task."
            )
            % {"count": len(version.variables), "names": ", ".join(version.variables[:10])},
            "template",
        )
    return version


def _checked(check: Any, given: Any, field: str) -> Any:
    try:
        return check(given)
    except texts.Unfit as unfit:
        raise RegularRefused(str(unfit), field) from None


def _shown(line: str) -> str:
    flat = " ".join(line.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"
