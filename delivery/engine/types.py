"""The words that the stages of the engine share: what was said on the wire, and what it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Outcome = Literal["delivered", "deferred", "refused"]
Scope = Literal["recipient", "message", "site", "sender"]
Tls = Literal["off", "opportunistic", "required", "implicit"]


class Phase(StrEnum):
    """Where in the way of a message something was said or went wrong."""

    DNS = "dns"
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said, or what we saw instead of an answer."""

    code: int  # 0 when there was no reply (time-out, closed, garbage)
    enhanced: str  # "5.1.1" or ""
    text: str  # verbatim, lines joined with "\n", at most 2,000 characters, control characters replaced
    phase: Phase


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply means for the message."""

    outcome: Outcome
    reason: str  # "" when delivered; else server_error format_error not_exist ip_or_domain spam rejected other
    scope: Scope
    rule: str  # name of the rule that decided


@dataclass(slots=True)
class Exchange:
    """One delivery attempt as it went on the wire."""

    reply: Reply
    conversation: list[tuple[str, str]]  # [("greeting", "220 …"), ("mail", "250 …"), …]; verbatim, 4 KB in all
    mx_host: str
    remote_ip: str
    local_ip: str
    tls: str  # "" or "TLSv1.3 TLS_AES_256_GCM_SHA384"
    started: float  # wall clock, seconds since the epoch
    seconds: float  # how long it took
    certificate: str = ""  # whom the server's certificate names, who issued it, until when; "" without TLS
    stale: bool = False  # a reused connection was found closed at MAIL: try at once on a new one, no attempt


@dataclass(frozen=True, slots=True)
class Host:
    """An MX host and its addresses, in the order in which they are to be tried."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """Where to connect: an MX set."""

    key: str  # sorted lower-case MX host names joined with ","
    hosts: tuple[Host, ...]
    tencent: bool


@dataclass(frozen=True, slots=True)
class Hop:
    """How to talk to a site: as to any MX host, or as to the relay of a sender domain."""

    port: int = 0  # 0: the one of MX hosts
    tls: Tls = "opportunistic"
    checked: bool = False  # the certificate must be good for the host's name
    relay: str = ""  # its name
    login: str = ""  # "": none
    password: str = field(default="", repr=False)
