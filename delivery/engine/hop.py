"""How to talk to where a message goes: TLS required or not, a relay or the recipient's own server; and what a relay's
answers mean.

What a relay says against us (its login, its TLS, its rules on who may relay) says nothing about the recipient: such a
message waits for the relay to be mended, however final the answer sounds.
"""

from __future__ import annotations

import asyncio
import fnmatch
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Final

from django.conf import settings

from delivery.engine.types import Exchange, Hop, Host, Phase, Site, Verdict

ANY: Final = Hop()
REQUIRED: Final = Hop(tls="required", checked=True)
# What is asked of servers that offer DSN: a relay's silence is worth less than that of the recipient's own server.
NOTIFY_MX: Final = "FAILURE"
NOTIFY_RELAY: Final = "FAILURE,DELAY"

# The verdict's rule for what a relay says against us.
RELAY_RULE: Final = "relay"

_BEFORE_MAIL: Final = frozenset({Phase.DNS, Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.TLS, Phase.AUTH})
_OF_US: Final = re.compile(
    r"relay(ing)? (access |is )?(denied|not (permitted|allowed))|(unable|not (permitted|allowed|authorized)) to relay|"
    r"authentication (is )?required|must authenticate|log ?in first",
    re.IGNORECASE,
)


def direct(domain: str, site: Site, *, required: Sequence[str] | None = None) -> Hop:
    """The way to the recipient's own servers. `required`: patterns of receiving domains and MX hosts (fnmatch, lower
    case) to which mail goes encrypted, with a certificate that is good for the host, or not at all."""
    patterns = settings.TLS_REQUIRED if required is None else required
    if patterns:
        names = [domain.lower(), *(host.name.lower() for host in site.hosts)]
        if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns):
            return REQUIRED
    return ANY


async def relay_site(host: str, port: int) -> Site:
    """The addresses of a relay, by the system's resolver: it may stand in /etc/hosts. Without hosts when its
    name leads nowhere."""
    try:
        addresses = [str(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            found = []
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    return Site(f"relay:{host}:{port}", (Host(host, tuple(addresses)),) if addresses else (), False)


def judge(verdict: Verdict, exchange: Exchange, hop: Hop) -> Verdict:
    """The verdict, seen in the light of where it was said: what concerns only us and the next server is put off."""
    reply = exchange.reply
    if verdict.outcome == "delivered":
        return verdict
    if hop.relay and _about_us(exchange):
        return Verdict("deferred", "server_error", "site", RELAY_RULE)
    if hop.tls == "required" and reply.phase is Phase.TLS:
        return Verdict("deferred", "server_error", verdict.scope, "tls_required")
    return verdict


def _about_us(exchange: Exchange) -> bool:
    reply = exchange.reply
    if reply.phase in _BEFORE_MAIL or reply.code in (530, 535, 538):
        return True
    if reply.phase is Phase.MAIL:
        # Said by the relay and not by ourselves, and not about the size: the sender is what it does not want.
        return reply.code not in (0, 552) and any(phase == "mail" for phase, _text in exchange.conversation)
    return reply.phase is Phase.RCPT and bool(_OF_US.search(reply.text))
