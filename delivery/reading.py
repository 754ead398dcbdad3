"""Our one-sentence reading of what became of a message: it stands beside the remote server's own words, never alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.badges import Tone
from console.templatetags.posthorn import clock
from delivery.engine.types import Phase
from delivery.models import Attempt, HeldBy, Message, Reason, Status


@dataclass(frozen=True, slots=True)
class Reading:
    """`lead` is what is the matter, `rest` what follows from it or what to do."""

    tone: Tone
    icon: str
    lead: str
    rest: str = ""
    # Nobody was asked: the page says where mail can be sent to.
    outside: bool = False


_NOT_TRIED = {
    Reason.BLACKLIST: (
        gettext_lazy("Not tried: the address is on a suppression list."),
        gettext_lazy("Nothing was sent."),
    ),
    Reason.UNSUBSCRIBE: (
        gettext_lazy("Not tried: this person has unsubscribed."),
        gettext_lazy("Nothing was sent, and nothing will be until an operator removes the unsubscription."),
    ),
    Reason.FORMAT_ERROR: (
        gettext_lazy("Not tried: the address is malformed."),
        gettext_lazy("Correct it in the file and import it again."),
    ),
}
# Put on a list between two attempts.
_SUPPRESSED = {
    Reason.BLACKLIST: gettext_lazy("Not tried again: the address is on a suppression list."),
    Reason.UNSUBSCRIBE: gettext_lazy("Not tried again: this person has unsubscribed."),
}
_REFUSED = {
    Reason.NOT_EXIST: (
        gettext_lazy("Refused for good: the mailbox or its domain does not exist."),
        gettext_lazy("A hard bounce: trying again is of no use."),
    ),
    Reason.IP_OR_DOMAIN: (
        gettext_lazy(
            "Refused because of where it came from: the reputation or authentication of the sending IP or domain."
        ),
        gettext_lazy(
            "The address itself may be fine. Look at the domain's records and the sending IP before you send more."
        ),
    ),
    Reason.SPAM: (
        gettext_lazy("Refused as spam: the content, its links or how it is sent."),
        gettext_lazy("The address itself may be fine. Change the mail before you send it again."),
    ),
    Reason.REJECTED: (
        gettext_lazy("Refused by the recipient's or the receiving server's own settings."),
        gettext_lazy("The mailbox exists, but does not want this mail."),
    ),
    Reason.FORMAT_ERROR: (
        gettext_lazy("Refused: the receiving server can't read the address or the mail."),
        "",
    ),
    Reason.SERVER_ERROR: (
        gettext_lazy("The receiving servers could not be reached, or failed, until the retry window ended."),
        gettext_lazy("The address itself may be fine: the mail can be sent again later."),
    ),
    Reason.OTHER: (
        gettext_lazy("Refused for a reason of its own: the reply says which."),
        "",
    ),
}
_WHY_DEFERRED = {
    Reason.NOT_EXIST: gettext_lazy("the mailbox or its domain does not answer for now"),
    Reason.IP_OR_DOMAIN: gettext_lazy("the server limits our IP or domain for now"),
    Reason.SPAM: gettext_lazy("the server takes it for spam for now"),
    Reason.REJECTED: gettext_lazy("the recipient's settings refuse it for now"),
    Reason.SERVER_ERROR: gettext_lazy("the receiving server is unreachable or failing"),
}
_HELD = {
    HeldBy.CREDITS: gettext_lazy("It goes on when credits are added."),
    HeldBy.API_USER: gettext_lazy("It goes on when an administrator enables the API user."),
    HeldBy.ACCOUNT: gettext_lazy("It goes on when an administrator lets sending go on."),
    HeldBy.QUOTA: gettext_lazy("It goes on by itself on the next day."),
    HeldBy.DOMAIN_BLOCKED: gettext_lazy("It goes on by itself on the next day."),
    HeldBy.DOMAIN_UNVERIFIED: gettext_lazy("It goes on by itself as soon as the sender domain is verified."),
    HeldBy.TASK_PAUSED: gettext_lazy("It goes on when the task is resumed."),
    HeldBy.WINDOW: gettext_lazy("It goes on by itself when the send window opens."),
}


def reading(message: Message, last: Attempt | None, due: dt.datetime | None) -> Reading | None:
    """None where nothing is the matter. `due`: when it is tried again."""
    found = _reading(message, last, due)
    if found is None or last is None or not _outside(message, last):
        return found
    domain = message.recipient.rpartition("@")[2]
    lead = _("Not sent: no mail leaves this machine, and %s is not known to the simulator.") % domain
    rest = _("The simulator is the whole outside world here, so the domain does not exist.")
    if message.status == Status.SENDING:
        rest = f"{rest} {found.rest}"
    return replace(found, lead=lead, rest=rest, outside=True)


def _outside(message: Message, last: Attempt) -> bool:
    """Whether its domain does not exist for the simulator alone. Names below .test are the simulator's own."""
    nowhere = last.phase == Phase.DNS and last.reason == Reason.NOT_EXIST
    return settings.SIMULATED_WORLD and nowhere and not message.recipient.endswith(".test")


