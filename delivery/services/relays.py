"""The relays of sender domains: set, removed, and as the engine talks to them."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from cryptography.fernet import InvalidToken
from django.db import connection
from django.utils import timezone

from delivery.engine.types import Hop
from delivery.models import Relay, SenderDomain
from delivery.services import dkim_keys, pauses

log = structlog.get_logger()


def set_relay(
    domain: SenderDomain,
    *,
    host: str,
    port: int,
    tls: Relay.Tls,
    check_certificate: bool = True,
    login: str = "",
    password: str | None = None,
) -> Relay:
    """Send this domain's mail through a relay from now on. `password` None: the one that is kept already."""
    values: dict[str, object] = {
        "host": host.strip().lower().rstrip("."),
        "port": port,
        "tls": tls,
        "check_certificate": check_certificate and tls != Relay.Tls.NONE,
        "login": login,
    }
    if password is not None or not login:
        values["password"] = dkim_keys.box().encrypt(password.encode()) if password and login else b""
    relay, _made = Relay.objects.update_or_create(domain=domain, defaults=values)
    _try_again(relay.host)
    log.info("relay_set", domain=domain.name, relay=str(relay))
    return relay


def remove(domain: SenderDomain) -> None:
    """Deliver to the recipients' own servers again, what waits too."""
    if (relay := Relay.objects.filter(domain=domain).first()) is None:
        return
    relay.delete()
    _try_again(relay.host)
    log.info("relay_removed", domain=domain.name)


def _try_again(host: str) -> None:
    """What waits because the relay was down or not set up rightly goes on at once."""
    pauses.recover(limit_group(host), now=timezone.now())


def password_of(relay: Relay) -> str:
    """In the clear, "" for none. Raises cryptography's InvalidToken when DKIM_KEYS lacks the key it was kept with."""
    return dkim_keys.box().decrypt(bytes(relay.password)).decode() if relay.password else ""


def hop_of(relay: Relay) -> Hop:
    return Hop(
        port=relay.port,
        tls="required" if relay.tls == Relay.Tls.STARTTLS else "implicit" if relay.tls == Relay.Tls.IMPLICIT else "off",
        checked=relay.check_certificate,
        relay=relay.host,
        login=relay.login,
        password=password_of(relay),
    )


def hops(domain_ids: Iterable[int]) -> dict[int, Hop]:
    """Sender domain → its relay, for those that have one. A password that can't be read leaves the login without one:
    the relay refuses it, and the queue says so."""
    found: dict[int, Hop] = {}
    for relay in Relay.objects.filter(domain_id__in=list(domain_ids)):
        try:
            found[relay.domain_id] = hop_of(relay)
        except InvalidToken:
            log.exception("relay_password_unreadable", relay=str(relay))
            relay.password = b""
            found[relay.domain_id] = hop_of(relay)
    return found


def limit_group(host: str) -> int:
    """The id of the limit group of a relay: all sender domains that use it share its patience."""
    name = f"relay:{host}"
    with connection.cursor() as cursor:
        # Looked for first: an upsert would have every request wait for the one before to commit.
        cursor.execute("SELECT id FROM delivery_limitgroup WHERE name = %s", [name])
        if found := cursor.fetchone():
            return int(found[0])
        cursor.execute(
            "INSERT INTO delivery_limitgroup (name) VALUES (%s) "
            "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
            [name],
        )
        return int(cursor.fetchone()[0])
