"""Domains whose servers have moods: each is a site of its own, `<name>.moods.test`, on a loopback address of its own.

Pure. What concerns a connection stands here; what concerns one mail is a behaviour (behaviour.py), which a mood gives
to all of its addresses and which addresses of the simulator's domain have too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from delivery.simulator.behaviour import Answer
from delivery.simulator.behaviour import gettext_noop as _

APEX = "moods.test"


@dataclass(frozen=True, slots=True)
class Mood:
    """A mail server with a mood. Limits hold for each client IP apart; 0 is no limit."""

    name: str
    does: str  # English, marked for translation
    host: str  # loopback address on which it listens
    behaviour: str = ""  # what each of its addresses does, by the local part that does it at the simulator's domain
    connections: int = 0  # at once; one more is answered `crowded` at the greeting
    crowded: Answer | None = None
    rate: int = 0  # messages in one second; one more is answered `hurried` at MAIL
    hurried: Answer | None = None
    busy_every: int = 0  # each such connection is turned away at its greeting
    session: int = 0  # messages in one session; then 421 at MAIL, and it hangs up
    delay: float = 0.0  # seconds before each answer
    tls: Literal["", "refused", "broken"] = ""  # STARTTLS is offered, and comes to nothing
    listed: frozenset[str] = frozenset()  # client IPs that it refuses, as listed
    silent: bool = False  # it takes connections and never says a word
    final: bool = True  # mail to it comes to an end within the simulator's retry window

    @property
    def domain(self) -> str:
        return f"{self.name}.{APEX}"

    @property
    def mx(self) -> str:
        return f"mx.{self.domain}"


BUSY = Answer(421, "4.3.2", "Service not available, try again later")
GOING = Answer(421, "4.3.2", "Service shutting down, closing transmission channel")
LISTED = Answer(550, "5.7.1", "Service unavailable; client host [{client}] is listed at dnsbl.moods.test")
NO_TLS = Answer(454, "4.7.0", "TLS not available due to local problem")

_TABLE = (
    Mood(
        "ratelimit.gmail",
        _("Takes 20 messages a second and 5 connections, and says so as Gmail does (421 4.7.28)"),
        "",
        connections=5,
        crowded=Answer(421, "4.7.0", "[{client}] Try again later, closing connection. (CONNECT) too many connections"),
        rate=20,
        hurried=Answer(
            421,
            "4.7.28",
            "[{client}] Gmail has detected an unusual rate of unsolicited mail originating from your IP address. To "
            "protect our users from spam, mail sent from your IP address has been temporarily rate limited.",
        ),
    ),
    Mood(
        "ratelimit.qq",
        _("Takes 10 messages a second and 3 connections, and says so as QQ does, with 550"),
        "",
        connections=3,
        crowded=Answer(550, "", "Connection frequency limited. http://service.mail.qq.com/cgi-bin/help?id=20022"),
        rate=10,
        hurried=Answer(550, "", "Ip frequency limited. http://service.mail.qq.com/cgi-bin/help?id=20022"),
    ),
    Mood(
        "ratelimit.outlook",
        _("Takes 20 messages a second and 4 connections, and says so as Outlook does (451 4.7.650, RP-001)"),
        "",
        connections=4,
        crowded=Answer(
            421, "", "RP-001 (BAY004-MC1F1) Unfortunately, some messages from {client} weren't sent. Please try again."
        ),
        rate=20,
        hurried=Answer(
            451, "4.7.650", "The mail server [{client}] has been temporarily rate limited due to IP reputation. (S775)"
        ),
    ),
    Mood(
        "limited",
        _("Takes so many connections and messages a second as it is told (--limits), and says 421 beyond"),
        "",
        connections=3,
        crowded=Answer(421, "4.7.0", "{name} Error: too many connections from {client}"),
        rate=10,
        hurried=Answer(421, "4.7.1", "{name} Error: too many messages from {client}, slow down"),
    ),
    Mood("midsession", _("Says 421 after each fifth message of a session, and hangs up"), "", session=5),
    Mood("busy", _("Turns each second connection away (421)"), "", busy_every=2),
    Mood("slow", _("Takes 300 ms for each answer"), "", delay=0.3),
    Mood("greylist", _("Puts each recipient off once, for two seconds (451 4.7.1)"), "", behaviour="greylist"),
    Mood("dropbefore", _("Hangs up once on each recipient, before the final dot"), "", behaviour="dropbefore"),
    Mood(
        "dropafter",
        _("Takes the mail and hangs up without an answer, once for each recipient: such mail arrives twice"),
        "",
        behaviour="dropafter",
    ),
    Mood("notls", _("Offers STARTTLS, then says that it has none (454)"), "", tls="refused"),
    Mood("brokentls", _("Offers STARTTLS, then breaks the handshake"), "", tls="broken"),
    Mood(
        "listed",
        _("Refuses client IP 127.0.0.2 as listed (550 5.7.1), no other"),
        "",
        listed=frozenset({"127.0.0.2"}),
    ),
    Mood("silent", _("Takes connections and never says a word"), "", silent=True, final=False),
)

MOODS: tuple[Mood, ...] = tuple(replace(mood, host=f"127.0.1.{number}") for number, mood in enumerate(_TABLE, 1))


def with_limits(moods: tuple[Mood, ...], connections: int, rate: int) -> tuple[Mood, ...]:
    """The moods, with other limits for `limited`; 0 is no limit."""
    return tuple(
        replace(mood, connections=connections, rate=rate) if mood.name == "limited" else mood for mood in moods
    )


def parse_limits(text: str) -> tuple[int, int]:
    """ "3/10" → 3 connections and 10 messages a second. Raises ValueError."""
    connections, slash, rate = text.partition("/")
    if not (slash and connections.isdecimal() and rate.isdecimal()):
        raise ValueError(f"Limits are written CONNECTIONS/RATE, as in 3/10, not {text!r}.")
    return int(connections), int(rate)