def _reading(message: Message, last: Attempt | None, due: dt.datetime | None) -> Reading | None:
    reason = message.reason
    if message.status == Status.HELD:
        held_by = HeldBy(message.held_by or HeldBy.TASK_PAUSED)
        return Reading("calm", "clock-pause", _("Held: %s.") % held_by.label, str(_HELD[held_by]))
    if message.status == Status.SENDING and message.attempts:
        return _deferred(message, last, due)
    if message.status == Status.SOFT_BOUNCE:
        lead, _rest = _REFUSED.get(Reason(reason or Reason.OTHER), _REFUSED[Reason.OTHER])
        if last is not None and last.outcome == "deferred":
            tried = ngettext("Put off at %(n)s attempt, until the retry window ended.",
                             "Put off at %(n)s attempts, until the retry window ended.",
                             message.attempts) % {"n": message.attempts}  # fmt: skip
            return Reading("warn", "arrow-back-up", tried, _after(reason))
        returned = _("Accepted first, then returned by a bounce mail. %s") % lead
        return Reading("warn", "arrow-back-up", returned, _after(reason))
    if message.status == Status.INVALID:
        if message.attempts and reason in _SUPPRESSED:
            return Reading(
                "bad", "x", str(_SUPPRESSED[Reason(reason)]), _("It was put off before, and is given up now.")
            )
        table = _NOT_TRIED if not message.attempts and reason in _NOT_TRIED else _REFUSED
        lead, rest = table.get(Reason(reason or Reason.OTHER), _REFUSED[Reason.OTHER])
        return Reading("bad", "x", str(lead), str(rest))
    if message.status == Status.SENT:
        return Reading(
            "calm",
            "arrow-right",
            _("Handed to the sender domain's relay."),
            _("Whether it reached the mailbox is known only if the relay reports a failure."),
        )
    if message.status == Status.CANCELLED:
        return Reading("calm", "player-stop", _("Not tried: its task was stopped."))
    if message.status == Status.CONTROL_GROUP:
        return Reading(
            "calm", "circle-dashed", _("Held out on purpose: this recipient is in the task's control group.")
        )
    return None


def _after(reason: str) -> str:
    """What follows from a soft bounce for the address."""
    if reason == Reason.NOT_EXIST:
        return _("A hard bounce: the address goes on the bounce list.")
    return _("A soft bounce: the address stays mailable.")


def _deferred(message: Message, last: Attempt | None, due: dt.datetime | None) -> Reading:
    why = _WHY_DEFERRED.get(Reason(last.reason)) if last is not None and last.reason else None
    lead = _("Put off: %s.") % why if why else _("Put off by the receiving server.")
    tried = ngettext("%(n)s attempt so far.", "%(n)s attempts so far.", message.attempts) % {"n": message.attempts}
    rest = _("It is tried again at %s by itself.") % clock(due) if due else _("It is tried again by itself.")
    return Reading("busy", "clock", lead, f"{tried} {rest}")
