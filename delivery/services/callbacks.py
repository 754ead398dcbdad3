"""Callback addresses: set, their secrets, and where they may lead."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from collections.abc import Sequence

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from console.outbound import Rules
from delivery import dns
from delivery.callbacks import outbox
from delivery.models import Callback, CallbackEvent, Happening, SenderAddress
from delivery.services import dkim_keys

log = structlog.get_logger()

# After a rotation both secrets sign, so that receivers can be changed without missing anything.
OLD_SECRET_HOURS = 24
LOOK_UP_SECONDS = 2.0


class CallbackRefused(ValueError):
    """It can't be set so; the text says what to do."""


def rules() -> Rules:
    return Rules(
        ports=frozenset(settings.CALLBACK_PORTS),
        allowed=tuple(ipaddress.ip_network(text.strip(), strict=False) for text in settings.CALLBACK_ALLOWED_NETWORKS),
        look=_look,
    )


def _look(host: str) -> Sequence[str]:
    resolver = dns.make_resolver(settings.DNS_SERVERS, LOOK_UP_SECONDS / 2)
    found: list[str] = []
    for kind in ("A", "AAAA"):
        answer = dns.lookup(host, kind, resolver=resolver)
        found += [value for value in answer.values if _is_ip(value)]
    if not found:
        raise OSError(f"{host} has no address")
    return found


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_url(url: str) -> str:
    """The URL as it is kept. Raises CallbackRefused."""
    url = url.strip()
    fault = rules().fault(url)
    if not fault:
        return url
    raise CallbackRefused(
        {
            "url": _("Enter a URL such as https://shop.example/mail-events, without a login or a #part."),
            "port": _("This port is not allowed. Allowed are: %s.") % ", ".join(map(str, sorted(rules().ports))),
            "private": _(
                "This address lies in a private network. An administrator of the server can allow it by "
                "CALLBACK_ALLOWED_NETWORKS."
            ),
        }[fault]
    )


def add(*, url: str, address: SenderAddress | None, happenings: Sequence[str]) -> tuple[Callback, str]:
    """A new callback address, and its secret: the only time that it is shown. Raises CallbackRefused."""
    if Callback.objects.filter(address=address).exists():
        raise CallbackRefused(
            _("This sender address has a callback address already.")
            if address
            else _("The account has a callback address already.")
        )
    secret = secrets.token_urlsafe(32)
    callback = Callback.objects.create(
        url=check_url(url), address=address, happenings=_known(happenings), secret=_kept(secret)
    )
    outbox.forget()
    log.info("callback_added", callback=callback.pk)
    return callback, secret


def change(callback: Callback, *, url: str, happenings: Sequence[str], enabled: bool) -> None:
    """Raises CallbackRefused. Another URL is tried at once."""
    url = check_url(url)
    changed = ["url", "happenings", "enabled"]
    if url != callback.url or (enabled and not callback.enabled):
        callback.failing_since = callback.suspended_at = callback.rest_until = None
        callback.last_problem = ""
        changed += ["failing_since", "suspended_at", "rest_until", "last_problem"]
    callback.url, callback.happenings, callback.enabled = url, _known(happenings), enabled
    # Only these: a sender may hold the lease by now, and somebody may have made a new secret.
    callback.save(update_fields=changed)
    outbox.forget()


def rotate(callback: Callback, *, now: dt.datetime) -> str:
    """A new secret, to be shown once; the old one signs beside it for a day."""
    secret = secrets.token_urlsafe(32)
    callback.old_secret, callback.secret = callback.secret, _kept(secret)
    callback.old_secret_until = now + dt.timedelta(hours=OLD_SECRET_HOURS)
    callback.save(update_fields=["secret", "old_secret", "old_secret_until"])
    log.info("callback_secret_rotated", callback=callback.pk)
    return secret


def remove(callback: Callback) -> None:
    """With everything that it was still to be told."""
    with transaction.atomic():
        hold(Callback.objects.filter(pk=callback.pk))
        callback.delete()
    outbox.forget()


def hold(found: QuerySet[Callback]) -> None:
    """Before they are deleted, in the same transaction: what is being written down for them is waited for, and what
    comes after finds them gone."""
    list(found.select_for_update().order_by("pk").values_list("pk"))


def secrets_in_force(callback: Callback, *, now: dt.datetime) -> list[bytes]:
    """The new one first. Raises cryptography's InvalidToken when DKIM_KEYS lacks the key they were kept with."""
    kept = [callback.secret]
    if callback.old_secret and callback.old_secret_until and callback.old_secret_until > now:
        kept.append(callback.old_secret)
    return [dkim_keys.box().decrypt(bytes(one)) for one in kept]


def test_event(callback: Callback) -> CallbackEvent:
    """An event of no message, to try the address with. Not waiting: it is sent by whoever asked for it."""
    return CallbackEvent.objects.create(
        callback=callback,
        kind=Happening.DELIVERED,
        at=timezone.now(),
        state=CallbackEvent.State.GIVEN_UP,
    )


def again(event: CallbackEvent, *, now: dt.datetime) -> None:
    """Tell it once more, from the first attempt on."""
    CallbackEvent.objects.filter(pk=event.pk).update(state=CallbackEvent.State.WAITING, attempts=0, due=now)


def _kept(secret: str) -> bytes:
    return dkim_keys.box().encrypt(secret.encode())


def _known(happenings: Sequence[str]) -> list[str]:
    return [name for name in Happening.values if name in happenings]
