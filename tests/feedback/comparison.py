"""A batch over all of the simulator's addresses, and what became of it, held against what the simulator says it did."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from console import ids
from delivery.models import Message, Task
from delivery.simulator import record
from delivery.simulator.behaviour import BEHAVIOURS, Behaviour, behaviour_of
from suppression.models import Entry
from suppression.services import STOPS
from tracking.models import Event

DOMAIN = "simulator.test"
# What comes back → the list that the address is on then, and the event of its message.
LISTS = {"complaint": Entry.List.SPAM_REPORT, "unsubscription": Entry.List.UNSUBSCRIPTION}
EVENTS = {"bounce": "bounce", "complaint": "complaint", "unsubscription": "unsubscribe", "reply": "reply"}


def addresses(count: int, run: str) -> list[str]:
    """So many, in turn at each address, with fresh labels; every other one who unsubscribes does it by mail."""
    turns: Iterator[Behaviour] = itertools.cycle(BEHAVIOURS)
    found = []
    for number, behaviour in zip(range(count), turns, strict=False):
        way = "mailto-" if behaviour.local == "unsubscribe" and number // len(BEHAVIOURS) % 2 else ""
        found.append(f"{behaviour.local}+{way}{run}-{number}@{DOMAIN}")
    return found


@dataclass
class Outside:
    """What the simulator's record says of the addresses of one run."""

    accepted: Counter[str]
    refused: set[str]
    given: dict[str, record.Given]
    failed: list[record.Given]

    @property
    def promised(self) -> int:
        """From how many of those that accepted something comes back."""
        return sum(bool(_behaviour(one).feedback) for one in self.accepted)


def outside(directory: Path, run: str) -> Outside:
    ours = f"{run}-"
    accepted = Counter(one.recipient for one in record.read(directory / record.ACCEPTED) if ours in one.recipient)
    refused = {one.recipient for one in record.read(directory / record.REFUSED) if ours in one.recipient}
    back = [one for one in record.read_returned(directory / record.RETURNED) if ours in one.recipient]
    given = {one.recipient: one for one in back if one.outcome == "given"}
    return Outside(accepted, refused, given, [one for one in back if one.outcome != "given"])


def ends(seen: Outside, address: str) -> tuple[str, str]:
    """Status and reason in which mail to this address ends, by what was done to it."""
    behaviour = _behaviour(address)
    if address in seen.accepted:
        back = seen.given.get(address)
        return behaviour.ends if back and back.kind == "bounce" else ("delivered", "")
    if address in seen.refused or behaviour.local == "suppressionlist":
        return behaviour.ends
    return ("not seen", "")


def stops(seen: Outside, address: str) -> str:
    """The list by which a second mail to this address is stopped, or ""."""
    back = seen.given.get(address)
    if back and back.kind in LISTS:
        return LISTS[back.kind]
    hard = ends(seen, address)[1] == "not_exist"
    return Entry.List.BOUNCE if hard or _behaviour(address).local == "suppressionlist" else ""


def differences(task: Task, people: list[str], seen: Outside) -> list[str]:
    """What is otherwise in our rows than outside: statuses, lists, events."""
    found = [f"not brought: {one}" for one in seen.failed]
    found += [f"{one}: {count} mails" for one, count in seen.accepted.items() if count != 1]
    rows = {
        recipient: (pk, (status, reason))
        for pk, recipient, status, reason in Message.objects.filter(task=task).values_list(
            "pk", "recipient", "status", "reason"
        )
    }
    found += [f"no message: {one}" for one in people if one not in rows]
    found += [
        f"{one}: {rows[one][1]}, not {ends(seen, one)}"
        for one in people
        if one in rows and rows[one][1] != ends(seen, one)
    ]
    listed = {(key, list) for key, list in Entry.objects.values_list("key", "list") if key in rows}
    wanted = {
        (one, stops(seen, one)) for one in people if stops(seen, one) and _behaviour(one).local != "suppressionlist"
    }
    found += [f"on the list, and should not be: {one}" for one in sorted(listed - wanted)]
    found += [f"not on the list: {one}" for one in sorted(wanted - listed)]
    happened = Counter(
        Event.objects.filter(pk__gte=ids.id_at(task.created_at), message_id__in=[pk for pk, _fate in rows.values()])
        # Visits are held against a record of their own.
        .exclude(kind__in=[Event.Kind.OPEN, Event.Kind.CLICK])
        .values_list("message_id", "kind")
        .iterator()
    )
    expected = Counter((rows[one][0], EVENTS[back.kind]) for one, back in seen.given.items() if one in rows)
    found += [f"event {one}: {count} too many" for one, count in (happened - expected).items()]
    found += [f"event {one}: {count} missing" for one, count in (expected - happened).items()]
    return found


def stopped_wrongly(again: Task, people: list[str], seen: Outside) -> list[str]:
    """What is otherwise than the lists say in a second batch to the same people, once its rows are made."""
    found = []
    rows = {
        row[0]: row[1:]
        for row in Message.objects.filter(task=again).values_list(
            "recipient", "status", "reason", "last_reply", "attempts"
        )
    }
    for one in people:
        name = stops(seen, one)
        stop = STOPS[name] if name else None
        status, reason, text, attempts = rows.get(one, ("no message", "", "", 0))
        stopped = reason in ("blacklist", "unsubscribe")
        if stop and (status, reason, text, attempts) != ("invalid", stop.reason, stop.text, 0):
            found.append(f"{one}: {status} {reason} {text!r}, not stopped by {name}")
        elif not stop and (stopped or status == "no message"):
            found.append(f"{one}: {status} {text!r}, and nothing should have stopped it")
    return found


def _behaviour(address: str) -> Behaviour:
    behaviour = behaviour_of(address.rpartition("@")[0])
    assert behaviour is not None, address
    return behaviour
