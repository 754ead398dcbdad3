"""Which address answers what. Pure, but for what `Mailboxes` remembers of those that were put off."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Literal


def gettext_noop(text: str) -> str:
    """Marks `text` for translation; the page that shows it translates."""
    return text


_ = gettext_noop


@dataclass(frozen=True, slots=True)
class Answer:
    """An SMTP reply of one line. `{recipient}` and `{client}` in its text are filled in when it is given."""

    code: int
    enhanced: str
    text: str

    @property
    def accepts(self) -> bool:
        return 200 <= self.code < 300

    def line(self, recipient: str, client: str) -> str:
        """The reply as one line without its end."""
        text = self.text.replace("{recipient}", recipient).replace("{client}", client)
        return f"{self.code} {self.enhanced} {text}" if self.enhanced else f"{self.code} {text}"


Feedback = Literal["", "bounce", "complaint", "unsubscription", "reply"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One address of the simulator: what it does, for the server and for the page that lists it."""

    local: str  # the local part without its +label
    does: str  # English, marked for translation
    ends: tuple[str, str]  # status and reason in which a message to it ends
    # Where it gives its answer; or hangs up instead, before the final dot or after it.
    phase: Literal["rcpt", "dot", "drop_before", "drop_after"] = "rcpt"
    answer: Answer | None = None  # None: it accepts
    times: int = 0  # how often `answer` comes before mail is accepted; 0: always
    wait: float = 0.0  # seconds that must have passed since it was first put off
    feedback: Feedback = ""  # what comes back after the 250
    returned: Answer | None = None  # why, where a bounce mail comes back

    @property
    def keeps(self) -> bool:
        """The mail that it takes stays in the mailbox, where somebody may look at it."""
        return self.ends[0] == "delivered" and not self.phase.startswith("drop")

    def address(self, domain: str) -> str:
        return f"{self.local}@{domain}"


BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("success", _("Accepts the mail (250)"), ("delivered", "")),
    Behaviour(
        "bounce",
        _("Refuses the recipient: the mailbox does not exist (550 5.1.1)"),
        ("invalid", "not_exist"),
        answer=Answer(550, "5.1.1", "<{recipient}>: Recipient address rejected: user unknown"),
    ),
    Behaviour(
        "spam",
        _("Refuses the mail after its last line: the content looks like spam (554 5.7.1)"),
        ("invalid", "spam"),
        phase="dot",
        answer=Answer(554, "5.7.1", "Message rejected: its content was classified as spam"),
    ),
    Behaviour(
        "blocked",
        _("Refuses the sending IP, which is on a block list (550 5.7.1)"),
        ("invalid", "ip_or_domain"),
        answer=Answer(550, "5.7.1", "Service unavailable; client host [{client}] is listed at dnsbl.simulator.test"),
    ),
    Behaviour(
        "rejected",
        _("Refuses the sender by the recipient's own settings (550 5.7.1)"),
        ("invalid", "rejected"),
        answer=Answer(550, "5.7.1", "<{recipient}>: Delivery not authorized, message refused by recipient"),
    ),
    Behaviour(
        "deferred",
        _("Puts the mail off twice (450), then accepts it"),
        ("delivered", ""),
        answer=Answer(450, "4.2.0", "<{recipient}>: Mailbox temporarily unavailable, try again later"),
        times=2,
    ),
    Behaviour(
        "full",
        _("Puts the mail off for ever: the mailbox is full (452 4.2.2)"),
        ("soft_bounce", "other"),
        answer=Answer(452, "4.2.2", "<{recipient}>: Mailbox full, over quota"),
    ),
    Behaviour(
        "softbounce",
        _("Accepts the mail, then returns it: refused by policy (5.7.1)"),
        ("soft_bounce", "rejected"),
        feedback="bounce",
        returned=Answer(550, "5.7.1", "<{recipient}>: Message refused by the recipient's policy"),
    ),
    Behaviour(
        "bouncelater",
        _("Accepts the mail, then returns it: the mailbox does not exist (5.1.1)"),
        ("soft_bounce", "not_exist"),
        feedback="bounce",
        returned=Answer(550, "5.1.1", "<{recipient}>: Recipient address rejected: user unknown"),
    ),
    Behaviour(
        "complaint", _("Accepts the mail, then reports it as spam (ARF)"), ("delivered", ""), feedback="complaint"
    ),
    Behaviour(
        "unsubscribe",
        _("Accepts the mail, then unsubscribes by one click"),
        ("delivered", ""),
        feedback="unsubscription",
    ),
    Behaviour("ooto", _("Accepts the mail, then sends an automatic reply"), ("delivered", ""), feedback="reply"),
    Behaviour(
        # Mail to it means that suppression failed, so it must not look delivered.
        "suppressionlist",
        _("Is always treated as being on the bounce list: nothing is sent to it"),
        ("invalid", "blacklist"),
        answer=Answer(550, "5.1.1", "<{recipient}>: Recipient address rejected: a suppressed address was tried"),
    ),
)

