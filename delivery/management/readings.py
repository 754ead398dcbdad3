"""Who opened and clicked: a batch's rows held against the simulator's record of visits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from delivery.models import Message, Task
from delivery.simulator.behaviour import Behaviour
from delivery.simulator.habits import Habit, habit_of
from delivery.simulator.record import Visit

# What the statistics count of it.
COLUMNS = ("opens", "unique_opens", "automatic_opens", "clicks", "unique_clicks", "automatic_clicks")


@dataclass
class Readings:
    """`seen`: mails that people opened and clicked, and that machines opened. `figures`: what the statistics must have
    grown by."""

    seen: dict[str, int] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def looks(behaviour: Behaviour | None, recipient: str) -> bool:
    """Whether somebody looks at what this address has accepted."""
    return behaviour is not None and behaviour.keeps and habit_of(recipient) is not None


def compare(task: Task, visits: Sequence[Visit], lookers: Iterable[str]) -> Readings:
    """`visits`: the record's of this batch; `lookers`: the recipients, in lower case, from whom some are due."""
    made = Readings()
    done = {visit.recipient.lower() for visit in visits if visit.last}
    made.differences += [f"{one}: nobody has looked at it yet" for one in lookers if one not in done]
    made.differences += [f"{visit.recipient}: {visit.reply}" for visit in visits if visit.outcome != "given"]
    figures: Counter[str] = Counter(dict.fromkeys(COLUMNS, 0))
    mails: dict[str, set[str]] = {"opened": set(), "clicked": set(), "opened by machines": set()}
    for visit in visits:
        habit = habit_of(visit.recipient)
        if habit is None or habit.method == "HEAD":
            continue
        figures[_column(visit, habit)] += 1
        if habit.person or visit.kind == "open":
            mails[_mails(visit, habit)].add(visit.recipient.lower())
    figures |= {"unique_opens": len(mails["opened"]), "unique_clicks": len(mails["clicked"])}
    rows = Message.objects.filter(task=task).values_list("recipient", "opened_at", "clicked_at", "opened_by_machine_at")
    for recipient, *times in rows:
        for (what, them), moment in zip(mails.items(), times, strict=True):
            if (recipient.lower() in them) != (moment is not None):
                made.differences.append(f"{recipient}: {'not ' if moment is None else ''}{what}, says the database")
    made.seen, made.figures = {what: len(them) for what, them in mails.items()}, dict(figures)
    return made


def _column(visit: Visit, habit: Habit) -> str:
    kind = "opens" if visit.kind == "open" else "clicks"
    return kind if habit.person else f"automatic_{kind}"


def _mails(visit: Visit, habit: Habit) -> str:
    if not habit.person:
        return "opened by machines"
    return "opened" if visit.kind == "open" else "clicked"
