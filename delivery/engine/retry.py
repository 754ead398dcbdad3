"""When to try again, and until when."""

from __future__ import annotations

import datetime as dt
import random

from django.conf import settings

FIRST_RETRIES = (dt.timedelta(minutes=5), dt.timedelta(minutes=15), dt.timedelta(minutes=30))
LATER_RETRIES = (dt.timedelta(hours=1), dt.timedelta(hours=3))

# The simulator shows in seconds what takes days outside.
SIMULATOR_RETRIES = (dt.timedelta(seconds=1), dt.timedelta(seconds=2), dt.timedelta(seconds=4))
SIMULATOR_WINDOW = dt.timedelta(seconds=15)


def next_attempt(
    attempts: int,
    now: dt.datetime,
    *,
    simulator: bool,
    least: dt.timedelta = dt.timedelta(),
    rng: random.Random | None = None,
) -> dt.datetime:
    """When to try again after `attempts` tries, the last of them at `now`: 5, 15, 30 min, then every 1 to 3 h, and not
    sooner than `least`, but for the simulator.

    Later retries are jittered, so that what was put off together does not come back together.
    """
    steps = SIMULATOR_RETRIES if simulator else FIRST_RETRIES
    if attempts <= len(steps):
        return now + (steps[attempts - 1] if simulator else max(least, steps[attempts - 1]))
    if simulator:
        return now + steps[-1]
    low, high = (bound.total_seconds() for bound in LATER_RETRIES)
    return now + max(least, dt.timedelta(seconds=(rng or random).uniform(low, high)))


def window_end(first_attempt: dt.datetime, *, hours: int, simulator: bool) -> dt.datetime:
    """The end of the retry window that begins with the first attempt."""
    return first_attempt + (SIMULATOR_WINDOW if simulator else dt.timedelta(hours=hours))


def is_simulated(domain: str) -> bool:
    """Whether a receiving domain is the simulator's: its own, or one with a mood."""
    return settings.SIMULATOR and (domain == settings.SIMULATOR_DOMAIN or domain.endswith(".moods.test"))