# What servers with moods do to a mail: addresses here, and all addresses of a domain that has the mood (moods.py).
MOODY: tuple[Behaviour, ...] = (
    Behaviour(
        "greylist",
        _("Puts the mail off once, as an unknown sender's (451 4.7.1), then accepts it two seconds later"),
        ("delivered", ""),
        answer=Answer(451, "4.7.1", "<{recipient}>: Recipient address rejected: Greylisted, try again later"),
        times=1,
        wait=2.0,
    ),
    Behaviour(
        "gmailrate",
        _("Has enough of your mail once, as Gmail says it (421 4.7.28), then accepts it"),
        ("delivered", ""),
        answer=Answer(
            421, "4.7.28", "[{client}] Our system has detected an unusual rate of unsolicited mail from your IP address"
        ),
        times=1,
    ),
    Behaviour(
        "qqrate",
        _("Has enough of your mail once, as QQ says it (550), then accepts it"),
        ("delivered", ""),
        answer=Answer(550, "", "Ip frequency limited. http://service.mail.qq.com/cgi-bin/help?id=20022"),
        times=1,
    ),
    Behaviour(
        "outlookrate",
        _("Has enough of your mail once, as Outlook says it (451 4.7.650), then accepts it"),
        ("delivered", ""),
        answer=Answer(451, "4.7.650", "The mail server [{client}] has been temporarily rate limited (S775)"),
        times=1,
    ),
    Behaviour(
        "hangup",
        _("Ends the session once (421), then accepts the mail"),
        ("delivered", ""),
        answer=Answer(421, "4.3.2", "Service shutting down, closing transmission channel"),
        times=1,
    ),
    Behaviour(
        "dropbefore",
        _("Hangs up once before the final dot, then accepts the mail"),
        ("delivered", ""),
        phase="drop_before",
        answer=Answer(451, "4.4.2", "hung up before the final dot"),
        times=1,
    ),
    Behaviour(
        "dropafter",
        _("Accepts the mail and hangs up without saying so, once: it arrives twice"),
        ("delivered", ""),
        phase="drop_after",
        answer=Answer(451, "4.4.2", "hung up after the final dot"),
        times=1,
    ),
)

ACCEPTED = Answer(250, "2.1.5", "Ok")
UNKNOWN = Answer(550, "5.1.1", "<{recipient}>: Recipient address rejected: user unknown")
NOT_OURS = Answer(550, "5.7.1", "<{recipient}>: Relaying denied: not a domain of the simulator")

_BY_LOCAL = {behaviour.local: behaviour for behaviour in (*BEHAVIOURS, *MOODY)}
# Addresses whose deferrals are remembered; beyond it the oldest are forgotten, and are put off anew.
REMEMBERED = 200_000


def behaviour_of(local: str) -> Behaviour | None:
    """The behaviour of a local part, in any case and with any `+label`; None for an unknown one."""
    return _BY_LOCAL.get(local.partition("+")[0].lower())


class Mailboxes:
    """The recipients: what RCPT and the final dot are answered for an address.

    `domain` is the simulator's domain, lower case; `serves` says whether another domain, lower case, is one for which
    everything is accepted; `moods` has the local part whose behaviour all addresses of a domain have, "" where they
    accept. Addresses that refuse at the simulator's domain do so there too.
    """

    def __init__(
        self,
        domain: str,
        serves: Callable[[str], bool],
        moods: dict[str, str] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.domain = domain
        self.serves = serves
        self.moods = moods or {}
        self.clock = clock
        # How often an address was put off, and when it first was.
        self._deferred: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def comes_back(self, recipient: str) -> Behaviour | None:
        """The behaviour of an address from which something comes back once it has accepted a mail."""
        behaviour = self._behaviour(recipient)
        return behaviour if behaviour is not None and behaviour.feedback else None

    def is_read(self, recipient: str) -> bool:
        """Whether somebody may look at what this address of the simulator's own has accepted."""
        if recipient.rpartition("@")[2].lower() != self.domain:
            return False
        behaviour = self._behaviour(recipient)
        return behaviour is not None and behaviour.keeps

    def _behaviour(self, recipient: str) -> Behaviour | None:
        local, _at, domain = recipient.rpartition("@")
        domain = domain.lower()
        if domain == self.domain:
            return behaviour_of(local)
        if (mood := self.moods.get(domain)) is None:
            return None
        own = behaviour_of(local)
        return own if own is not None and own.answer is not None else _BY_LOCAL.get(mood)

    def at_rcpt(self, recipient: str) -> Answer:
        """The answer to RCPT TO. Counts a deferral: two calls are two attempts.

        An accepted attempt forgets the count, so that each mail to `deferred@` is put off, not only the first.
        """
        domain = recipient.rpartition("@")[2].lower()
        behaviour = self._behaviour(recipient)
        if behaviour is None:
            if domain == self.domain:
                return UNKNOWN
            return ACCEPTED if domain in self.moods or self.serves(domain) else NOT_OURS
        return self._turn(recipient, behaviour) if behaviour.phase == "rcpt" else ACCEPTED

    def _turn(self, recipient: str, behaviour: Behaviour) -> Answer:
        """Its answer, as often as it is given."""
        if behaviour.answer is None:
            return ACCEPTED
        if not behaviour.times:
            return behaviour.answer
        key, now = recipient.lower(), self.clock()
        seen, first = self._deferred.pop(key, (0, now))
        if seen >= behaviour.times and now - first >= behaviour.wait:
            return ACCEPTED
        self._deferred[key] = seen + 1, first
        if len(self._deferred) > REMEMBERED:
            self._deferred.popitem(last=False)
        return behaviour.answer

    def drops(self, recipient: str, when: Literal["drop_before", "drop_after"]) -> bool:
        """Whether the server hangs up on this mail now. Counts: it does so once in a while, not for ever."""
        behaviour = self._behaviour(recipient)
        return behaviour is not None and behaviour.phase == when and not self._turn(recipient, behaviour).accepts

    def at_dot(self, recipient: str) -> Answer | None:
        """The refusal after the final dot, or None where the mail is accepted."""
        behaviour = self._behaviour(recipient)
        return behaviour.answer if behaviour and behaviour.phase == "dot" else None
