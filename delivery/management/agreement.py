"""Holding the rows of a demo's batch against what the simulator says that it did, recipient by recipient."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from django.utils import timezone

from delivery.management import readings
from delivery.models import Delta, Message, Status, Task
from delivery.services import rollup, statistics
from delivery.services.statistics import Figures
from delivery.simulator import record
from delivery.simulator.behaviour import Behaviour, behaviour_of
from suppression import address
from suppression.models import Entry

# What comes back → the list that the address is on then.
LISTS = {"complaint": Entry.List.SPAM_REPORT, "unsubscription": Entry.List.UNSUBSCRIPTION}
FOLD_SECONDS = 20
# What comes back → the column of the statistics that counts it.
COLUMNS = {"complaint": "complaints", "unsubscription": "unsubscriptions"}


@dataclass(frozen=True, slots=True)
class Marks:
    """How far the simulator's record had come before the batch."""

    accepted: int
    refused: int
    returned: int
    visits: int

    @classmethod
    def now(cls, directory: Path) -> Marks:
        names = (record.ACCEPTED, record.REFUSED, record.RETURNED, record.VISITS)
        return cls(*(record.position(directory / name) for name in names))


@dataclass
class Agreement:
    """What was compared, and what differs, in words."""

    accepted: int = 0
    # Taken without a word, and so sent once more, as it must be.
    unsaid: int = 0
    # What came back, by kind.
    returned: Counter[str] = field(default_factory=Counter)
    # What the statistics must have grown by, by their columns.
    figures: dict[str, int] = field(default_factory=dict)
    # How many mails people opened and clicked, and machines opened.
    seen: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def settle_down(
    task: Task, domain: str, directory: Path, run: str, since: Marks, *, seconds: float, over: Callable[[], bool]
) -> Agreement:
    """Compare until all that was promised has come back and everything agrees, or so long. `run` stands in every
    address of the batch."""
    give_up = time.monotonic() + seconds
    while True:
        found = compare(task, domain, directory, run, since)
        if not found.differences or over() or time.monotonic() > give_up:
            return found
        time.sleep(0.3)


def compare(task: Task, domain: str, directory: Path, run: str, since: Marks) -> Agreement:
    accepted = [one for one in record.read(directory / record.ACCEPTED, since.accepted) if run in one.recipient]
    back = {
        one.recipient.lower(): one
        for one in record.read_returned(directory / record.RETURNED, since.returned)
        if run in one.recipient
    }
    taken = Counter(one.recipient.lower() for one in accepted if not one.unsaid)
    found = Agreement(
        sum(taken.values()), sum(one.unsaid for one in accepted), Counter(one.kind for one in back.values())
    )
    rows = {
        recipient.lower(): (status, reason)
        for recipient, status, reason in Message.objects.filter(task=task).values_list("recipient", "status", "reason")
    }
    came = {one for one, (status, _reason) in rows.items() if status == Status.DELIVERED}
    returned = {one for one in taken if one in back and back[one].kind == "bounce"}
    missing, doubled = came - taken.keys(), [one for one, count in taken.items() if count > 1]
    found.differences += [f"{one}: said to be delivered, and the simulator has no such mail" for one in missing]
    found.differences += [f"{one}: {taken[one]} mails" for one in doubled]
    for one in taken:
        behaviour = _behaviour(one, domain)
        wanted = behaviour.ends if behaviour and one in returned else (Status.DELIVERED.value, "")
        if rows.get(one) != wanted:
            found.differences.append(f"{one}: {rows.get(one)}, not {wanted}")
        if behaviour and behaviour.feedback and one not in back:
            found.differences.append(f"{one}: its {behaviour.feedback} has not come back")
    found.differences += [
        f"{one}: {given.kind} not brought: {given.reply}" for one, given in back.items() if given.outcome != "given"
    ]
    found.differences += _lists(back)
    refused = {
        one.recipient.lower() for one in record.read(directory / record.REFUSED, since.refused) if run in one.recipient
    }
    delivered = taken.keys() - returned
    found.figures = {
        "requested": len(rows),
        "delivered": len(delivered),
        # Never seen out there.
        "rejected": len(rows.keys() - taken.keys() - refused),
        "bounced": len((taken.keys() | refused) - delivered),
        **{column: found.returned[kind] for kind, column in COLUMNS.items()},
    }
    visits = [one for one in record.read_visits(directory / record.VISITS, since.visits) if run in one.recipient]
    reading = readings.compare(task, visits, [one for one in taken if readings.looks(_behaviour(one, domain), one)])
    found.seen = reading.seen
    found.figures |= reading.figures
    found.differences += reading.differences
    return found


def figures() -> dict[str, int]:
    """The same of everything, as the overview has it."""
    give_up = time.monotonic() + FOLD_SECONDS
    rollup.fold(now=timezone.now())
    # A worker may be at it just now.
    while Delta.objects.exists() and time.monotonic() < give_up:
        time.sleep(0.1)
        rollup.fold(now=timezone.now())
    whole = Figures.sum(each for _key, each in statistics.by(statistics.summary(), "key"))
    names = ("requested", "delivered", "rejected", *COLUMNS.values(), *readings.COLUMNS)
    return {
        **{name: whole.count(name) for name in names},
        "bounced": sum(whole.count(name) for name in statistics.FAILED),
    }


def figures_differ(found: Agreement, before: dict[str, int]) -> list[str]:
    """Where the statistics did not grow by what the simulator did. The last opens and clicks may be on their way."""
    give_up = time.monotonic() + FOLD_SECONDS
    while True:
        after = figures()
        differences = [
            f"The overview has {after[name] - before[name]} {name}, and the simulator {wanted}"
            for name, wanted in found.figures.items()
            if after[name] - before[name] != wanted
        ]
        if not differences or time.monotonic() > give_up:
            return differences
        time.sleep(0.3)


def _lists(back: dict[str, record.Given]) -> list[str]:
    """Whoever complained or unsubscribed, and is not on the list."""
    wanted = {(address.key_of(one), LISTS[given.kind]) for one, given in back.items() if given.kind in LISTS}
    listed = set(
        Entry.objects.filter(key__in=[key for key, _list in wanted], list__in=LISTS.values()).values_list("key", "list")
    )
    return [f"{key}: not on the list {name}" for key, name in sorted(wanted - listed)]


def _behaviour(recipient: str, domain: str) -> Behaviour | None:
    local, _at, theirs = recipient.rpartition("@")
    return behaviour_of(local) if theirs == domain else None
