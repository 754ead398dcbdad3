"""Sender addresses: a prefix at a sender domain, at most ten a domain."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from delivery import templating
from delivery.models import Callback, SenderAddress, SenderDomain
from delivery.models.address import ADDRESSES_PER_DOMAIN
from delivery.services import callbacks, senders, texts
from delivery.services.refused import Refused
from suppression.address import MalformedAddress, parse

NO_PREFIX = gettext_lazy("Enter the part before the @, like news.")


class AddressRefused(Refused):
    """Nothing was saved; the text says what to do. `field` is the form's field that it belongs to."""


def check_prefix(prefix: str, domain: SenderDomain) -> str:
    """The prefix as it is kept. Raises AddressRefused."""
    prefix = prefix.strip()
    if "@" in prefix:
        raise AddressRefused(_("Enter the part before the @ only."), "prefix")
    if not prefix:
        raise AddressRefused(str(NO_PREFIX), "prefix")
    try:
        address = parse(f"{prefix}@{domain.name}")
    except MalformedAddress as malformed:
        raise AddressRefused(_(malformed.reason), "prefix") from None
    if not address.ascii:
        # Many servers still refuse mail from such senders (RFC 6531), and a sender must be reachable by all.
        raise AddressRefused(
            _("Use letters a-z, digits, dots and dashes: many servers refuse other letters."), "prefix"
        )
    return address.local.lower()


def check_sender_name(name: str) -> str:
    """The name as it is kept; it may hold `{{name}}`. Raises AddressRefused."""
    name = " ".join(name.split(" ")).strip()
    if not name:
        return ""
    try:
        return texts.subject(name)
    except texts.Unfit:
        found = [problem.text for problem in templating.check(name, "header") if not problem.warning]
        raise AddressRefused(
            found[0] if found else _("A sender name is one line without control characters."), "sender_name"
        ) from None


def save_address(
    *, domain: SenderDomain, prefix: str, sender_name: str, address: SenderAddress | None = None
) -> SenderAddress:
    """Make a sender address, or change `address`. Raises AddressRefused; then nothing was saved."""
    prefix, sender_name = check_prefix(prefix, domain), check_sender_name(sender_name)
    try:
        with transaction.atomic():
            # The lock lets nobody count past ten side by side.
            SenderDomain.objects.select_for_update().get(pk=domain.pk)
            others = domain.addresses.exclude(pk=address.pk) if address else domain.addresses.all()
            if others.count() >= ADDRESSES_PER_DOMAIN:
                raise AddressRefused(
                    _("%(domain)s has %(n)s sender addresses, the most there may be. Delete one first.")
                    % {"domain": domain, "n": ADDRESSES_PER_DOMAIN},
                    "domain",
                )
            moved = address is not None and (address.domain_id, address.prefix) != (domain.pk, prefix)
            if moved and address is not None and (why := in_use(address)):
                raise AddressRefused(why, "prefix")
            address = address or SenderAddress()
            address.domain, address.prefix, address.sender_name = domain, prefix, sender_name
            address.save()
    except IntegrityError:
        raise AddressRefused(_("There is such an address at this domain already."), "prefix") from None
    return address


def in_use(address: SenderAddress) -> str:
    """Why the address can't be changed or deleted now, "" when it can."""
    return senders.busy(sender_address=address)


def delete_address(address: SenderAddress) -> None:
    """Raises AddressRefused while a task sends from it."""
    with transaction.atomic():
        SenderAddress.objects.select_for_update(of=("self",)).get(pk=address.pk)
        if why := in_use(address):
            raise AddressRefused(why)
        callbacks.hold(Callback.objects.filter(address=address))
        address.delete()
